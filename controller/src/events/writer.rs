//! Sends events in the background.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Notice;
use super::limit::Limiter;

/// Events that wait; more are dropped and counted.
const QUEUE: usize = 1_024;
/// Between two events in all.
const PACE: Duration = Duration::from_millis(50);
/// Longest note that the API takes, in bytes.
const MAX_NOTE: usize = 1_024;

/// Who reports.
#[derive(Clone, Debug)]
pub struct EventWriterOptions {
    /// The controller's name in events.
    pub controller: String,
    /// This process's name in events: the pod's.
    pub instance: Option<String>,
}

/// Sends events until it and all its clones are dropped.
#[derive(Clone, Debug)]
pub struct EventWriter {
    queue: mpsc::Sender<Notice>,
    dropped: Arc<AtomicU64>,
    _running: Arc<DropGuard>,
}

impl EventWriter {
    /// Begins. Needs a running tokio runtime.
    pub fn start(client: Client, options: EventWriterOptions) -> Self {
        let reporter = Reporter {
            controller: options.controller,
            instance: options.instance,
        };
        let recorder = Recorder::new(client, reporter);
        let (queue, inbox) = mpsc::channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let stop = CancellationToken::new();
        let work = send(recorder, inbox, Arc::clone(&dropped));
        tokio::spawn(stop.clone().run_until_cancelled_owned(work));
        Self {
            queue,
            dropped,
            _running: Arc::new(stop.drop_guard()),
        }
    }

    /// Says what happened. Never waits: an event too many is dropped and counted.
    pub fn publish(&self, notice: Notice) {
        if self.queue.try_send(notice).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Events that were not sent: too many, repeated, or refused by the API server.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

async fn send(recorder: Recorder, mut inbox: mpsc::Receiver<Notice>, dropped: Arc<AtomicU64>) {
    let mut limiter = Limiter::default();
    while let Some(notice) = inbox.recv().await {
        if !limiter.allows(&notice, Instant::now()) {
            dropped.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let (event, object) = (event(&notice), reference(&notice));
        if let Err(error) = recorder.publish(&event, &object).await {
            dropped.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(object = %notice.object, %error, "event not sent");
        }
        tokio::time::sleep(PACE).await;
    }
}

fn event(notice: &Notice) -> Event {
    let mut note = notice.message.clone();
    note.truncate(note.floor_char_boundary(MAX_NOTE));
    Event {
        type_: match notice.reason.is_warning() {
            true => EventType::Warning,
            false => EventType::Normal,
        },
        reason: notice.reason.as_str().to_owned(),
        note: Some(note),
        action: notice.reason.as_str().to_owned(),
        secondary: None,
    }
}

fn reference(notice: &Notice) -> ObjectReference {
    let object = notice.object.object_ref();
    ObjectReference {
        api_version: Some(object.api_version),
        kind: Some(object.kind),
        name: Some(object.name),
        namespace: Some(object.namespace),
        uid: Some(notice.uid.to_string()),
        ..ObjectReference::default()
    }
}
