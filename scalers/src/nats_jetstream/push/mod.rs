//! Follows messages of subjects, so that a function wakes before the next poll. Consumes nothing: it is a plain
//! subscription of NATS beside the stream, and JetStream keeps the messages for its consumers.
//!
//! One connection per server and login: `server` says where and who, `connection` opens it and signs in, `protocol` reads
//! what comes, and `subscriptions` bounds how much comes.

mod connection;
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

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

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
    /// Subjects were added or are of no use any more.
    changed: Notify,
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
        watched.insert(handle, Watched { subject, on_change });
        follower.shared.changed.notify_one();
        true
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
                // A server with many of them would fill the log.
                Said::Forbidden if !std::mem::replace(&mut is_told, true) => {
                    warn!(server = ?self.login, "push: a subject may not be followed there");
                }
                Said::Forbidden | Said::Pong | Said::Ok | Said::Info(_) => {}
            }
        }
    }

    /// Keeps the subscriptions as they should be, answers pings, and passes on what was heard.
    async fn subscribe(&self, writer: &mut Writer, heard: &Heard) -> Result<Infallible, Unknown> {
        let mut subscriptions = Subscriptions::default();
        let mut beat = Instant::now() + HEARTBEAT;
        let mut turn = Turn::default();
        subscriptions.want(&self.subjects(), &mut turn);
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

/// Connections that broke one after the other.
#[derive(Debug)]
struct Outage {
    pause: Duration,
    is_said: bool,
}

impl Default for Outage {
    fn default() -> Self {
        Self {
            pause: FIRST_PAUSE,
            is_said: false,
        }
    }
}

impl Outage {
    /// One broke that had `held` so long: until the next, and whether an outage begins with it. One that breaks at once
    /// belongs to the outage before it.
    fn broken_after(&mut self, held: Duration) -> (Duration, bool) {
        if held > LONGEST_PAUSE {
            *self = Self::default();
        }
        let pause = self.pause;
        self.pause = LONGEST_PAUSE.min(pause * 2);
        (pause, !std::mem::replace(&mut self.is_said, true))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_said_once_and_ends_with_a_connection_that_holds() {
        let mut outage = Outage::default();
        let first = outage.broken_after(Duration::ZERO);
        assert_eq!(first, (FIRST_PAUSE, true));
        assert_eq!(
            outage.broken_after(Duration::ZERO),
            (FIRST_PAUSE * 2, false)
        );
        for _ in 0..10 {
            let (pause, is_new) = outage.broken_after(LONGEST_PAUSE);
            assert!(pause <= LONGEST_PAUSE && !is_new);
        }
        assert_eq!(outage.broken_after(HEARTBEAT), (FIRST_PAUSE, true));
        assert_eq!(
            outage.broken_after(Duration::ZERO),
            (FIRST_PAUSE * 2, false)
        );
    }
}
