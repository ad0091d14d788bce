//! Whether a KEDA operator lives: somebody renews its lease, by our own clock.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use kube::api::ApiResource;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use serde_json::Value;
use tracing::debug;

use super::driver::{Context, Message};
use super::raw::Raw;

/// The name of KEDA's lease.
const NAME: &str = "operator.keda.sh";
/// Where KEDA is installed by its own manifests, for when other namespaces may not be read.
const NAMESPACE: &str = "keda";
/// How much longer than its lease a KEDA counts as alive: its clock may be busy.
const MARGIN: Duration = Duration::from_secs(5);
/// KEDA's own lease duration.
const DURATION: Duration = Duration::from_secs(15);

/// What is known of the lease. Times of the holder's clock are compared with each other only.
#[derive(Debug, Default)]
pub(super) struct KedaLease {
    record: Option<Record>,
    /// When it last changed, by our clock.
    changed: Option<Instant>,
}

/// Who holds a lease, renewed when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    holder: String,
    renewed: String,
    duration: Duration,
}

impl Record {
    /// Reads a lease; `None` when nobody holds it.
    pub(super) fn read(lease: &Value) -> Option<Self> {
        let spec = lease.get("spec")?;
        let text = |name: &str| spec.get(name).and_then(Value::as_str).unwrap_or_default();
        let seconds = spec.get("leaseDurationSeconds").and_then(Value::as_u64);
        let record = Self {
            holder: text("holderIdentity").to_owned(),
            renewed: text("renewTime").to_owned(),
            duration: seconds.map_or(DURATION, Duration::from_secs),
        };
        Some(record).filter(|record| !record.holder.is_empty())
    }

    /// How long ago it was renewed by the holder's clock, seen from ours.
    fn age(&self, now: jiff::Timestamp) -> Option<Duration> {
        let renewed: jiff::Timestamp = self.renewed.parse().ok()?;
        Some(now.duration_since(renewed).unsigned_abs())
    }
}

impl KedaLease {
    /// Takes the lease as it is now. The first one that is seen counts as renewed when its time is
    /// near ours; later ones when they change, whatever the holder's clock says.
    pub(super) fn observe(&mut self, record: Option<Record>, now: Instant, wall: jiff::Timestamp) {
        let Some(record) = record else {
            (self.record, self.changed) = (None, None);
            return;
        };
        match &self.record {
            Some(old) if *old == record => {}
            Some(_) => self.changed = Some(now),
            None => {
                let limit = record.duration + MARGIN;
                let is_near = record.age(wall).is_some_and(|age| age <= limit);
                self.changed = is_near.then_some(now);
            }
        }
        self.record = Some(record);
    }

    /// Until when the operator counts as alive, if nothing more is heard; `None`: it does not.
    pub(super) fn expiry(&self, now: Instant) -> Option<Instant> {
        let until = self.changed? + self.record.as_ref()?.duration + MARGIN;
        Some(until).filter(|until| now < *until)
    }

    /// Whether it counts as alive.
    pub(super) fn is_alive(&self, now: Instant) -> bool {
        self.expiry(now).is_some()
    }
}

/// Watches the lease in all namespaces, or in KEDA's own where others may not be read.
pub(super) async fn run(context: Context) {
    let stop = context.stop.clone();
    tokio::select! {
        () = stop.cancelled() => {}
        () = follow(&context) => {}
    }
}

async fn follow(context: &Context) {
    let mut is_everywhere = context.options.namespaces.is_empty();
    loop {
        is_everywhere = watch(context, is_everywhere).await;
        // A KEDA that nobody may see is not waited for.
        if context.events.send(Message::LeaseListed).await.is_err() {
            return;
        }
        tokio::time::sleep(context.options.retry_missing).await;
    }
}

/// Watches until it may not. Returns where to look next.
async fn watch(context: &Context, is_everywhere: bool) -> bool {
    let config = watcher::Config::default().fields(&format!("metadata.name={NAME}"));
    let mut stream = Box::pin(watcher::watcher(
        api(&context.client, is_everywhere),
        config,
    ));
    while let Some(event) = stream.next().await {
        let message = match event {
            Ok(Event::Apply(lease) | Event::InitApply(lease)) => {
                Message::Lease(Record::read(&lease.value))
            }
            Ok(Event::Delete(_)) => Message::Lease(None),
            Ok(Event::Init) => continue,
            Ok(Event::InitDone) => Message::LeaseListed,
            Err(error) => {
                debug!(error = %error, "the lease of KEDA cannot be watched");
                match super::watch::classify(&error) {
                    super::watch::Failure::Forbidden => return false,
                    super::watch::Failure::Missing => return is_everywhere,
                    super::watch::Failure::Expired => {}
                    super::watch::Failure::Other => {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
                continue;
            }
        };
        if context.events.send(message).await.is_err() {
            return is_everywhere;
        }
    }
    is_everywhere
}

fn api(client: &Client, is_everywhere: bool) -> Api<Raw> {
    let resource = ApiResource {
        group: "coordination.k8s.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "coordination.k8s.io/v1".to_owned(),
        kind: "Lease".to_owned(),
        plural: "leases".to_owned(),
    };
    match is_everywhere {
        true => Api::all_with(client.clone(), &resource),
        false => Api::namespaced_with(client.clone(), NAMESPACE, &resource),
    }
}
