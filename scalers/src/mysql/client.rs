//! Connections to a MySQL or MariaDB server, and queries on one.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{ClientIdentity, Conn, DriverError, Error, OptsBuilder, Row, SslOpts, Value};
use tokio::time::timeout;
use zeron_core::metric::{Unknown, UnknownKind};
use zeron_core::policy::Secret;
use zeron_core::roles::BoxFuture;

use super::dsn::Address;
use super::error;
use super::login::{Encryption, Login};
use crate::AddressPolicy;
use crate::source::unknown;
use crate::sql::{Answer, Database};

/// Longest wait for a name to be resolved.
const RESOLVE_WITHIN: Duration = Duration::from_secs(3);

/// Longest wait for a goodbye.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

/// Longest packet that is read, in bytes: a number is short.
const MAX_PACKET: usize = 1 << 20;

/// What servers close a silent connection after, where nobody changed it, in seconds.
const WAIT_TIMEOUT: usize = 28_800;

/// `ER_UNKNOWN_SYSTEM_VARIABLE`: the server is too old to cut queries off.
const UNKNOWN_VARIABLE: u16 = 1193;

/// A MySQL database and who asks it.
#[derive(Debug)]
pub(super) struct Mysql {
    login: Login,
    addresses: AddressPolicy,
}

/// A connection that is ready for queries.
pub(super) struct Session {
    /// `None` while it is dropped alone.
    conn: Option<Conn>,
    cut: Cut,
    /// What the server was told last.
    limit: Option<Duration>,
}

/// How the server is told to cut queries off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// `max_execution_time`, in milliseconds.
    Mysql,
    /// `max_statement_time`, in seconds.
    Mariadb,
    /// It cannot: MySQL before 5.7.8.
    Never,
}

impl Drop for Session {
    /// Says goodbye, and does not wait long for it: the driver itself would for ever.
    fn drop(&mut self) {
        let runtime = tokio::runtime::Handle::try_current();
        if let (Some(conn), Ok(runtime)) = (self.conn.take(), runtime) {
            // Whether it heard is of no interest.
            runtime.spawn(async { timeout(LEAVE_WITHIN, conn.disconnect()).await.is_ok() });
        }
    }
}

impl Mysql {
    /// Connects to what `addresses` allows alone.
    pub(super) fn new(login: Login, addresses: AddressPolicy) -> Self {
        Self { login, addresses }
    }

    async fn open(&self) -> Result<Session, Unknown> {
        let opts = self.options().await?;
        let wants_tls = self.login.encryption != Encryption::Disable;
        let opened = Conn::new(with_tls(opts.clone(), &self.login, wants_tls)).await;
        let opened = match opened {
            Err(Error::Driver(DriverError::NoClientSslFlagFromServer))
                if self.login.encryption == Encryption::Prefer =>
            {
                Conn::new(with_tls(opts, &self.login, false)).await
            }
            other => other,
        };
        let mut conn = opened.map_err(|failed| error::of_connecting(&failed))?;
        let version: Option<String> = conn
            .query_first("SELECT @@version")
            .await
            .map_err(|failed| error::of_connecting(&failed))?;
        let is_mariadb = version.is_some_and(|it| it.contains("MariaDB"));
        Ok(Session {
            conn: Some(conn),
            cut: if is_mariadb { Cut::Mariadb } else { Cut::Mysql },
            limit: None,
        })
    }

    async fn options(&self) -> Result<OptsBuilder, Unknown> {
        let login = &self.login;
        let mut init = vec!["SET SESSION TRANSACTION READ ONLY".to_owned()];
        let variables = login.variables.iter();
        init.extend(variables.map(|(name, value)| format!("SET {name} = {value}")));
        let opts = OptsBuilder::default()
            .user(Some(&login.user))
            .pass(login.password.as_ref().map(Secret::expose))
            .db_name(Some(&login.database).filter(|it| !it.is_empty()))
            .init(init)
            .enable_cleartext_plugin(login.is_cleartext_allowed)
            .max_allowed_packet(Some(MAX_PACKET))
            .wait_timeout(Some(WAIT_TIMEOUT))
            // Else a server on this machine is dialled again, where nobody checked.
            .prefer_socket(false);
        match &login.address {
            Address::Tcp { host, port } => {
                let found = self.addresses.resolve(host, *port, RESOLVE_WITHIN).await?;
                let found: Vec<IpAddr> = found.iter().map(|it| it.ip()).collect();
                Ok(opts
                    .ip_or_hostname(host)
                    .tcp_port(*port)
                    .resolved_ips(Some(found)))
            }
            Address::Unix(path) if self.addresses.is_loopback_allowed => {
                Ok(opts.socket(Some(path)))
            }
            Address::Unix(path) => {
                let message = format!("{path} is on this machine, which triggers may not reach");
                Err(unknown(UnknownKind::Configuration, message))
            }
        }
    }
}

fn with_tls(opts: OptsBuilder, login: &Login, is_wanted: bool) -> OptsBuilder {
    if !is_wanted || matches!(login.address, Address::Unix(_)) {
        return opts;
    }
    let pem = |secret: &Secret| secret.expose().as_bytes().to_vec();
    let mut tls = SslOpts::default().with_danger_accept_invalid_certs(login.tls.is_unverified);
    if let Some(ca) = &login.tls.ca {
        tls = tls.with_root_certs(vec![pem(ca).into()]);
    }
    if let (Some(certificate), Some(key)) = (&login.tls.certificate, &login.tls.key) {
        let identity = ClientIdentity::new(pem(certificate).into(), pem(key).into());
        tls = tls.with_client_identity(Some(identity));
    }
    opts.ssl_opts(tls)
}

impl Database for Mysql {
    type Session = Session;

    fn connect(&self) -> BoxFuture<'_, Result<Session, Unknown>> {
        Box::pin(self.open())
    }

    fn ask<'a>(
        &'a self,
        session: &'a mut Session,
        queries: &'a [Arc<str>],
        limit: Duration,
        answers: &'a mut Vec<Answer>,
    ) -> BoxFuture<'a, Result<(), Unknown>> {
        Box::pin(async move {
            session.cut_after(limit).await?;
            for query in queries {
                answers.push(session.one(query).await?);
            }
            Ok(())
        })
    }
}

impl Session {
    /// Tells the server, unless it knows.
    async fn cut_after(&mut self, limit: Duration) -> Result<(), Unknown> {
        // What is left of a time differs each time by a little: rounded, it is told seldom.
        let limit = round(limit);
        let statement = match self.cut {
            _ if self.limit == Some(limit) => return Ok(()),
            Cut::Mysql => format!("SET SESSION max_execution_time = {}", limit.as_millis()),
            Cut::Mariadb => {
                format!(
                    "SET SESSION max_statement_time = {:.3}",
                    limit.as_secs_f64()
                )
            }
            Cut::Never => return Ok(()),
        };
        match self.conn().query_drop(statement).await {
            Ok(()) => self.limit = Some(limit),
            Err(Error::Server(said)) if said.code == UNKNOWN_VARIABLE => self.cut = Cut::Never,
            Err(failed) => return Err(error::of_connecting(&failed)),
        }
        Ok(())
    }

    /// As a prepared statement: the server takes a single one, whatever the text holds.
    async fn one(&mut self, query: &str) -> Result<Answer, Unknown> {
        let row: Option<Row> = match self.conn().exec_first(query, ()).await {
            Ok(row) => row,
            Err(failed) => return error::of_query(&failed),
        };
        Ok(match number(row) {
            Ok(number) => Answer::Number(number),
            Err(message) => Answer::Failed(unknown(UnknownKind::Parse, message)),
        })
    }

    fn conn(&mut self) -> &mut Conn {
        self.conn
            .as_mut()
            .expect("it is taken when the session is dropped")
    }
}

/// Down to a twentieth of a second, and not to nothing: that would be no limit.
fn round(limit: Duration) -> Duration {
    let steps = (limit.as_millis() / 50).clamp(1, 72_000);
    Duration::from_millis(50) * u32::try_from(steps).unwrap_or(1)
}

fn number(row: Option<Row>) -> Result<f64, String> {
    let row = row.ok_or("the query selects no row")?;
    let values = row.unwrap();
    let [value] = values.as_slice() else {
        return Err(format!(
            "the query selects {} columns instead of one",
            values.len()
        ));
    };
    // Whole numbers beyond 2^53 lose digits, as they do in every metric.
    #[allow(clippy::cast_precision_loss)]
    match value {
        Value::Int(number) => Ok(*number as f64),
        Value::UInt(number) => Ok(*number as f64),
        Value::Float(number) => Ok(f64::from(*number)),
        Value::Double(number) => Ok(*number),
        // DECIMAL, and texts that are numbers.
        Value::Bytes(bytes) => {
            let text = std::str::from_utf8(bytes).ok();
            let number = text.and_then(|it| it.trim().parse().ok());
            number.ok_or_else(|| "the query selects a text that is no number".to_owned())
        }
        Value::NULL => {
            Err("the query selects NULL: use coalesce to say what that means".to_owned())
        }
        Value::Date(..) | Value::Time(..) => {
            Err("the query selects a time, which is no number".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_rounded_down_and_never_to_none() {
        for (limit, rounded) in [(0, 50), (49, 50), (50, 50), (2_699, 2_650), (500, 500)] {
            let rounded = Duration::from_millis(rounded);
            assert_eq!(round(Duration::from_millis(limit)), rounded, "{limit}");
        }
        assert_eq!(round(Duration::MAX), Duration::from_secs(3_600));
    }
}
