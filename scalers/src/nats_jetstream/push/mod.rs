//! Follows messages of subjects, so that a function wakes before the next poll. Consumes nothing: it is a plain
//! subscription of NATS beside the stream, and JetStream keeps the messages for its consumers.
//!
//! One connection per server and login: `server` says where and who, `connection` opens it and signs in, `protocol` reads
//! what comes, and `subscriptions` bounds how much comes.

mod connection;
mod outage;
mod protocol;
mod server;
mod subscriptions;

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::warn;
use zeron_core::metric::{Unknown, UnknownKind};
use zeron_core::roles::TriggerHandle;

use crate::AddressPolicy;
use crate::source::{OnChange, unknown};
use connection::{Reader, Writer, open};
use outage::Outage;
use protocol::{Heard, Said, lost};
use subscriptions::{Subscriptions, Turn};

pub(super) use server::{Login, Pushed};

/// Triggers of one login that are followed; those beyond are polled alone.
const MAX_FOLLOWED: usize = 1_000;

/// Longest time for connecting, and for everything that is sent.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How often the server is asked whether it lives.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// A longer silence is its end.
const SILENCE: Duration = Duration::from_secs(45);

/// Those who follow, by where and as whom.
#[derive(Debug, Default)]
pub(super) struct Followers(Mutex<HashMap<Login, Follower>>);

/// Follows all triggers of one login; its task ends when this is dropped.
#[derive(Debug)]
struct Follower {
    shared: Arc<Shared>,
    _task: JoinSet<()>,
}

struct Shared {
    login: Login,
    addresses: AddressPolicy,
    watched: Mutex<HashMap<TriggerHandle, Watched>>,
    /// Why there is no connection.
    trouble: Mutex<Option<String>>,
    /// Subscriptions that the server refused to this connection.
    refused: Mutex<Refused>,
    /// Subjects were added or are of no use any more.
    changed: Notify,
}

/// What the server lets nobody of a login follow.
#[derive(Debug, Default)]
struct Refused {
    subjects: BTreeSet<String>,
    /// It did not say which.
    is_unnamed: bool,
}

impl Refused {
    fn said_of(&self, subject: &str) -> Option<String> {
        if self.subjects.contains(subject) {
            return Some(format!("{subject} may not be followed there"));
        }
        self.is_unnamed
            .then(|| "the server refused a subscription of this login".to_owned())
    }
}

struct Watched {
    subject: String,
    on_change: OnChange,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shared({:?})", self.login)
    }
}

impl Followers {
    /// Follows a trigger; `false`: there are too many already. Called within a runtime.
    pub(super) fn add(
        &self,
        handle: TriggerHandle,
        pushed: &Pushed,
        addresses: &AddressPolicy,
        on_change: OnChange,
    ) -> bool {
        let mut followers = self.0.lock();
        let follower = followers
            .entry(pushed.login.clone())
            .or_insert_with(|| Follower::start(pushed.login.clone(), addresses.clone()));
        let mut watched = follower.shared.watched.lock();
        if watched.len() >= MAX_FOLLOWED {
            warn!(server = ?pushed.login, limit = MAX_FOLLOWED, "too many triggers with push: this one is polled alone");
            return false;
        }
        let subject = pushed.subject.clone();
        if !watched.values().any(|it| it.subject == subject) {
            // It is asked for anew.
            follower.shared.refused.lock().subjects.remove(&subject);
        }
        watched.insert(handle, Watched { subject, on_change });
        follower.shared.changed.notify_one();
        true
    }

    /// Why nothing is heard of a trigger.
    pub(super) fn trouble(&self, handle: TriggerHandle, pushed: &Pushed) -> Option<String> {
        let followers = self.0.lock();
        let shared = followers.get(&pushed.login).map(|it| &it.shared);
        match shared.filter(|it| it.watched.lock().contains_key(&handle)) {
            Some(shared) => shared.trouble(&pushed.subject),
            None => Some(format!(
                "more than {MAX_FOLLOWED} triggers with push have this server and login"
            )),
        }
    }

    /// Follows it no more; the connection ends with the last.
    pub(super) fn remove(&self, handle: TriggerHandle, pushed: &Pushed) {
        let mut followers = self.0.lock();
        let Some(follower) = followers.get(&pushed.login) else {
            return;
        };
        let mut watched = follower.shared.watched.lock();
        watched.remove(&handle);
        let is_last = watched.is_empty();
        drop(watched);
        if is_last {
            followers.remove(&pushed.login);
        } else {
            follower.shared.changed.notify_one();
        }
    }
}

impl Follower {
    fn start(login: Login, addresses: AddressPolicy) -> Self {
        let shared = Arc::new(Shared {
            login,
            addresses,
            watched: Mutex::default(),
            trouble: Mutex::default(),
            refused: Mutex::default(),
            changed: Notify::new(),
        });
        let mut task = JoinSet::new();
        task.spawn(Arc::clone(&shared).follow());
        Self {
            shared,
            _task: task,
        }
    }
}

impl Shared {
    fn trouble(&self, subject: &str) -> Option<String> {
        let broken = self.trouble.lock().clone();
        broken.or_else(|| self.refused.lock().said_of(subject))
    }

    /// On one connection after the other, until it is aborted.
    async fn follow(self: Arc<Self>) {
        let mut outage = Outage::default();
        loop {
            let opened = within(open(&self.login, &self.addresses)).await;
            // The time of a connection that stood, without that of connecting.
            let began = Instant::now();
            let reason = match opened {
                Ok((reader, writer)) => self.listen(reader, writer).await,
                Err(reason) => reason,
            };
            *self.trouble.lock() = Some(reason.message.clone());
            let (pause, is_new) = outage.broken_after(began.elapsed());
            if is_new {
                let reason = &reason.message;
                warn!(server = ?self.login, %reason, "push is interrupted; polling goes on");
            }
            sleep(pause).await;
        }
    }

    /// Until the connection breaks.
    async fn listen(&self, mut reader: Reader, mut writer: Writer) -> Unknown {
        let heard = Heard::default();
        *self.refused.lock() = Refused::default();
        let ended = tokio::select! {
            ended = self.hear(&mut reader, &heard) => ended,
            ended = self.subscribe(&mut writer, &heard) => ended,
        };
        match ended {
            Err(reason) => reason,
            Ok(never) => match never {},
        }
    }

    /// Reads all that comes, and notes what it was.
    async fn hear(&self, reader: &mut Reader, heard: &Heard) -> Result<Infallible, Unknown> {
        let mut is_told = false;
        loop {
            match in_time(SILENCE, reader.next()).await? {
                Said::Message { sid, payload } => {
                    in_time(SILENCE, reader.skip(payload)).await?;
                    heard.note_message(sid);
                }
                Said::Ping => heard.note_ping(),
                Said::Forbidden(subject) => {
                    // A server with many of them would fill the log.
                    if !std::mem::replace(&mut is_told, true) {
                        warn!(server = ?self.login, "push: a subject may not be followed there");
                    }
                    self.refuse(subject);
                }
                // To what was sent behind the first subscriptions.
                Said::Pong => *self.trouble.lock() = None,
                Said::Ok | Said::Info(_) => {}
            }
        }
    }

    /// Keeps the subscriptions as they should be, answers pings, and passes on what was heard.
    async fn subscribe(&self, writer: &mut Writer, heard: &Heard) -> Result<Infallible, Unknown> {
        let mut subscriptions = Subscriptions::default();
        let mut beat = Instant::now() + HEARTBEAT;
        let mut turn = Turn::default();
        subscriptions.want(&self.subjects(), &mut turn);
        turn.commands.push_str("PING\r\n");
        loop {
            let (now, news) = (Instant::now(), heard.take());
            subscriptions.look(&news.messages, now, &mut turn);
            if news.is_pinged {
                turn.commands.push_str("PONG\r\n");
            }
            if now >= beat {
                beat = now + HEARTBEAT;
                turn.commands.push_str("PING\r\n");
            }
            within(send(writer, &turn.commands)).await?;
            // After the commands: what is published from here on is heard.
            self.pass_on(&turn.active);
            let next = turn.next.map_or(beat, |next| next.min(beat));
            turn = Turn::default();
            tokio::select! {
                () = self.changed.notified() => subscriptions.want(&self.subjects(), &mut turn),
                () = heard.arrived() => {}
                () = sleep_until(next) => {}
            }
        }
    }

    /// Of the subjects that servers name as many are kept as are watched.
    fn refuse(&self, subject: Option<String>) {
        let ours = self.subjects();
        let mut refused = self.refused.lock();
        refused.subjects.retain(|it| ours.contains(it));
        match subject.filter(|it| ours.contains(it)) {
            Some(subject) => drop(refused.subjects.insert(subject)),
            None => refused.is_unnamed = true,
        }
    }

    fn subjects(&self) -> BTreeSet<String> {
        let watched = self.watched.lock();
        watched.values().map(|it| it.subject.clone()).collect()
    }

    fn pass_on(&self, active: &BTreeSet<String>) {
        if active.is_empty() {
            return;
        }
        let watched = self.watched.lock();
        let told = watched
            .iter()
            .filter(|(_, it)| active.contains(&it.subject));
        let told: Vec<_> = told
            .map(|(handle, it)| (*handle, Arc::clone(&it.on_change)))
            .collect();
        drop(watched);
        for (handle, on_change) in told {
            on_change(handle);
        }
    }
}

async fn send(writer: &mut Writer, commands: &str) -> Result<(), Unknown> {
    let sent = async {
        writer.write_all(commands.as_bytes()).await?;
        writer.flush().await
    };
    sent.await.map_err(|error| lost(&error))
}

async fn within<T>(work: impl Future<Output = Result<T, Unknown>>) -> Result<T, Unknown> {
    in_time(ANSWER_WITHIN, work).await
}

async fn in_time<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Unknown>>,
) -> Result<T, Unknown> {
    let late = |_| unknown(UnknownKind::Timeout, "the server is silent");
    timeout(limit, work).await.map_err(late)?
}
