//! What the engine needs of the platform and of event sources.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::endpoint::{EndpointId, EndpointSnapshot};
use crate::function::Function;
use crate::id::FunctionId;
use crate::job::JobCounts;
use crate::metric::{MetricReading, Unknown};
use crate::policy::TriggerSpec;

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A platform that runs replicas. Calls return at once; progress arrives as snapshots.
pub trait Backend: Send + Sync + fmt::Debug + 'static {
    /// Declares a function or replaces its definition. Starts nothing. Replicas of an older
    /// workload are replaced without dropping below the asked count.
    fn apply(&self, function: Arc<Function>);

    /// Stops all replicas and forgets the function.
    fn remove(&self, function: &FunctionId);

    /// Asks for `replicas`. When that is fewer than now, `victims` go first, then replicas that
    /// are not ready, then the newest. Idempotent. Unknown functions are ignored with a warning.
    fn scale(&self, function: &FunctionId, replicas: u32, victims: &[EndpointId]);

    /// Takes back what was asked for last, as far as it is not carried out: somebody else's count
    /// stands. `false`: it is under way, and may still come about.
    fn withdraw(&self, function: &FunctionId) -> bool {
        let _ = function;
        true
    }

    /// Creates Jobs of `function` until [`JobCounts::begun`] has reached `begun`; replaces what was
    /// ordered before. What cannot be created is tried again until the next order. Platforms
    /// without Jobs do nothing.
    fn create_jobs(&self, function: &FunctionId, begun: u64) {
        let _ = (function, begun);
    }

    /// The replicas that go on the way down to `replicas`, where the platform chooses them by
    /// itself, as it does for StatefulSets; `None`: whoever scales in chooses.
    fn predicted_victims(&self, function: &FunctionId, replicas: u32) -> Option<Vec<EndpointId>> {
        let _ = (function, replicas);
        None
    }

    /// Sends every change of every function's endpoints to `sink`, beginning with the state now.
    fn subscribe(&self, sink: Arc<dyn EndpointSink>);
}

/// Somebody who follows endpoints. Called from the back end's own threads: must not block.
pub trait EndpointSink: Send + Sync + fmt::Debug + 'static {
    /// The newest snapshot of `function`; `None` once the function is removed.
    fn publish(&self, function: &FunctionId, snapshot: Option<Arc<EndpointSnapshot>>);

    /// The count that the platform itself holds for `function` (`spec.replicas`), whoever wrote
    /// it. Only platforms that others write to as well say so.
    fn declared(&self, function: &FunctionId, replicas: u32) {
        let _ = (function, replicas);
    }

    /// The Jobs of `function` as they are known now. Said before [`Backend::create_jobs`] returns
    /// whenever that changes them.
    fn jobs(&self, function: &FunctionId, counts: JobCounts) {
        let _ = (function, counts);
    }

    /// These replicas were to stop and stay after all: the count that would have stopped them was
    /// not written, and will not be. Only platforms that may refuse a count say so.
    fn kept(&self, function: &FunctionId, replicas: &[EndpointId]) {
        let _ = (function, replicas);
    }
}

/// One client of one event source (server and credentials), shared by all its triggers.
///
/// Evaluation is batched from the start: one call answers many triggers.
pub trait Scaler: Send + Sync + fmt::Debug + 'static {
    /// Reads all `triggers`, answering within `timeout`, one answer per trigger in their order.
    /// A trigger may have several metrics. A failure of one trigger does not fail the others.
    fn evaluate<'a>(
        &'a self,
        triggers: &'a [TriggerHandle],
        timeout: Duration,
    ) -> BoxFuture<'a, Vec<Result<Vec<MetricReading>, Unknown>>>;

    /// Sources that push call `on_change` when `trigger` becomes active; polling goes on beside it.
    /// `false`: this source cannot push.
    fn watch(
        &self,
        trigger: TriggerHandle,
        on_change: Arc<dyn Fn(TriggerHandle) + Send + Sync>,
    ) -> bool {
        let _ = (trigger, on_change);
        false
    }

    /// Why nothing is pushed for a trigger that is watched, in words: it is polled alone. `None`: nothing is known to be
    /// wrong. Answers from memory.
    fn push_trouble(&self, trigger: TriggerHandle) -> Option<String> {
        let _ = trigger;
        None
    }

    /// Forgets a trigger and what was remembered for it.
    fn release(&self, trigger: TriggerHandle);
}

/// A trigger as its scaler knows it: its parsed parameters and memory live in the scaler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TriggerHandle(pub u64);

/// A trigger bound to the client that evaluates it.
#[derive(Clone, Debug)]
pub struct BoundTrigger {
    /// Triggers of equal `source` share one client and are evaluated together.
    pub source: Arc<str>,
    /// The client.
    pub scaler: Arc<dyn Scaler>,
    /// The trigger at that client.
    pub handle: TriggerHandle,
}

/// All event sources that are built in.
pub trait ScalerRegistry: Send + Sync + fmt::Debug + 'static {
    /// Checks a trigger's parameters without connecting. Empty = valid.
    fn validate(&self, trigger: &TriggerSpec) -> Vec<TriggerProblem>;

    /// Whether triggers of this type can be evaluated at all.
    fn is_built_in(&self, kind: &str) -> bool {
        let _ = kind;
        true
    }

    /// Binds a trigger to its client, which is made on first use. Never waits for the source.
    ///
    /// # Errors
    /// [`Unknown`] of kind `Configuration` when the type is not built in or a parameter is wrong.
    fn bind(&self, trigger: &TriggerSpec) -> Result<BoundTrigger, Unknown>;
}

/// What is wrong with one parameter of a trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriggerProblem {
    /// The `metadata` key or authentication parameter; `None`: the trigger as a whole.
    pub parameter: Option<String>,
    /// The value and what is allowed, in words.
    pub message: String,
    /// The trigger works all the same.
    pub is_warning: bool,
}
