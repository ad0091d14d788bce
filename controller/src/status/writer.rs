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

use crate::projection::ObjectKey;
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
        let strip = |patch| {
            let mut pruned = self.shared.pruned.lock();
            pruned.strip(&object.kind, patch, Instant::now())
        };
        let patch = patch.and_then(strip);
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
            let writer = &writer;
            writes.push(async move {
                let outcome = writer.write(&object, &patch).await;
                (object, patch, outcome)
            });
        }
        let is_full = writes.len() >= parallel;
        tokio::select! {
            Some((object, patch, outcome)) = writes.next(), if !writes.is_empty() => {
                finish(&shared, object, patch, outcome);
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

fn finish(shared: &Shared, object: ObjectKey, patch: Value, outcome: Result<Value, StatusError>) {
    let outcome = match outcome {
        Ok(stored) => {
            count(&shared.counters.written);
            let mut pruned = shared.pruned.lock();
            pruned.learn(&object.kind, &patch, &stored, Instant::now());
            Outcome::Written(patch)
        }
        Err(error) if error.is_final() => {
            count(&shared.counters.dropped);
            tracing::debug!(%object, %error, "status not written");
            Outcome::GivenUp
        }
        Err(error) => {
            count(&shared.counters.failed);
            tracing::warn!(%object, %error, "status not written yet");
            Outcome::Failed(patch)
        }
    };
    shared.queue.lock().finish(object, outcome, Instant::now());
}
