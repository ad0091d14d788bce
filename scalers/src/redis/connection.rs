//! One connection: the checked address is dialled, TLS and credentials as declared, every answer within a deadline.
//!
//! The client library speaks the protocol on a stream that we dial ourselves: so the address that was checked is the one
//! that is reached, also for nodes that a sentinel or a cluster names.

use std::io;
use std::sync::{Arc, OnceLock};

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Cmd, Pipeline, ProtocolVersion, PushInfo, RedisConnectionInfo, Value,
};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use zeron_core::metric::{Unknown, UnknownKind};

use super::error::ReadError;
use super::key::{Credentials, Host};
use super::stream::Bounded;
use crate::AddressPolicy;
use crate::source::unknown;
use crate::tls::TlsSettings;

/// What is called with every message that a server sends by itself.
pub(super) type OnMessage = Arc<dyn Fn(PushInfo) + Send + Sync>;

/// How the servers of one source are reached.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) policy: AddressPolicy,
    pub(super) credentials: Credentials,
    pub(super) database: u32,
    tls: Option<Tls>,
}

/// TLS settings, and what they come to, once.
#[derive(Debug)]
struct Tls {
    settings: TlsSettings,
    config: OnceLock<Result<Arc<ClientConfig>, Unknown>>,
}

impl Access {
    pub(super) fn new(
        policy: AddressPolicy,
        credentials: Credentials,
        database: u32,
        tls: Option<TlsSettings>,
    ) -> Self {
        let tls = tls.map(|settings| Tls {
            settings,
            config: OnceLock::new(),
        });
        Self {
            policy,
            credentials,
            database,
            tls,
        }
    }

    /// A connection that has answered once, in the database, with the credentials accepted.
    pub(super) async fn connect(
        &self,
        host: &Host,
        deadline: Instant,
    ) -> Result<Connection, ReadError> {
        let server: Arc<str> = host.to_string().into();
        let opening = async {
            let stream = self.open(host, &server, deadline).await?;
            // AUTH and SELECT are sent by ourselves: the library drops the server's reasons.
            let info = RedisConnectionInfo::default().set_skip_set_lib_name();
            let connection = Connection::over(stream, &info, config(), &server).await?;
            self.sign_in(&connection, deadline).await?;
            Ok(connection)
        };
        match timeout_at(deadline, opening).await {
            Ok(connection) => connection,
            Err(_) => Err(ReadError::Timeout { server }),
        }
    }

    /// A connection on which `on_message` gets what the server sends by itself (RESP3, Redis 6).
    pub(super) async fn connect_listening(
        &self,
        host: &Host,
        on_message: OnMessage,
        deadline: Instant,
    ) -> Result<Connection, ReadError> {
        let server: Arc<str> = host.to_string().into();
        let opening = async {
            let stream = self.open(host, &server, deadline).await?;
            let mut info = RedisConnectionInfo::default()
                .set_skip_set_lib_name()
                .set_protocol(ProtocolVersion::RESP3)
                .set_db(i64::from(self.database));
            if let Some(password) = &self.credentials.password {
                info = info.set_password(password.expose());
                if let Some(username) = &self.credentials.username {
                    info = info.set_username(username.expose());
                }
            }
            let sender = move |message: PushInfo| -> Result<(), ()> {
                on_message(message);
                Ok(())
            };
            Connection::over(stream, &info, config().set_push_sender(sender), &server).await
        };
        match timeout_at(deadline, opening).await {
            Ok(connection) => connection,
            Err(_) => Err(ReadError::Timeout { server }),
        }
    }

    async fn open(
        &self,
        host: &Host,
        server: &Arc<str>,
        deadline: Instant,
    ) -> Result<Bounded, ReadError> {
        let prepared = |unknown| ReadError::Prepared {
            server: Arc::clone(server),
            unknown,
        };
        let tls = match &self.tls {
            Some(tls) => Some((
                tls.config().map_err(prepared)?,
                server_name(host).map_err(prepared)?,
            )),
            None => None,
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let resolved = self.policy.resolve(&host.name, host.port, left).await;
        let stream = dial(&resolved.map_err(prepared)?)
            .await
            .map_err(|error| ReadError::from_io(server, error))?;
        match tls {
            None => Ok(Bounded::plain(stream)),
            Some((config, name)) => {
                let shaken = TlsConnector::from(config).connect(name, stream).await;
                let stream = shaken.map_err(|error| ReadError::from_io(server, error))?;
                Ok(Bounded::tls(stream))
            }
        }
    }

    async fn sign_in(&self, connection: &Connection, deadline: Instant) -> Result<(), ReadError> {
        let Credentials { username, password } = &self.credentials;
        let mut hello = redis::cmd(if password.is_some() { "AUTH" } else { "PING" });
        if let Some(password) = password {
            if let Some(username) = username {
                hello.arg(username.expose());
            }
            hello.arg(password.expose());
        }
        let greeted = connection.ask_one(&hello, deadline).await?;
        match (&greeted, password) {
            (Value::ServerError(error), Some(_)) => {
                let refused = ReadError::from_server(&connection.server, error);
                // Whatever AUTH fails with, the text may repeat what was sent.
                return Err(match refused {
                    ReadError::Refused { server, code, .. } if code == "ERR" => {
                        ReadError::Authentication { server, code }
                    }
                    other => other,
                });
            }
            // A user that may not PING may still read.
            (Value::ServerError(error), None) if error.code() != "NOPERM" => {
                return Err(ReadError::from_server(&connection.server, error));
            }
            _ => {}
        }
        if self.database == 0 {
            return Ok(());
        }
        let mut select = redis::cmd("SELECT");
        select.arg(self.database);
        match connection.ask_one(&select, deadline).await? {
            Value::ServerError(error) if error.code() == "ERR" => {
                let message = format!("there is no database {}", self.database);
                Err(ReadError::Prepared {
                    server: Arc::clone(&connection.server),
                    unknown: unknown(UnknownKind::Configuration, message),
                })
            }
            Value::ServerError(error) => Err(ReadError::from_server(&connection.server, &error)),
            _ => Ok(()),
        }
    }
}

impl Tls {
    fn config(&self) -> Result<Arc<ClientConfig>, Unknown> {
        let made = self
            .config
            .get_or_init(|| self.settings.client_config().map(Arc::new));
        made.clone()
    }
}

fn server_name(host: &Host) -> Result<ServerName<'static>, Unknown> {
    ServerName::try_from(host.name.to_string()).map_err(|_| {
        let message = "the host is no name that a certificate could have";
        unknown(UnknownKind::Configuration, message)
    })
}

/// Dials one after the other; the deadline is the caller's.
async fn dial(addresses: &[std::net::SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Deadlines are ours, so that a blocking command may take as long as it was told to.
fn config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_response_timeout(None)
        .set_connection_timeout(None)
}

/// A connection that many may use at once. It closes with its last clone.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    inner: MultiplexedConnection,
    driver: Arc<Driver>,
    /// Host and port.
    pub(super) server: Arc<str>,
}

/// The task that moves the bytes.
#[derive(Debug)]
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Connection {
    async fn over(
        stream: Bounded,
        info: &RedisConnectionInfo,
        config: AsyncConnectionConfig,
        server: &Arc<str>,
    ) -> Result<Self, ReadError> {
        let made = MultiplexedConnection::new_with_config(info, stream, config).await;
        let (inner, driver) = made.map_err(|error| ReadError::from_redis(server, &error))?;
        Ok(Self {
            inner,
            driver: Arc::new(Driver(tokio::spawn(driver).abort_handle())),
            server: Arc::clone(server),
        })
    }

    /// Whether it is open, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        !self.driver.0.is_finished()
    }

    /// Whether both are the same connection.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.driver, &other.driver)
    }

    /// Sends one command. A refusal is an answer ([`Value::ServerError`]).
    pub(super) async fn ask_one(
        &self,
        command: &Cmd,
        deadline: Instant,
    ) -> Result<Value, ReadError> {
        let mut inner = self.inner.clone();
        match timeout_at(deadline, inner.send_packed_command(command)).await {
            Ok(answer) => answer.map_err(|error| ReadError::from_redis(&self.server, &error)),
            Err(_) => Err(self.late()),
        }
    }

    /// Sends commands at once: one answer each, in their order. A refusal is an answer ([`Value::ServerError`]).
    pub(super) async fn ask(
        &self,
        commands: &[Cmd],
        deadline: Instant,
    ) -> Result<Vec<Value>, ReadError> {
        let mut pipeline = Pipeline::with_capacity(commands.len());
        for command in commands {
            pipeline.add_command(command.clone());
        }
        let mut inner = self.inner.clone();
        let sent = inner.send_packed_commands(&pipeline, 0, commands.len());
        match timeout_at(deadline, sent).await {
            Err(_) => Err(self.late()),
            Ok(Err(error)) => Err(ReadError::from_redis(&self.server, &error)),
            Ok(Ok(values)) if values.len() == commands.len() => Ok(values),
            Ok(Ok(_)) => Err(ReadError::Garbled {
                server: Arc::clone(&self.server),
            }),
        }
    }

    /// Subscribes to channels (RESP3).
    pub(super) async fn subscribe(
        &self,
        channels: &[String],
        deadline: Instant,
    ) -> Result<(), ReadError> {
        let mut inner = self.inner.clone();
        match timeout_at(deadline, inner.subscribe(channels)).await {
            Ok(done) => done.map_err(|error| ReadError::from_redis(&self.server, &error)),
            Err(_) => Err(self.late()),
        }
    }

    fn late(&self) -> ReadError {
        ReadError::Timeout {
            server: Arc::clone(&self.server),
        }
    }
}
