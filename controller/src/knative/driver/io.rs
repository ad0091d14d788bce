//! What the driver waits for: events, changes, writes and probes that end, times that come.

use std::num::NonZeroU16;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, BoxStream, SelectAll, StreamExt};
use http::Method;
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, watch as signal};
use tokio::time::Instant;
use tracing::{debug, warn};
use zeron_core::FunctionId;
use zeron_core::function::Protocol;
use zeron_core::path::ActivatorProbe;

use super::{Driver, wall};
use crate::knative::KnativeOptions;
use crate::knative::children::{ChildError, Children, Write};
use crate::knative::entry::PROBE_PERIOD;
use crate::knative::kind::{Key, Kind};
use crate::knative::store::Concerned;
use crate::knative::watch::Seen;

/// Writes of children under way at a time.
pub(super) const MOST_WRITES: usize = 32;
/// Services that are asked at a time.
pub(super) const MOST_PROBES: usize = 64;
/// How long to wait when as many are under way as may be.
pub(super) const FULL_PAUSE: Duration = Duration::from_millis(50);

/// The writes of one PodAutoscaler's children, ended.
pub(super) type Written = BoxFuture<'static, (Key, Vec<(Write, Result<Value, ChildError>)>)>;
/// A question to a Service, answered.
pub(super) type Probed = BoxFuture<'static, (Key, bool)>;
/// Functions that changed; `None`: some were missed.
pub(super) type FunctionChanges = SelectAll<BoxStream<'static, Option<FunctionId>>>;
type Ticks = BoxStream<'static, ()>;

/// All receivers as one stream.
pub(super) fn changes(receivers: Vec<broadcast::Receiver<FunctionId>>) -> FunctionChanges {
    let streams = receivers.into_iter().map(|receiver| {
        stream::unfold(receiver, |mut receiver| async move {
            match receiver.recv().await {
                Ok(id) => Some((Some(id), receiver)),
                Err(RecvError::Lagged(_)) => Some((None, receiver)),
                Err(RecvError::Closed) => None,
            }
        })
        .boxed()
    });
    stream::select_all(streams)
}

/// One item for each change of a signal.
pub(super) fn ticks<T: Send + Sync + 'static>(signal: signal::Receiver<T>) -> Ticks {
    stream::unfold(signal, |mut signal| async move {
        signal.changed().await.ok()?;
        Some(((), signal))
    })
    // It is asked again after its end.
    .fuse()
    .boxed()
}

pub(super) fn write(children: Children, key: Key, writes: Vec<Write>) -> Written {
    async move {
        let mut ended = Vec::new();
        for write in writes {
            let outcome = children.write(&write).await;
            ended.push((write, outcome));
        }
        (key, ended)
    }
    .boxed()
}

/// Asks a revision's public Service; one without a name has no activator behind it.
pub(super) fn probe(
    options: &KnativeOptions,
    key: &Key,
    service: &str,
    protocol: Protocol,
) -> Probed {
    let key = key.clone();
    if service.is_empty() {
        return async move { (key, false) }.boxed();
    }
    let host = format!("{service}.{}.svc.{}", key.namespace, options.cluster_domain);
    let port = match protocol {
        Protocol::H2c => 81,
        Protocol::Http1 | Protocol::None => 80,
    };
    let asked = options.probe.is_activator(&host, port);
    async move { (key, asked.await) }.boxed()
}

/// Where a pod's queue-proxy takes requests.
pub(super) fn queue_proxy_port(protocol: Protocol) -> NonZeroU16 {
    let port = match protocol {
        Protocol::H2c => 8013,
        Protocol::Http1 | Protocol::None => 8012,
    };
    NonZeroU16::new(port).expect("not zero")
}

impl Driver {
    /// Waits for one thing, and takes it.
    pub(super) async fn wait(
        &mut self,
        inbox: &mut mpsc::Receiver<Seen>,
        changes: &mut FunctionChanges,
        owned: &mut Ticks,
    ) {
        let next = self.timers.next();
        tokio::select! {
            Some(seen) = inbox.recv() => self.take(seen),
            Some(changed) = changes.next() => self.changed(changed),
            Some(()) = owned.next() => self.concern(Concerned::All),
            Some((key, ended)) = self.writes.next() => self.written(key, ended),
            Some((key, is_activator)) = self.probes.next() => self.probed(key, is_activator),
            () = until(next) => {}
        }
        for _ in 0..crate::knative::QUEUE {
            let Some(Some(changed)) = changes.next().now_or_never() else {
                break;
            };
            self.changed(changed);
        }
        let due = self.timers.due(Instant::now());
        self.dirty.extend(due);
    }

    fn changed(&mut self, changed: Option<FunctionId>) {
        let Some(id) = changed else {
            return self.concern(Concerned::All);
        };
        let key = Key::new(id.namespace(), id.name());
        if self.entries.get(&key).is_some_and(|entry| entry.id == id) {
            self.dirty.insert(key);
        }
    }

    fn written(&mut self, key: Key, ended: Vec<(Write, Result<Value, ChildError>)>) {
        let mut is_done = true;
        for (write, outcome) in ended {
            let (kind, is_new) = (write.kind, write.method == Method::POST);
            self.parts.counters.written(kind, &outcome);
            match outcome {
                Ok(object) => {
                    // Ahead of the watch, so that nothing is written twice.
                    self.store.answered(kind, &key, is_new, object);
                }
                Err(error) => {
                    is_done = false;
                    tell(kind, &key, &error);
                }
            }
        }
        if let Some(entry) = self.entries.get_mut(&key) {
            let retry = entry.writing.end(is_done, Instant::now());
            if let Some(at) = retry {
                self.timers.set(&key, at);
            }
        }
        self.dirty.insert(key);
    }

    fn probed(&mut self, key: Key, is_activator: bool) {
        self.parts.counters.probed(is_activator);
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.probe.is_under_way = false;
            entry.probe.not_before = Some(Instant::now() + PROBE_PERIOD);
            entry.probe.newest = Some(ActivatorProbe {
                at: wall(),
                is_activator,
            });
        }
        self.dirty.insert(key);
    }
}

fn tell(kind: Kind, key: &Key, error: &ChildError) {
    let (namespace, name) = (&key.namespace, &key.name);
    match error {
        ChildError::Changed => debug!(?kind, %namespace, %name, "changed meanwhile"),
        ChildError::Api { .. } | ChildError::Timeout { .. } => {
            let error = error as &dyn std::error::Error;
            warn!(?kind, %namespace, %name, error, "not written yet");
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
