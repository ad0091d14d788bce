//! The messages themselves.

use zeron_core::{EndpointId, FunctionId, Sample, Stat};

/// From an activator to the autoscaler.
#[derive(Clone, Debug, PartialEq)]
pub enum ToAutoscaler {
    /// Load of every function that had any since the last report; one a second, empty if need be: connected and silent is a
    /// known zero.
    Stats(Vec<Stat>),
    /// Knative's own statistics, each added to its function's windows as it comes: silence says
    /// nothing. Only for functions whose path is
    /// [`Serverless`](zeron_core::path::RequestPath::Serverless).
    Samples(Vec<Sample>),
    /// A request found no replica, or the backlog rose above what the replicas may take.
    Wake(Wake),
    /// Nothing is in flight any more on the endpoints of a [`Drain`].
    Drained(Drained),
    /// Whether every activator that may serve requests is heard. Sent by a hub of several
    /// activators when that changes; one activator in the same process never sends it.
    Coverage(Coverage),
    /// This activator ends by itself and has nothing in flight: its silence from now on is a known
    /// zero. Nothing follows.
    Goodbye,
}

/// Whether the load that is reported is all the load there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// Every activator is heard: silence is a known zero.
    Complete,
    /// Some activator is not heard: its load is unknown, so nothing may go down.
    Partial {
        /// Who is missing, in words.
        message: String,
    },
}

/// A request for replicas, now. Idempotent: sent again only while it is not yet answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wake {
    /// Which function.
    pub function: FunctionId,
    /// Requests at its replicas.
    pub in_flight: u32,
    /// Requests waiting, the new one included.
    pub queued: u32,
}

/// From the autoscaler to an activator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToActivator {
    /// Take replicas out of rotation.
    Drain(Drain),
    /// Never mind: what is left of this drain goes back into rotation.
    Cancel(DrainId),
    /// A [`Wake`] of this function arrived at its owner, which has asked for replicas.
    Woken(FunctionId),
    /// The replicas of this drain were told to stop: it is cancelled only if all of them are known
    /// to stay after all. Others that do not go serve again by themselves, later.
    Settled(DrainId),
}

/// Names one [`Drain`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DrainId(pub u64);

/// Take `count` replicas of `function` out of rotation, idle ones first. New requests go to the
/// others, or wait. [`Drained`] follows when nothing is in flight on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Names this drain in its answer.
    pub id: DrainId,
    /// Which function.
    pub function: FunctionId,
    /// How many replicas.
    pub count: u32,
    /// Exactly these, where several activators must agree; `None`: the activator chooses.
    pub victims: Option<Vec<EndpointId>>,
}

/// Nothing is in flight on `endpoints`: they may stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Which drain.
    pub id: DrainId,
    /// Which function.
    pub function: FunctionId,
    /// The replicas that were taken out; fewer than asked for when there are fewer.
    pub endpoints: Vec<EndpointId>,
}
