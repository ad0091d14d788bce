//! What replicas use of processor and memory, as a platform measures it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::id::FunctionId;
use crate::metric::Unknown;
use crate::roles::BoxFuture;
use crate::time::Timestamp;

/// A platform that measures what its replicas use.
pub trait UsageMeter: Send + Sync + fmt::Debug + 'static {
    /// What the replicas of `functions` request and use. Whoever asks bounds the wait. Fails where
    /// nothing can be read; a replica that is not measured yet is there without `used`.
    fn usage<'a>(
        &'a self,
        functions: &'a BTreeSet<FunctionId>,
    ) -> BoxFuture<'a, Result<Usage, Unknown>>;
}

/// Replicas with what they use, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// The moment, by the clock of all other times in here.
    pub now: Timestamp,
    /// The replicas of each function.
    pub replicas: BTreeMap<FunctionId, Vec<ReplicaUsage>>,
    /// Functions of which nobody knows at this moment what replicas they have, and why.
    pub unknown: BTreeMap<FunctionId, Unknown>,
}

/// One replica.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaUsage {
    /// Its name.
    pub name: Arc<str>,
    /// What each of its containers requests.
    pub requests: Arc<[ContainerRequest]>,
    /// Its containers were started.
    pub is_started: bool,
    /// It is ready.
    pub is_ready: bool,
    /// It is on its way out.
    pub is_draining: bool,
    /// When its containers were first started.
    pub started: Timestamp,
    /// When it last became ready or ceased to be.
    pub ready_changed: Timestamp,
    /// What it uses; `None`: nobody measured it.
    pub used: Option<Used>,
}

/// What one replica uses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Used {
    /// By container.
    pub containers: Vec<ContainerUsage>,
    /// When it was measured.
    pub at: Timestamp,
    /// Over how long the processor time was averaged.
    pub window: Duration,
}

/// What one container uses; `None`: not known.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerUsage {
    /// Its name.
    pub name: Box<str>,
    /// Thousandths of a core.
    pub cpu_millis: Option<f64>,
    /// Bytes.
    pub memory_bytes: Option<f64>,
}

/// What one container requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContainerRequest {
    /// Its name.
    pub container: Box<str>,
    /// Thousandths of a core.
    pub cpu_millis: Option<u64>,
    /// Bytes.
    pub memory_bytes: Option<u64>,
}
