//! The connections on which arrivals are followed: which there are, and that they come back.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::super::backoff::Backoff;
use super::super::connection::{Access, Connection, OnMessage};
use super::super::error::ReadError;
use super::super::key::Host;
use super::super::measure::Measure;
use super::super::reader::{Reader, Server};
use super::super::slots::{SlotMap, slot};
use super::{Followed, Registry, Task, lists, note_trouble, streams};

/// Connections of one source; streams of a cluster beyond are polled alone.
const MAX_LANES: usize = 64;

/// Triggers that are declared one after the other share one start.
const GATHER: Duration = Duration::from_millis(10);

/// How often a cluster is asked whether keys have moved.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// How long connecting may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// How often a server without notifications is asked whether it has them now.
const OFF_FOR: Duration = Duration::from_secs(60);

/// A lane that held so long was no failure to begin with.
const HELD: Duration = Duration::from_secs(5);

/// Triggers of one lane.
pub(super) type Members = Arc<Vec<Arc<Followed>>>;

/// What is followed on a connection, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct LaneKey {
    is_streams: bool,
    /// `None`: the only server.
    node: Option<Host>,
    /// Of streams in a cluster.
    slot: Option<u16>,
}

/// With what tells them of other triggers.
type Lanes = BTreeMap<LaneKey, (watch::Sender<Members>, Task)>;

/// One connection on which triggers are followed.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) reader: Arc<Reader>,
    pub(super) members: watch::Receiver<Members>,
    node: Option<Host>,
}

/// Why a lane stopped without a failure.
#[derive(Debug)]
pub(super) enum End {
    /// Other triggers are to be followed.
    Changed,
    /// Nobody wants to know any more.
    Unwanted,
}

/// Why a lane failed.
#[derive(Debug, Error)]
pub(super) enum LaneError {
    /// The server tells nobody about its keys; its setting.
    #[error(
        "the server's notify-keyspace-events is {0:?}, and needs K and the classes of the keys (KA, or Kl for lists)"
    )]
    Off(String),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Keeps one lane for every server on which something is followed.
pub(super) async fn keep(reader: Arc<Reader>, registry: Arc<Registry>) {
    let mut lanes = Lanes::new();
    loop {
        let wanted = wanted(&reader, &registry).await;
        let is_known = wanted.is_ok();
        match wanted {
            Ok(wanted) => {
                lanes.retain(|key, _| wanted.contains_key(key));
                let left = lanes_of(&reader, &mut lanes, wanted);
                if left > 0 {
                    tracing::warn!(source = %reader.shown, limit = MAX_LANES, "too many connections for push: further streams are polled alone");
                }
            }
            // Those that are followed already stay so; their lanes know.
            Err(error) if lanes.is_empty() => {
                let followed: Vec<_> = registry.followed.lock().values().cloned().collect();
                note_trouble(&followed, Some(&error.to_string()));
            }
            Err(_) => {}
        }
        let changed = registry.changed.notified();
        match &reader.server {
            Server::One(_) => changed.await,
            Server::Cluster(_) => {
                let pause = if is_known { LOOK_AGAIN } else { GATHER * 100 };
                tokio::select! {
                    () = changed => {}
                    () = sleep(pause) => {}
                }
            }
        }
        sleep(GATHER).await;
    }
}

/// Starts the lanes that are missing. The answer is how many are not to be had.
fn lanes_of(
    reader: &Arc<Reader>,
    lanes: &mut Lanes,
    wanted: BTreeMap<LaneKey, Vec<Arc<Followed>>>,
) -> usize {
    let mut left = 0;
    for (key, members) in wanted {
        match lanes.get(&key) {
            Some((sender, _)) => offer(sender, members),
            None if lanes.len() < MAX_LANES => {
                let lane = start(reader, &key, members);
                lanes.insert(key, lane);
            }
            None => {
                let trouble = format!("push takes more than {MAX_LANES} connections there");
                note_trouble(&members, Some(&trouble));
                left += 1;
            }
        }
    }
    left
}

/// Which triggers are to be followed where.
async fn wanted(
    reader: &Reader,
    registry: &Registry,
) -> Result<BTreeMap<LaneKey, Vec<Arc<Followed>>>, ReadError> {
    let slots = match &reader.server {
        Server::One(_) => None,
        Server::Cluster(cluster) => Some(cluster.slots(Instant::now() + CONNECT_WITHIN).await?),
    };
    let mut wanted: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for it in registry.followed.lock().values() {
        match lane_of(&it.trigger.measure, slots.as_deref()) {
            Some(key) => wanted.entry(key).or_default().push(Arc::clone(it)),
            None => {
                let nobody = "no server of the cluster has the key's slot";
                *it.trouble.lock() = Some(nobody.to_owned());
            }
        }
    }
    wanted
        .values_mut()
        .for_each(|it| it.sort_by_key(|it| it.handle));
    Ok(wanted)
}

/// Where a key is followed; `None` where no node serves it.
fn lane_of(measure: &Measure, slots: Option<&SlotMap>) -> Option<LaneKey> {
    let is_streams = !matches!(measure, Measure::Elements { .. });
    let Some(slots) = slots else {
        return Some(LaneKey {
            is_streams,
            node: None,
            slot: None,
        });
    };
    let slot = slot(measure.key());
    Some(LaneKey {
        is_streams,
        node: Some(slots.node(slot)?.clone()),
        slot: is_streams.then_some(slot),
    })
}

fn offer(lane: &watch::Sender<Members>, members: Vec<Arc<Followed>>) {
    lane.send_if_modified(|held| {
        let same = held
            .iter()
            .map(|it| it.handle)
            .eq(members.iter().map(|it| it.handle));
        if !same {
            *held = Arc::new(members);
        }
        !same
    });
}

fn start(
    reader: &Arc<Reader>,
    key: &LaneKey,
    members: Vec<Arc<Followed>>,
) -> (watch::Sender<Members>, Task) {
    let (sender, receiver) = watch::channel(Arc::new(members));
    let lane = Lane {
        reader: Arc::clone(reader),
        members: receiver,
        node: key.node.clone(),
    };
    let is_streams = key.is_streams;
    (sender, Task::start(run(lane, is_streams)))
}

/// Follows until nobody wants to know, again and again.
async fn run(mut lane: Lane, is_streams: bool) {
    let mut backoff = Backoff::default();
    let mut is_said = false;
    loop {
        let began = Instant::now();
        let ended = if is_streams {
            streams::follow(&mut lane).await
        } else {
            lists::follow(&mut lane).await
        };
        if began.elapsed() > HELD {
            backoff.succeeded();
            is_said = false;
        }
        let error = match ended {
            Ok(End::Changed) => continue,
            Ok(End::Unwanted) => return,
            Err(error) => error,
        };
        if !is_said {
            tracing::warn!(source = %lane.reader.shown, %error, "push is interrupted; polling goes on");
        }
        is_said = true;
        let pause = match (&error, &lane.reader.server) {
            (LaneError::Off(_), _) => OFF_FOR,
            (LaneError::Read(_), Server::One(_)) => backoff.failed(),
            (LaneError::Read(_), Server::Cluster(cluster)) => {
                cluster.suspect();
                backoff.failed()
            }
        };
        if !lane.rest(pause, &error.to_string()).await {
            return;
        }
    }
}

impl Lane {
    /// Waits, and says why to whoever is to be followed. `false`: nobody is any more.
    async fn rest(&mut self, pause: Duration, trouble: &str) -> bool {
        let mut over = pin!(sleep(pause));
        loop {
            note_trouble(&self.members.borrow_and_update(), Some(trouble));
            tokio::select! {
                () = &mut over => return true,
                changed = self.members.changed() => if changed.is_err() {
                    return false;
                }
            }
        }
    }

    /// A connection of its own.
    pub(super) async fn connect(&self) -> Result<Connection, ReadError> {
        let deadline = Instant::now() + CONNECT_WITHIN;
        let (access, host) = self.place(deadline).await?;
        access.connect(&host, deadline).await
    }

    /// A connection of its own on which the server speaks by itself.
    pub(super) async fn connect_listening(
        &self,
        on_message: OnMessage,
    ) -> Result<Connection, ReadError> {
        let deadline = Instant::now() + CONNECT_WITHIN;
        let (access, host) = self.place(deadline).await?;
        access.connect_listening(&host, on_message, deadline).await
    }

    /// The database whose keys are followed.
    pub(super) fn database(&self) -> u32 {
        match &self.reader.server {
            Server::One(node) => node.access.database,
            Server::Cluster(_) => 0,
        }
    }

    async fn place(&self, deadline: Instant) -> Result<(&Access, Host), ReadError> {
        match (&self.reader.server, &self.node) {
            (Server::One(node), _) => Ok((&node.access, node.locate(deadline).await?)),
            (Server::Cluster(cluster), Some(host)) => Ok((cluster.access(), host.clone())),
            (Server::Cluster(_), None) => Err(ReadError::Uncovered {
                server: Arc::clone(&self.reader.shown),
                slot: 0,
            }),
        }
    }
}

/// Triggers by their keys: several may share one.
pub(super) fn by_key(members: &[Arc<Followed>]) -> HashMap<String, Vec<Arc<Followed>>> {
    let mut keys = HashMap::<String, Vec<_>>::new();
    for it in members {
        let key = it.trigger.measure.key();
        keys.entry(key.to_owned()).or_default().push(Arc::clone(it));
    }
    keys
}
