//! Push: one connection that listens for all triggers of a server, made when the first asks for it.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_postgres::{AsyncMessage, Client};
use tracing::{debug, warn};
use zeron_core::metric::{Unknown, UnknownKind};
use zeron_core::roles::TriggerHandle;

use super::client::{Link, Opened, Postgres, drive};
use super::error;
use super::transport::Allowance;
use crate::source::{OnChange, unknown};
use crate::sql::{BackOff, Listen};

/// Longest time for connecting, and for each statement.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A connection that heard nothing for so long is asked whether it lives.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// A flood of notifications is passed on this seldom; the first at once.
const FLOOD_PAUSE: Duration = Duration::from_millis(50);

/// The channel of notifications that we send ourselves, to know whether any come through.
const OWN_CHANNEL: &str = "zeron_push";

/// How long one of those may take.
const HEARD_WITHIN: Duration = Duration::from_secs(5);

/// What hears nothing is tried again so soon the first time: the machine may have stood still.
const DEAF_AT_FIRST: Duration = Duration::from_secs(5);

/// And then so seldom: a pooler does not go away by itself.
const DEAF_FOR: Duration = Duration::from_secs(60);

/// Listens on the channels of all triggers of a server.
pub(super) struct Listener {
    shared: Arc<Shared>,
}

struct Shared {
    database: Arc<Postgres>,
    state: Mutex<State>,
    /// Channels were added or are of no use any more.
    changed: Notify,
    heard: Mutex<BTreeSet<String>>,
    has_heard: Notify,
    /// Why nobody listens.
    trouble: Mutex<Option<String>>,
}

/// Why nobody listens any more.
#[derive(Debug, Error)]
enum Ended {
    /// The connection cannot be made, or broke, or may not listen.
    #[error("{}", .0.message)]
    Broken(Unknown),
    /// It stands, and nothing comes through.
    #[error(
        "a notification of our own was not heard: behind a pooler that lends a session per transaction nobody can LISTEN"
    )]
    Deaf,
}

impl From<Unknown> for Ended {
    fn from(reason: Unknown) -> Self {
        Self::Broken(reason)
    }
}

#[derive(Default)]
struct State {
    watched: HashMap<TriggerHandle, Watched>,
    /// Whether the task runs that listens.
    is_followed: bool,
}

struct Watched {
    channel: String,
    on_change: OnChange,
}

impl Listener {
    /// Connects when the first trigger asks for it.
    pub(super) fn new(database: Arc<Postgres>) -> Self {
        Self {
            shared: Arc::new(Shared {
                database,
                state: Mutex::default(),
                changed: Notify::new(),
                heard: Mutex::default(),
                has_heard: Notify::new(),
                trouble: Mutex::default(),
            }),
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").finish_non_exhaustive()
    }
}

impl Listen for Listener {
    fn listen(&self, handle: TriggerHandle, channel: &str, on_change: OnChange) -> bool {
        let Ok(runtime) = Handle::try_current() else {
            return false;
        };
        let watched = Watched {
            channel: channel.to_owned(),
            on_change,
        };
        let mut state = self.shared.state.lock();
        state.watched.insert(handle, watched);
        if !std::mem::replace(&mut state.is_followed, true) {
            runtime.spawn(Arc::clone(&self.shared).follow());
        }
        self.shared.changed.notify_one();
        true
    }

    fn trouble(&self) -> Option<String> {
        self.shared.trouble.lock().clone()
    }

    fn forget(&self, handle: TriggerHandle) {
        if self.shared.state.lock().watched.remove(&handle).is_some() {
            self.shared.changed.notify_one();
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shared.state.lock().watched.clear();
        self.shared.changed.notify_one();
    }
}

impl Shared {
    /// Listens until nobody wants to hear, on one connection after the other.
    async fn follow(self: Arc<Self>) {
        let back_off = BackOff::default();
        let mut was_deaf = false;
        loop {
            let Err(ended) = self.listen(&back_off).await else {
                return;
            };
            let pause = match &ended {
                Ended::Broken(reason) => back_off.failed(reason),
                Ended::Deaf if was_deaf => DEAF_FOR,
                Ended::Deaf => DEAF_AT_FIRST,
            };
            was_deaf = matches!(ended, Ended::Deaf);
            self.note(&ended, pause);
            if !self.is_wanted_after(pause).await {
                return;
            }
        }
    }

    fn note(&self, ended: &Ended, pause: Duration) {
        let server = self.database.shown();
        debug!(server, %ended, ?pause, "not listening");
        let before = self.trouble.lock().replace(ended.to_string());
        // Once an outage.
        if before.is_none() {
            warn!(server, %ended, "push is interrupted; polling goes on");
        }
    }

    /// Waits, but not longer than somebody wants to hear. One trigger more waits too.
    async fn is_wanted_after(&self, pause: Duration) -> bool {
        let mut over = pin!(sleep(pause));
        while self.channels().is_some() {
            tokio::select! {
                () = &mut over => return true,
                () = self.changed.notified() => {}
            }
        }
        false
    }

    /// What to listen on; `None`, and the task is over, when nobody is left.
    fn channels(&self) -> Option<BTreeSet<String>> {
        let mut state = self.state.lock();
        let channels: BTreeSet<_> = state
            .watched
            .values()
            .map(|it| it.channel.clone())
            .collect();
        state.is_followed = !channels.is_empty();
        state.is_followed.then_some(channels)
    }

    /// Listens on one connection, until nobody is left or it breaks.
    async fn listen(&self, back_off: &BackOff) -> Result<(), Ended> {
        let opened = within(self.database.open()).await?;
        tokio::select! {
            ended = self.hear(opened.link, &opened.allowance) => Err(ended.into()),
            asked = self.subscribe(&opened.client, back_off) => asked,
        }
    }

    /// Keeps the server's list of channels as it should be, and passes on what was heard.
    async fn subscribe(&self, client: &Client, back_off: &BackOff) -> Result<(), Ended> {
        if !self.is_reached(client).await? {
            return Err(Ended::Deaf);
        }
        let mut listened = BTreeSet::new();
        while let Some(wanted) = self.channels() {
            let gone = listened.difference(&wanted).map(|it| ("UNLISTEN", it));
            let new = wanted.difference(&listened).map(|it| ("LISTEN", it));
            let statements: Vec<_> = gone
                .chain(new)
                .map(|(word, channel)| format!("{word} \"{}\"", channel.replace('"', "\"\"")))
                .collect();
            if !statements.is_empty() {
                execute(client, &statements.join("; ")).await?;
            }
            listened = wanted;
            back_off.succeeded();
            *self.trouble.lock() = None;
            tokio::select! {
                () = self.changed.notified() => {}
                () = self.has_heard.notified() => {
                    self.pass_on();
                    sleep(FLOOD_PAUSE).await;
                }
                () = sleep(HEARTBEAT) => execute(client, "").await?,
            }
        }
        Ok(())
    }

    /// Whether notifications come through to `client`. A pooler that lends a session per transaction takes LISTEN, and
    /// the session that listens then is somebody else's.
    async fn is_reached(&self, client: &Client) -> Result<bool, Unknown> {
        execute(client, &format!("LISTEN {OWN_CHANNEL}")).await?;
        // Of others, who tried before in the session that `client` had.
        self.heard.lock().clear();
        if let Err(reason) = self.notify().await {
            debug!(
                reason.message,
                "not known whether notifications come through"
            );
            return Ok(true);
        }
        let is_heard = timeout(HEARD_WITHIN, self.hears_itself()).await.is_ok();
        execute(client, &format!("UNLISTEN {OWN_CHANNEL}")).await?;
        // While the machine stood still the time passed with the notification unread: it came before this answer.
        Ok(is_heard || self.heard.lock().contains(OWN_CHANNEL))
    }

    /// Over another connection: on the way back from its own statement a client hears itself through any pooler.
    async fn notify(&self) -> Result<(), Unknown> {
        let Opened {
            client, mut link, ..
        } = within(self.database.open()).await?;
        let statement = format!("NOTIFY {OWN_CHANNEL}");
        tokio::select! {
            sent = execute(&client, &statement) => sent,
            ended = drive(&mut link) => Err(ended),
        }
    }

    async fn hears_itself(&self) {
        while !self.heard.lock().remove(OWN_CHANNEL) {
            self.has_heard.notified().await;
        }
    }

    /// Drives the connection and notes the channels of notifications.
    async fn hear(&self, mut link: Link, allowance: &Allowance) -> Unknown {
        loop {
            allowance.renew();
            match poll_fn(|context| link.poll_message(context)).await {
                Some(Ok(AsyncMessage::Notification(it))) => {
                    self.heard.lock().insert(it.channel().to_owned());
                    self.has_heard.notify_one();
                }
                Some(Ok(_)) => {}
                Some(Err(failed)) => return error::of_connecting(&failed),
                None => return unknown(UnknownKind::Transport, "the server closed the connection"),
            }
        }
    }

    fn pass_on(&self) {
        let heard = std::mem::take(&mut *self.heard.lock());
        let state = self.state.lock();
        let watched = state.watched.iter();
        let told = watched.filter(|(_, it)| heard.contains(&it.channel));
        let told: Vec<_> = told
            .map(|(handle, it)| (*handle, Arc::clone(&it.on_change)))
            .collect();
        drop(state);
        for (handle, on_change) in told {
            on_change(handle);
        }
    }
}

async fn execute(client: &Client, statements: &str) -> Result<(), Unknown> {
    let executed = async {
        let executed = client.batch_execute(statements).await;
        executed.map_err(|failed| error::of_connecting(&failed))
    };
    within(executed).await
}

async fn within<T>(work: impl Future<Output = Result<T, Unknown>>) -> Result<T, Unknown> {
    let late = |_| unknown(UnknownKind::Timeout, "there was no answer in time");
    timeout(ANSWER_WITHIN, work).await.map_err(late)?
}
