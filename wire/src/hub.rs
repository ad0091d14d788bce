//! Many activators merged into one link for the engine: load is summed, drains are agreed on, and
//! an activator that is not heard keeps everything from going down.

mod activator;
mod coverage;
mod drains;
mod merge;
mod state;
mod task;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use zeron_core::{EndpointId, EndpointSink, EndpointSnapshot, FunctionId, Stat};

use crate::link::{AutoscalerLink, CAPACITY, link};
use crate::message::{Coverage, Drained, ToActivator, Wake};
use crate::seconds::Seconds;
use crate::server::Identity;
use state::State;
use task::Task;

/// How long after the end of a second load is merged: every activator's report of it has come by then.
const MERGED_AFTER: Duration = Duration::from_millis(200);

/// Settings of a [`Hub`].
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// How long the load of an activator that is gone without a goodbye stays unknown: one stable
    /// window.
    pub unknown_after_loss: Duration,
    /// An activator without a report for so long is not heard.
    pub silence: Duration,
    /// Whose seconds the activators' reports end with.
    pub seconds: Seconds,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            unknown_after_loss: Duration::from_secs(60),
            silence: Duration::from_secs(3),
            seconds: Seconds::default(),
        }
    }
}

/// Names that are expected; `None`: nobody says, only connections count.
pub type Expected = Option<BTreeSet<String>>;

/// The way to a running hub. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Hub {
    events: mpsc::Sender<Event>,
    mail: Arc<Mail>,
    coverage: watch::Receiver<Coverage>,
}

impl Hub {
    /// Starts a hub in a task of the current runtime, which ends with the engine's link.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(config: HubConfig) -> (Self, AutoscalerLink) {
        let (inner, engine) = link();
        let (events, received) = mpsc::channel(CAPACITY);
        let mail = Arc::new(Mail::default());
        let ticks = config.seconds.ticks(MERGED_AFTER);
        let state = State::new(config);
        let (told, coverage) = watch::channel(state.coverage().clone());
        let hub = Self {
            events,
            mail: Arc::clone(&mail),
            coverage,
        };
        let task = Task::new(state, inner, received, mail, told);
        tokio::spawn(task.run(ticks));
        (hub, engine)
    }

    /// Follows the names of the activators that the platform knows to be serving. One that is
    /// expected and not heard may have load; one that is neither is gone. The newest set counts,
    /// also after its sender is dropped.
    pub fn expect(&self, names: watch::Receiver<Expected>) {
        *self.mail.expected.lock() = Some(names);
        self.mail.arrived.notify_one();
    }

    /// Whether every activator is heard.
    pub fn coverage(&self) -> watch::Receiver<Coverage> {
        self.coverage.clone()
    }

    /// Takes in an activator that said who it is.
    ///
    /// # Errors
    /// When another lives under that name, or the credentials are bound to another name.
    pub(crate) async fn join(&self, name: String, identity: Identity) -> Result<Seat, JoinRefused> {
        let (reply, answer) = oneshot::channel();
        let joining = Event::Join(Joining {
            name,
            identity,
            reply,
        });
        let sent = self.events.send(joining).await;
        sent.map_err(|_| JoinRefused::Over)?;
        let (id, orders) = answer.await.map_err(|_| JoinRefused::Over)??;
        Ok(Seat {
            id,
            orders,
            events: self.events.clone(),
        })
    }
}

/// Follows endpoints, to name the victims of drains that several activators must agree on.
impl EndpointSink for Hub {
    fn publish(&self, function: &FunctionId, snapshot: Option<Arc<EndpointSnapshot>>) {
        let mut endpoints = self.mail.endpoints.lock();
        endpoints.insert(function.clone(), snapshot);
        drop(endpoints);
        self.mail.arrived.notify_one();
    }

    /// Activators need not wait to see whether they go.
    fn kept(&self, function: &FunctionId, replicas: &[EndpointId]) {
        let mut kept = self.mail.kept.lock();
        kept.entry(function.clone()).or_default().extend(replicas);
        drop(kept);
        self.mail.arrived.notify_one();
    }
}

/// Why an activator is not taken in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JoinRefused {
    #[error("the credentials are bound to another name")]
    NotItsName,
    #[error("another activator is connected under this name")]
    NameTaken,
    #[error("this autoscaler ends")]
    Over,
}

/// Names one connection of an activator.
pub(crate) type SeatId = u64;

/// An activator's place at the hub. Ends when `orders` ends, or with [`Seat::leave`].
#[derive(Debug)]
pub(crate) struct Seat {
    id: SeatId,
    pub(crate) orders: mpsc::Receiver<ToActivator>,
    events: mpsc::Sender<Event>,
}

/// What an activator says.
#[derive(Debug)]
pub(crate) enum Said {
    Report(Vec<Stat>),
    Wake(Wake),
    Drained(Drained),
    Goodbye,
}

/// The half of a seat that speaks.
#[derive(Clone, Debug)]
pub(crate) struct Voice {
    id: SeatId,
    events: mpsc::Sender<Event>,
}

impl Seat {
    pub(crate) fn voice(&self) -> Voice {
        Voice {
            id: self.id,
            events: self.events.clone(),
        }
    }

    /// The connection is over.
    pub(crate) async fn leave(self) {
        // The hub is gone: nobody misses it.
        drop(self.events.send(Event::Left(self.id)).await);
    }
}

impl Voice {
    /// Waits for room; false when the hub is gone.
    pub(crate) async fn say(&self, said: Said) -> bool {
        self.events.send(Event::Said(self.id, said)).await.is_ok()
    }
}

pub(crate) type Joined = Result<(SeatId, mpsc::Receiver<ToActivator>), JoinRefused>;

#[derive(Debug)]
struct Joining {
    name: String,
    identity: Identity,
    reply: oneshot::Sender<Joined>,
}

#[derive(Debug)]
enum Event {
    Join(Joining),
    Said(SeatId, Said),
    Left(SeatId),
}

/// What is told to the hub from threads that must not wait; the newest wins.
#[derive(Debug, Default)]
struct Mail {
    endpoints: Mutex<HashMap<FunctionId, Option<Arc<EndpointSnapshot>>>>,
    kept: Mutex<HashMap<FunctionId, BTreeSet<EndpointId>>>,
    expected: Mutex<Option<watch::Receiver<Expected>>>,
    arrived: Notify,
}
