//! One AMQP connection: how it is made, and how queues are asked for on it.
//!
//! lapin gives every connection a thread, which waits for the socket alone; the [`Breaker`] ends it when nobody waits any
//! more. It never recovers a connection by itself: the owner makes a new one.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::{join, join_all};
use futures_util::stream::{self, StreamExt};
use lapin::options::QueueDeclareOptions;
use lapin::tcp::RustlsConnector;
use lapin::types::FieldTable;
use lapin::uri::{
    AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo, SASLMechanism,
};
use lapin::{AsyncTcpStream, Channel, Connection, ConnectionProperties, ErrorKind};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio::time::timeout_at;
use zeron_core::metric::{Unknown, UnknownKind};

use super::super::trigger::{Login, SourceKey};
use super::breaker::Breaker;
use super::failure;
use crate::AddressPolicy;
use crate::source::unknown;

/// Channels of a connection that are in use at once.
const MAX_CHANNELS: usize = 8;
/// Channels that hang before the connection is replaced. The server allows some thousand.
const MAX_UNFINISHED: usize = MAX_CHANNELS + 32;
/// Channels that are kept for the next evaluation.
const MAX_IDLE: usize = 2;
/// Queues that are asked for on one channel before the first answer is there.
const WINDOW: usize = 16;
/// Queues that are asked for on channels of their own at once.
const MAX_ALONE: usize = 4;
/// Seconds between heartbeats that are asked of the server.
const HEARTBEAT: u16 = 10;
/// Bytes of a frame: the least that every version of RabbitMQ accepts. Ours have some hundred.
const FRAME: u32 = 8192;
/// How long a connection that is not needed any more may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// What is known of each queue: its ready messages, or why they are unknown.
pub(super) type Counts = BTreeMap<String, Result<u32, Unknown>>;

/// A connection that was opened.
pub(super) struct Link {
    /// `None` only while it is dropped.
    connection: Option<Connection>,
    idle: Mutex<Vec<Channel>>,
    slots: Semaphore,
    breaker: Option<Breaker>,
    server: Arc<str>,
    is_given_up: AtomicBool,
    /// Channels in use, and those that were given up before they answered: the server may keep them for ever.
    unfinished: AtomicUsize,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("server", &self.server)
            .field("is_open", &self.is_open())
            .finish_non_exhaustive()
    }
}

impl Link {
    /// Connects to an address that `policy` allows, logs in and opens the virtual host.
    ///
    /// # Errors
    /// Why it cannot, at `deadline` at the latest.
    pub(super) async fn dial(
        key: &SourceKey,
        policy: &AddressPolicy,
        deadline: Instant,
    ) -> Result<Self, Unknown> {
        let server: Arc<str> = key.shown().into();
        let late = || {
            unknown(
                UnknownKind::Timeout,
                format!("{server} did not answer in time"),
            )
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let addresses = policy.resolve(&key.name, key.port, left).await?;
        let tls = match &key.tls {
            Some(settings) => Some(RustlsConnector::from(settings.client_config()?)),
            None => None,
        };
        let breaker = Breaker::default();
        let (fuse, name) = (breaker.fuse(), key.name.clone());
        let runtime = lapin::runtime::default_runtime().map_err(|it| failure::of(&server, &it))?;
        let opened = Connection::connector(
            uri(key),
            runtime,
            async move |_, runtime| {
                let connecting = AsyncTcpStream::connect(&runtime, addresses.clone());
                let stream = within(deadline, connecting).await?;
                if let AsyncTcpStream::Plain(plain) = &stream {
                    fuse.arm(plain.get_ref())?;
                }
                let Some(connector) = &tls else {
                    return Ok(stream);
                };
                Ok(within(deadline, stream.into_rustls(connector, &name)).await?)
            },
            properties(),
        );
        let opened = timeout_at(deadline, opened).await.map_err(|_| late())?;
        Ok(Self {
            connection: Some(opened.map_err(|error| failure::of(&server, &error))?),
            idle: Mutex::default(),
            slots: Semaphore::new(MAX_CHANNELS),
            breaker: Some(breaker),
            server,
            is_given_up: AtomicBool::new(false),
            unfinished: AtomicUsize::new(0),
        })
    }

    /// Whether it is connected.
    pub(super) fn is_open(&self) -> bool {
        let connection = self.connection.as_ref();
        connection.is_some_and(|it| it.status().connected())
    }

    /// Whether it should be used for the next evaluation.
    pub(super) fn is_usable(&self) -> bool {
        let is_given_up = self.is_given_up.load(Ordering::Relaxed);
        let unfinished = self.unfinished.load(Ordering::Relaxed);
        self.is_open() && !is_given_up && unfinished < MAX_UNFINISHED
    }

    /// It is not used again: nothing is answered on it, and it may be dead without knowing it.
    pub(super) fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Relaxed);
    }

    /// Asks for `queues` on one channel, and for those in `suspects` on channels of their own: one that is missing
    /// closes its channel, and one that hangs blocks it. What is not known at `deadline` is left out; suspects have a
    /// quarter of the time, so that one that hangs again and again does not delay the others' answers as much.
    pub(super) async fn count(
        &self,
        queues: &[String],
        suspects: &[String],
        deadline: Instant,
    ) -> Counts {
        let counts = Mutex::new(Counts::new());
        let now = Instant::now();
        let patience = now + deadline.saturating_duration_since(now) / 4;
        let together = self.count_together(queues, &counts);
        let alone = suspects.iter().map(std::slice::from_ref);
        let alone: Vec<_> = alone.map(|it| self.count_together(it, &counts)).collect();
        let alone = stream::iter(alone)
            .buffer_unordered(MAX_ALONE)
            .collect::<()>();
        let both = join(together, timeout_at(patience, alone));
        if timeout_at(deadline, both).await.is_err() {
            tracing::debug!(server = %self.server, "not all queues were counted in time");
        }
        counts.into_inner()
    }

    /// Asks for `queues` on one channel, in windows.
    async fn count_together(&self, queues: &[String], counts: &Mutex<Counts>) {
        let mut left = queues;
        while !left.is_empty() {
            let answered = match self.count_on_a_channel(left, counts).await {
                Ok(answered) => answered,
                Err(error) => {
                    let error = failure::of(&self.server, &error);
                    let mut counts = counts.lock();
                    for queue in left {
                        let count = counts.entry(queue.clone());
                        count.or_insert_with(|| Err(error.clone()));
                    }
                    return;
                }
            };
            left = left.get(answered..).unwrap_or_default();
        }
    }

    /// Asks for queues until one fails, which closes the channel. Gives back how many have an answer, that one
    /// included.
    async fn count_on_a_channel(
        &self,
        queues: &[String],
        counts: &Mutex<Counts>,
    ) -> lapin::Result<usize> {
        let _slot = self.slots.acquire().await.map_err(io::Error::other)?;
        self.unfinished.fetch_add(1, Ordering::Relaxed);
        let answered = self.count_in_windows(queues, counts).await;
        self.unfinished.fetch_sub(1, Ordering::Relaxed);
        answered
    }

    async fn count_in_windows(
        &self,
        queues: &[String],
        counts: &Mutex<Counts>,
    ) -> lapin::Result<usize> {
        let channel = self.channel().await?;
        let mut answered = 0;
        for window in queues.chunks(WINDOW) {
            let asking = &channel;
            let asked = join_all(window.iter().map(|queue| async move {
                let count = declare(asking, queue).await?;
                counts.lock().insert(queue.clone(), Ok(count));
                lapin::Result::Ok(())
            }));
            let asked = asked.await;
            let Some(failed) = asked.iter().position(Result::is_err) else {
                answered += window.len();
                continue;
            };
            // Answers come in order: the first that fails is why the channel was closed, and those behind it were not
            // looked at.
            if let Some(Err(error)) = asked.get(failed) {
                if !matches!(error.kind(), ErrorKind::ProtocolError(_)) || !self.is_open() {
                    return Err(error.clone());
                }
                let error = failure::of(&self.server, error);
                counts.lock().insert(window[failed].clone(), Err(error));
            }
            return Ok(answered + failed + 1);
        }
        self.give_back(channel);
        Ok(answered)
    }

    async fn channel(&self) -> lapin::Result<Channel> {
        let kept = self.idle.lock().pop();
        match (kept, &self.connection) {
            (Some(channel), _) if channel.status().connected() => Ok(channel),
            (_, Some(connection)) => connection.create_channel().await,
            (_, None) => Err(io::Error::from(io::ErrorKind::NotConnected).into()),
        }
    }

    fn give_back(&self, channel: Channel) {
        let mut idle = self.idle.lock();
        if idle.len() < MAX_IDLE {
            idle.push(channel);
        }
    }
}

/// Says goodbye, for a short time: a server that hangs does not keep the thread.
impl Drop for Link {
    fn drop(&mut self) {
        self.idle.get_mut().clear();
        drop(self.connection.take());
        let breaker = self.breaker.take();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                tokio::time::sleep(GOODBYE).await;
                drop(breaker);
            });
        }
    }
}

/// The ready messages of a queue, which is not created.
async fn declare(channel: &Channel, queue: &str) -> lapin::Result<u32> {
    let options = QueueDeclareOptions::default().passive();
    let declared = channel.queue_declare(queue.into(), options, FieldTable::default());
    Ok(declared.await?.message_count())
}

async fn within<T>(deadline: Instant, io: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let done = timeout_at(deadline, io).await;
    done.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn uri(key: &SourceKey) -> AMQPUri {
    let (userinfo, mechanism) = match &key.login {
        Login::Password { user, password } => {
            let userinfo = AMQPUserInfo {
                username: user.expose().to_owned(),
                password: password.expose().to_owned(),
            };
            (userinfo, SASLMechanism::Plain)
        }
        Login::Certificate | Login::Anonymous => {
            let nobody = AMQPUserInfo {
                username: String::new(),
                password: String::new(),
            };
            (nobody, SASLMechanism::External)
        }
    };
    AMQPUri {
        scheme: match key.tls {
            Some(_) => AMQPScheme::AMQPS,
            None => AMQPScheme::AMQP,
        },
        authority: AMQPAuthority {
            userinfo,
            host: key.name.clone(),
            port: key.port,
        },
        vhost: key
            .connection_vhost
            .clone()
            .unwrap_or_else(|| "/".to_owned()),
        query: AMQPQueryString {
            frame_max: Some(FRAME),
            heartbeat: Some(HEARTBEAT),
            auth_mechanism: Some(mechanism),
            ..AMQPQueryString::default()
        },
    }
}

fn properties() -> ConnectionProperties {
    ConnectionProperties::default()
        .with_connection_name("zeron".into())
        .with_client_property("product".into(), "zeron".into())
        .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into())
}
