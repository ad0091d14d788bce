//! Sends statuses: at most one per object and second, the newest wins, failures wait longer.

mod kube_writer;
mod pruned;
mod queue;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use kube::Client;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::projection::{ObjectKey, ObjectKind};
use kube_writer::KubeWriter;
use pruned::Pruned;
use queue::{Outcome, Queue};

pub use kube_writer::{StatusError, WriteStatus};

/// Bounds of the writer.
#[derive(Clone, Copy, Debug)]
pub struct StatusWriterOptions {
    /// Between two writes to one object.
    pub interval: Duration,
    /// Writes under way at a time.
    pub parallel: usize,
    /// Objects remembered at a time; a new one beyond is refused and counted.
    pub capacity: usize,
    /// The longest wait after failures; they begin with `interval` and double.
    pub longest_wait: Duration,
}

impl Default for StatusWriterOptions {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            parallel: 16,
            capacity: 50_000,
            longest_wait: Duration::from_secs(60),
        }
    }
}

/// What the writer has done.
#[derive(Debug, Default)]
pub struct WriterCounters {
    /// Statuses written.
    pub written: AtomicU64,
    /// Writes that failed and will be tried again.
    pub failed: AtomicU64,
    /// Statuses given up: the object is gone, the API server finds them invalid, or there were too
    /// many.
    pub dropped: AtomicU64,
}

/// Writes statuses in the background, until it is dropped.
#[derive(Debug)]
pub struct StatusWriter {
    shared: Arc<Shared>,
    _running: DropGuard,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    pruned: Mutex<Pruned>,
    changed: Notify,
    counters: WriterCounters,
}

impl StatusWriter {
    /// Writes through `client`. Needs a running tokio runtime.
    pub fn start(client: Client, options: StatusWriterOptions) -> Self {
        Self::start_with(KubeWriter(client), options)
    }

    /// Writes through anything.
    pub fn start_with<W: WriteStatus>(writer: W, options: StatusWriterOptions) -> Self {
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue::new(options)),
            pruned: Mutex::default(),
            changed: Notify::new(),
            counters: WriterCounters::default(),
        });
        let stop = CancellationToken::new();
        let work = run(Arc::clone(&shared), writer, options.parallel.max(1));
        tokio::spawn(stop.clone().run_until_cancelled_owned(work));
        Self {
            shared,
            _running: stop.drop_guard(),
        }
    }

    /// What to write of an object: [`patch`](super::patch), made from the object as it was seen
    /// last. It takes the place of what waits; `None` takes that back. Fields that the API server was
    /// seen not to keep for objects of this kind are left out.
    pub fn publish(&self, object: ObjectKey, patch: Option<Value>) {
        let patch = patch.and_then(|patch| self.shared.strip(&object.kind, patch));
        let is_taken = self
            .shared
            .queue
            .lock()
            .publish(object, patch, Instant::now());
        if is_taken {
            self.shared.changed.notify_one();
        } else {
            count(&self.shared.counters.dropped);
        }
    }

    /// The object is gone, or another process writes it now: nothing of it is written any more.
    pub fn forget(&self, object: &ObjectKey) {
        self.shared.queue.lock().forget(object);
    }

    /// What it has done.
    pub fn counters(&self) -> &WriterCounters {
        &self.shared.counters
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

async fn run<W: WriteStatus>(shared: Arc<Shared>, writer: W, parallel: usize) {
    let mut writes = FuturesUnordered::new();
    loop {
        let free = parallel.saturating_sub(writes.len());
        let (due, next) = shared.queue.lock().take_due(free, Instant::now());
        for (object, patch) in due {
            let (shared, writer) = (&shared, &writer);
            writes.push(async move {
                let outcome = shared.send(writer, &object, patch).await;
                (object, outcome)
            });
        }
        let is_full = writes.len() >= parallel;
        tokio::select! {
            Some((object, outcome)) = writes.next(), if !writes.is_empty() => {
                shared.queue.lock().finish(object, outcome, Instant::now());
            }
            () = shared.changed.notified() => {}
            () = until(next), if next.is_some() && !is_full => {}
        }
    }
}

async fn until(at: Option<Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at).await;
    }
}

impl Shared {
    /// Sends a patch. One that may change nothing is tried out before: after a restart the statuses of
    /// all objects are wanted anew with fields that the API server was never seen to drop.
    async fn send<W: WriteStatus>(
        &self,
        writer: &W,
        object: &ObjectKey,
        mut patch: Value,
    ) -> Outcome {
        let kind = &object.kind;
        match self.strip(kind, patch) {
            Some(rest) => patch = rest,
            None => return Outcome::Needless,
        }
        let is_doubtful = self.pruned.lock().is_doubtful(kind, &patch);
        if is_doubtful {
            match writer.try_out(object, &patch).await {
                Ok(stored) => self.learn(kind, &patch, &stored),
                // Who refuses to be asked may take the write itself.
                Err(error) if error.is_final() => {}
                Err(error) => return self.failed(object, patch, &error),
            }
            match self.strip(kind, patch) {
                Some(rest) => patch = rest,
                None => return Outcome::Needless,
            }
        }
        match writer.write(object, &patch).await {
            Ok(stored) => {
                count(&self.counters.written);
                self.learn(kind, &patch, &stored);
                Outcome::Written(patch)
            }
            Err(error) => self.failed(object, patch, &error),
        }
    }

    fn strip(&self, kind: &ObjectKind, patch: Value) -> Option<Value> {
        self.pruned.lock().strip(kind, patch, Instant::now())
    }

    fn learn(&self, kind: &ObjectKind, patch: &Value, stored: &Value) {
        let mut pruned = self.pruned.lock();
        pruned.learn(kind, patch, stored, Instant::now());
    }

    fn failed(&self, object: &ObjectKey, patch: Value, error: &StatusError) -> Outcome {
        if error.is_final() {
            count(&self.counters.dropped);
            tracing::debug!(%object, %error, "status not written");
            return Outcome::GivenUp;
        }
        count(&self.counters.failed);
        tracing::warn!(%object, %error, "status not written yet");
        Outcome::Failed(patch)
    }
}
