//! Whether a KEDA operator lives: somebody renews its lease, by our own clock.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use kube::api::ApiResource;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource as _};
use serde_json::Value;
use tracing::debug;

use super::driver::{Context, Message};
use super::raw::Raw;
use super::watch::Failure;
use crate::projection::KedaLife;

/// The name of KEDA's lease.
const NAME: &str = "operator.keda.sh";
/// Where KEDA is installed by its own manifests, for when leases may not be read everywhere.
const NAMESPACE: &str = "keda";
/// How much longer than its lease a KEDA counts as alive: its clock may be busy.
const MARGIN: Duration = Duration::from_secs(5);
/// KEDA's own lease duration.
const DURATION: Duration = Duration::from_secs(15);

/// What is known of the leases, by namespace: each KEDA has one in its own.
#[derive(Debug, Default)]
pub(super) struct KedaLeases(BTreeMap<String, Lease>);

/// One lease. Times of the holder's clock are compared with each other only.
#[derive(Debug)]
struct Lease {
    /// What it says; `None` while nobody holds it.
    record: Option<Record>,
    /// Until when its last holder counts as alive, by our clock.
    until: Option<Instant>,
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

    fn lasts(&self) -> Duration {
        self.duration + MARGIN
    }
}

impl Lease {
    /// A lease that was not seen before counts as renewed when its time is near ours.
    fn first(record: Option<Record>, now: Instant, wall: jiff::Timestamp) -> Self {
        let is_near = |r: &&Record| r.age(wall).is_some_and(|age| age <= r.lasts());
        let until = record.as_ref().filter(is_near).map(|r| now + r.lasts());
        Self { record, until }
    }

    /// Later it is renewed when it changes, whatever the holder's clock says. One that is let go may
    /// be a KEDA that restarts: its last holder stays alive for as long as it would have.
    fn observe(&mut self, record: Option<Record>, now: Instant) {
        if let Some(new) = record.as_ref().filter(|_| record != self.record) {
            self.until = Some(now + new.lasts());
        }
        self.record = record;
    }

    fn expiry(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| now < *until)
    }

    fn life(&self, now: Instant) -> KedaLife {
        match (self.expiry(now), &self.record) {
            (None, _) => KedaLife::Gone,
            (Some(_), None) => KedaLife::LetGo,
            (Some(_), Some(_)) => KedaLife::Alive,
        }
    }
}

impl KedaLeases {
    /// Takes the lease of a namespace as it is now.
    pub(super) fn observe(
        &mut self,
        namespace: &str,
        record: Option<Record>,
        now: Instant,
        wall: jiff::Timestamp,
    ) {
        let is_needed = |lease: &Lease| lease.record.is_some() || lease.expiry(now).is_some();
        self.0.retain(|_, lease| is_needed(lease));
        match self.0.get_mut(namespace) {
            Some(lease) => lease.observe(record, now),
            None => {
                let lease = Lease::first(record, now, wall);
                self.0.insert(namespace.to_owned(), lease);
            }
        }
    }

    /// When the next of them runs out, if nothing more is heard; `None`: none is alive.
    pub(super) fn expiry(&self, now: Instant) -> Option<Instant> {
        self.0.values().filter_map(|lease| lease.expiry(now)).min()
    }

    /// Of all of them, that which is most alive.
    pub(super) fn life(&self, now: Instant) -> KedaLife {
        let lives = self.0.values().map(|lease| lease.life(now));
        lives.max().unwrap_or(KedaLife::Gone)
    }
}

/// Watches the lease in all namespaces, or in KEDA's own where not all may be read; or only in the
/// one that was chosen.
pub(super) async fn run(context: Context) {
    let stop = context.stop.clone();
    tokio::select! {
        () = stop.cancelled() => {}
        () = follow(&context) => {}
    }
}

async fn follow(context: &Context) {
    let scopes = match &context.options.keda_namespace {
        Some(chosen) => vec![Some(chosen.as_str())],
        None => vec![None, Some(NAMESPACE)],
    };
    loop {
        for scope in &scopes {
            if watch(context, *scope).await != Failure::Forbidden {
                break;
            }
        }
        // A KEDA that nobody may see is not waited for.
        if context.events.send(Message::LeaseListed).await.is_err() {
            return;
        }
        tokio::time::sleep(context.options.retry_missing).await;
    }
}

/// Watches until it may not, or nobody listens.
async fn watch(context: &Context, namespace: Option<&str>) -> Failure {
    let config = watcher::Config::default().fields(&format!("metadata.name={NAME}"));
    let mut stream = Box::pin(watcher::watcher(api(&context.client, namespace), config));
    while let Some(event) = stream.next().await {
        let message = match event {
            Ok(Event::Apply(lease) | Event::InitApply(lease)) => {
                let record = Record::read(&lease.value);
                Message::Lease(place(&lease), record)
            }
            Ok(Event::Delete(lease)) => Message::Lease(place(&lease), None),
            Ok(Event::Init) => continue,
            Ok(Event::InitDone) => Message::LeaseListed,
            Err(error) => {
                debug!(error = %error, "the lease of KEDA cannot be watched");
                match super::watch::classify(&error) {
                    failure @ (Failure::Forbidden | Failure::Missing) => return failure,
                    Failure::Expired => {}
                    Failure::Other => tokio::time::sleep(Duration::from_secs(1)).await,
                }
                continue;
            }
        };
        if context.events.send(message).await.is_err() {
            break;
        }
    }
    Failure::Other
}

fn place(lease: &Raw) -> String {
    lease.meta().namespace.clone().unwrap_or_default()
}

fn api(client: &Client, namespace: Option<&str>) -> Api<Raw> {
    let resource = ApiResource {
        group: "coordination.k8s.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "coordination.k8s.io/v1".to_owned(),
        kind: "Lease".to_owned(),
        plural: "leases".to_owned(),
    };
    match namespace {
        None => Api::all_with(client.clone(), &resource),
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
    }
}
