//! Connections to a PostgreSQL server, and queries on one.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Connection, Row, SimpleQueryMessage};
use tracing::debug;
use zeron_core::metric::{Unknown, UnknownKind};
use zeron_core::roles::BoxFuture;

use super::error;
use super::login::{Encryption, Login, Role, Server};
use super::number::Number;
use super::tls::{Encrypted, Tls};
use super::transport::{Allowance, Transport};
use crate::AddressPolicy;
use crate::source::unknown;
use crate::sql::{Answer, Database};

/// Queries whose answers are waited for at once, on one connection.
const PIPELINED: usize = 16;

/// Time for one of several servers; the last has all that is left.
const PER_SERVER: Duration = Duration::from_secs(1);

/// Longest wait for a name to be resolved.
const RESOLVE_WITHIN: Duration = Duration::from_secs(3);

/// What drives a client: nothing is sent or received without it.
pub(super) type Link = Connection<Transport, Encrypted>;

/// A PostgreSQL database and who asks it.
#[derive(Debug)]
pub(super) struct Postgres {
    login: Login,
    addresses: AddressPolicy,
}

/// A connection on which nothing was asked yet.
pub(super) struct Opened {
    pub(super) client: Client,
    pub(super) link: Link,
    pub(super) allowance: Arc<Allowance>,
}

/// A connection that is ready for queries.
pub(super) struct Session {
    client: Client,
    link: AbortHandle,
    allowance: Arc<Allowance>,
}

impl Drop for Session {
    /// At once: the driver itself would wait for answers that may never come.
    fn drop(&mut self) {
        self.link.abort();
    }
}

impl Postgres {
    /// Connects to what `addresses` allows alone.
    pub(super) fn new(login: Login, addresses: AddressPolicy) -> Self {
        Self { login, addresses }
    }

    /// Its servers for messages: `db:5432`.
    pub(super) fn shown(&self) -> String {
        self.login.shown()
    }

    /// A connection to the first server that will do; whoever calls bounds its time.
    pub(super) async fn open(&self) -> Result<Opened, Unknown> {
        let (last, others) = self.login.servers.split_last().expect("there is one");
        for server in others {
            match timeout(PER_SERVER, self.open_at(server)).await {
                Ok(Ok(opened)) => return Ok(opened),
                Ok(Err(reason)) => debug!(reason.message, "the next server is tried"),
                Err(_) => debug!("no answer in time: the next server is tried"),
            }
        }
        self.open_at(last).await
    }

    async fn open_at(&self, server: &Server) -> Result<Opened, Unknown> {
        let tls = Tls::new(&self.login, server)?;
        let config = self.config(&tls);
        let stream = self.dial(server, tls.is_wanted()).await?;
        let allowance = stream.allowance();
        let opened = config.connect_raw(stream, tls).await;
        let (client, mut link) = opened.map_err(|failed| error::of_connecting(&failed))?;
        let is_standby = match self.login.role {
            Role::Any => false,
            Role::Primary | Role::Standby => is_standby(&client, &mut link).await?,
        };
        if is_standby != (self.login.role == Role::Standby) {
            let message = "the server has not the role that target_session_attrs asks for";
            return Err(unknown(UnknownKind::Transport, message));
        }
        Ok(Opened {
            client,
            link,
            allowance,
        })
    }

    fn config(&self, tls: &Tls) -> Config {
        let login = &self.login;
        let mut config = Config::new();
        config.user(&login.user).dbname(&login.database);
        config.application_name(login.application_name.as_deref().unwrap_or("zeron"));
        if let Some(password) = &login.password {
            config.password(password.expose());
        }
        if let Some(settings) = &login.settings {
            config.options(settings);
        }
        config.ssl_mode(match login.encryption {
            _ if !tls.is_wanted() => SslMode::Disable,
            Encryption::Disable => SslMode::Disable,
            Encryption::Prefer => SslMode::Prefer,
            Encryption::Require | Encryption::VerifyCa | Encryption::VerifyFull => SslMode::Require,
        });
        config
    }

    async fn dial(&self, server: &Server, asks_tls: bool) -> Result<Transport, Unknown> {
        let port = server.port;
        if server.is_local() {
            if !self.addresses.is_loopback_allowed {
                let message = format!("{server} is this machine, which triggers may not reach");
                return Err(unknown(UnknownKind::Configuration, message));
            }
            let path = format!("{}/.s.PGSQL.{port}", server.host);
            let stream = UnixStream::connect(path).await;
            let stream = stream.map_err(|error| unreachable(server, &error))?;
            return Ok(Transport::unix(stream));
        }
        let host = server.address.as_deref().unwrap_or(&server.host);
        let found = self.addresses.resolve(host, port, RESOLVE_WITHIN).await?;
        let stream = TcpStream::connect(&*found).await;
        let stream = stream.map_err(|error| unreachable(server, &error))?;
        let sent = stream.set_nodelay(true);
        sent.map_err(|error| unreachable(server, &error))?;
        Ok(Transport::tcp(stream, asks_tls))
    }
}

fn unreachable(server: &Server, error: &io::Error) -> Unknown {
    unknown(
        UnknownKind::Transport,
        format!("cannot connect to {server}: {error}"),
    )
}

async fn is_standby(client: &Client, link: &mut Link) -> Result<bool, Unknown> {
    let answer = tokio::select! {
        answer = client.simple_query("SELECT pg_is_in_recovery()") => answer,
        ended = drive(link) => return Err(ended),
    };
    let answer = answer.map_err(|failed| error::of_connecting(&failed))?;
    let is_true = |it: &SimpleQueryMessage| matches!(it, SimpleQueryMessage::Row(row) if row.get(0) == Some("t"));
    Ok(answer.iter().any(is_true))
}

/// Drives a connection until it ends.
pub(super) fn drive(link: &mut Link) -> impl Future<Output = Unknown> + Send + '_ {
    std::future::poll_fn(move |context| {
        loop {
            match std::task::ready!(link.poll_message(context)) {
                Some(Ok(_)) => {}
                Some(Err(failed)) => return std::task::Poll::Ready(error::of_connecting(&failed)),
                None => {
                    let reason =
                        unknown(UnknownKind::Transport, "the server closed the connection");
                    return std::task::Poll::Ready(reason);
                }
            }
        }
    })
}

impl Database for Postgres {
    type Session = Session;

    fn connect(&self) -> BoxFuture<'_, Result<Session, Unknown>> {
        Box::pin(async {
            let opened = self.open().await?;
            let link = tokio::spawn(async move {
                if let Err(error) = opened.link.await {
                    debug!(%error, "a connection to PostgreSQL ended");
                }
            });
            Ok(Session {
                client: opened.client,
                link: link.abort_handle(),
                allowance: opened.allowance,
            })
        })
    }

    fn ask<'a>(
        &'a self,
        session: &'a mut Session,
        queries: &'a [Arc<str>],
        limit: Duration,
        answers: &'a mut Vec<Answer>,
    ) -> BoxFuture<'a, Result<(), Unknown>> {
        Box::pin(async move {
            let limit = limit.as_millis().max(1);
            // Per transaction, and not for the session: poolers hand sessions around.
            let begin = format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {limit}");
            let asked = queries
                .iter()
                .map(|query| one(&session.client, &begin, query));
            let asked: Vec<_> = asked.collect();
            let mut asked = pin!(stream::iter(asked).buffered(PIPELINED));
            session.allowance.renew();
            while let Some(answer) = asked.next().await {
                answers.push(answer.map_err(|lost| session.allowance.judge(lost))?);
            }
            Ok(())
        })
    }
}

/// One query in a transaction of its own that writes nothing, in one round trip.
async fn one(client: &Client, begin: &str, query: &str) -> Result<Answer, Unknown> {
    let (begun, row, ended) = tokio::join!(
        biased;
        client.batch_execute(begin),
        first_row(client, query),
        client.batch_execute("ROLLBACK"),
    );
    let row = match begun.and(row) {
        Ok(row) => row,
        Err(failed) => return error::of_query(&failed),
    };
    if let Err(failed) = ended
        && let Err(lost) = error::of_query(&failed)
    {
        return Err(lost);
    }
    Ok(match number(row.as_ref()) {
        Ok(number) => Answer::Number(number),
        Err(message) => Answer::Failed(unknown(UnknownKind::Parse, message)),
    })
}

/// The first row; what follows is not read.
async fn first_row(client: &Client, query: &str) -> Result<Option<Row>, tokio_postgres::Error> {
    let nothing: [(&(dyn ToSql + Sync), Type); 0] = [];
    let mut rows = pin!(client.query_typed_raw(query, nothing).await?);
    rows.try_next().await
}

fn number(row: Option<&Row>) -> Result<f64, String> {
    let row = row.ok_or("the query selects no row")?;
    let [column] = row.columns() else {
        return Err(format!(
            "the query selects {} columns instead of one",
            row.len()
        ));
    };
    let kind = column.type_();
    match row.try_get::<_, Option<Number>>(0) {
        Ok(Some(Number(number))) => Ok(number),
        Ok(None) => Err("the query selects NULL: use coalesce to say what that means".to_owned()),
        Err(_) => Err(format!("the query selects a {kind}, which is no number")),
    }
}
