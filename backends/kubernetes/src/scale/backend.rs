//! The back end as the engine knows it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use kube::Client;
use parking_lot::Mutex;
use tokio::sync::{Notify, broadcast};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, warn};
use zeron_core::policy::Writer as Scaling;
use zeron_core::{Backend, EndpointId, EndpointSink, Function, FunctionId};

use super::event::ScaleEvent;
use super::flight::Flight;
use super::queue::{Ended, Queue};
use super::victims;
use super::wish::Wish;
use super::writer::{Attempt, Writer};
use crate::api::Caller;
use crate::counters::Counters;
use crate::pods::{CountChange, Pods, TargetObserver};

/// Events that a slow listener may be behind.
const EVENTS: usize = 1024;
/// A count that is refused is asked for again by whoever decides; not sooner than this.
const REFUSED_FOR: Duration = Duration::from_secs(15);

/// Settings of the writes.
#[derive(Clone, Copy, Debug)]
pub struct ScaleConfig {
    /// Writes under way at once.
    pub concurrency: usize,
    /// For one request to the API server with its answer.
    pub timeout: Duration,
}

impl Default for ScaleConfig {
    fn default() -> Self {
        Self {
            concurrency: 64,
            timeout: Duration::from_secs(5),
        }
    }
}

/// Scales the targets that were declared to [`Pods`].
///
/// Calls return at once. Each function has one write under way at most and one that waits, the
/// newest; functions at zero go first. A write that fails is tried again until it is no longer
/// wished, so that an API server that is away loses and reverses nothing.
pub struct KubernetesBackend {
    pods: Pods,
    inner: Arc<Inner>,
    _task: AbortOnDropHandle<()>,
}

struct Inner {
    functions: Mutex<HashMap<FunctionId, Known>>,
    queue: Mutex<Queue>,
    changed: Notify,
    /// An attempt ended.
    ended: Notify,
    writer: Writer,
}

struct Known {
    function: Arc<Function>,
    /// The count under way, so that its echo is recognised.
    writing: Option<u32>,
}

impl fmt::Debug for KubernetesBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubernetesBackend").finish_non_exhaustive()
    }
}

impl KubernetesBackend {
    /// Starts writing on the current runtime; ends when dropped.
    pub fn start(
        client: Client,
        pods: Pods,
        config: ScaleConfig,
        counters: Arc<Counters>,
    ) -> Arc<Self> {
        let inner = Arc::new(Inner {
            functions: Mutex::default(),
            queue: Mutex::new(Queue::new(config.concurrency)),
            changed: Notify::new(),
            ended: Notify::new(),
            writer: Writer {
                caller: Caller::new(client, counters, config.timeout),
                pods: pods.clone(),
                events: broadcast::Sender::new(EVENTS),
            },
        });
        let observer = Arc::downgrade(&inner);
        pods.observe(observer);
        let task = tokio::spawn(run(Arc::clone(&inner)));
        Arc::new(Self {
            pods,
            inner,
            _task: AbortOnDropHandle::new(task),
        })
    }

    /// What happens from now on. A listener that is too slow misses the oldest.
    pub fn events(&self) -> broadcast::Receiver<ScaleEvent> {
        self.inner.writer.events.subscribe()
    }

    /// Returns once nothing that was sent for functions that were removed, or whose wish was
    /// withdrawn, can come about any more.
    pub async fn settled(&self) {
        loop {
            let ended = self.inner.ended.notified();
            tokio::pin!(ended);
            // Counts from here, not from the first poll.
            ended.as_mut().enable();
            if !self.inner.queue.lock().is_loose() {
                return;
            }
            ended.await;
        }
    }

    /// Functions whose write waits or is under way.
    pub fn waiting(&self) -> usize {
        self.inner.queue.lock().len()
    }
}

impl Backend for KubernetesBackend {
    /// Only remembers: the replicas are the cluster's.
    fn apply(&self, function: Arc<Function>) {
        let mut functions = self.inner.functions.lock();
        match functions.get_mut(&function.id) {
            Some(known) => known.function = function,
            None => {
                let id = function.id.clone();
                let known = Known {
                    function,
                    writing: None,
                };
                functions.insert(id, known);
            }
        }
    }

    fn predicted_victims(&self, id: &FunctionId, count: u32) -> Option<Vec<EndpointId>> {
        let target = self.pods.target(id)?;
        target
            .removes_highest_ordinal()
            .then(|| victims::predicted(&self.pods.replicas(id), count))
    }

    /// Only forgets: the replicas stay as they are. What is not sent yet is not written any more.
    fn remove(&self, function: &FunctionId) {
        let mut functions = self.inner.functions.lock();
        functions.remove(function);
        let withdrawal = self.inner.queue.lock().withdraw(function);
        drop(functions);
        self.inner.keep(function, withdrawal.dropped);
    }

    fn withdraw(&self, function: &FunctionId) -> bool {
        let mut functions = self.inner.functions.lock();
        let withdrawal = self.inner.queue.lock().withdraw(function);
        let is_over = withdrawal.is_over;
        if let Some(known) = functions.get_mut(function).filter(|_| is_over) {
            known.writing = None;
        }
        drop(functions);
        self.inner.keep(function, withdrawal.dropped);
        is_over
    }

    fn scale(&self, function: &FunctionId, replicas: u32, victims: &[EndpointId]) {
        let asked = Instant::now();
        let functions = self.inner.functions.lock();
        let writing = match functions.get(function) {
            None => {
                warn!(%function, "asked to scale an unknown function");
                return;
            }
            Some(known) if known.function.scale.writer == Scaling::External => {
                debug!(%function, replicas, "somebody else writes its count");
                return;
            }
            Some(known) => known.writing,
        };
        let wish = Wish {
            replicas,
            victims: victims.into(),
            // Whoever wishes now knows of the write that is under way.
            base: writing.or_else(|| self.pods.wanted(function)),
            asked,
            is_doubtful: false,
        };
        let dropped = self.inner.queue.lock().push(function, wish);
        drop(functions);
        self.inner.keep(function, dropped);
        self.inner.changed.notify_one();
    }

    fn subscribe(&self, sink: Arc<dyn EndpointSink>) {
        self.pods.subscribe(sink);
    }
}

impl TargetObserver for Inner {
    fn declared(&self, id: &FunctionId, change: Option<CountChange>) {
        if self.queue.lock().unpark(id) {
            self.changed.notify_one();
        }
        let Some(CountChange { from, to }) = change else {
            return;
        };
        let writing = self.functions.lock().get(id).map(|known| known.writing);
        let is_foreign = match writing {
            // The echo came before the answer.
            Some(Some(own)) => own != to,
            // An activator woke it by itself.
            Some(None) => from != 0,
            None => false,
        };
        if is_foreign {
            self.writer.caller.counters.foreign_changes.inc();
            debug!(function = %id, from, to, "somebody else wrote the count");
            let id = id.clone();
            let event = ScaleEvent::ForeignChange { id, from, to };
            self.writer.events.send(event).ok();
        }
    }
}

impl Inner {
    fn begin(&self) -> Option<(FunctionId, Wish, Arc<Flight>)> {
        // Together: what is wished in between would not know of this write.
        let mut functions = self.functions.lock();
        let (id, wish, flight) = self.queue.lock().pop(Instant::now())?;
        if let Some(known) = functions.get_mut(&id) {
            known.writing = Some(wish.replicas);
        }
        Some((id, wish, flight))
    }

    /// Nothing comes of this wish: what it would have stopped stays.
    fn keep(&self, id: &FunctionId, dropped: Option<Wish>) {
        let is_certain = |wish: &Wish| wish.is_lowering() && !wish.is_doubtful;
        if let Some(wish) = dropped.filter(is_certain) {
            self.writer.pods.keep(id, wish.victims.to_vec());
        }
    }

    fn end(&self, id: &FunctionId, wish: Wish, attempt: Attempt) {
        if let Some(known) = self.functions.lock().get_mut(id) {
            known.writing = None;
        }
        let wanted = wish.replicas;
        let completion = {
            let mut queue = self.queue.lock();
            queue.complete(id, wish, &attempt.ended, Instant::now())
        };
        self.ended.notify_waiters();
        self.keep(id, completion.dropped);
        let mut pause = completion.pause;
        if attempt.ended == Ended::Refused {
            pause = Some(REFUSED_FOR);
            // Whoever asked believes in another count.
            self.writer.pods.say_count(id);
        }
        let (Some(failure), Some(retry_in)) = (attempt.failure, pause) else {
            return;
        };
        self.writer.caller.counters.scale_back_offs.inc();
        warn!(function = %id, wanted, error = failure.message, ?retry_in, "could not scale");
        let event = ScaleEvent::Failed {
            id: id.clone(),
            wanted,
            failure,
            retry_in,
        };
        self.writer.events.send(event).ok();
    }
}

/// Carries out wishes until it is dropped.
async fn run(inner: Arc<Inner>) {
    let mut under_way = FuturesUnordered::new();
    loop {
        while let Some((id, wish, flight)) = inner.begin() {
            let inner = Arc::clone(&inner);
            under_way.push(async move {
                let attempt = inner.writer.carry_out(&id, &wish, &flight).await;
                let is_clear = match &attempt.failure {
                    Some(failure) => matches!(failure.status, Some(400..=499)),
                    None => true,
                };
                let is_doubtful = wish.is_doubtful || (flight.is_sent() && !is_clear);
                let wish = Wish {
                    is_doubtful,
                    ..wish
                };
                (id, wish, attempt)
            });
        }
        let waiting = inner.queue.lock().len();
        let gauge = &inner.writer.caller.counters.scale_waiting;
        gauge.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        let next = inner.queue.lock().next_at();
        tokio::select! {
            Some((id, wish, attempt)) = under_way.next() => inner.end(&id, wish, attempt),
            () = inner.changed.notified() => {}
            () = until(next) => {}
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
