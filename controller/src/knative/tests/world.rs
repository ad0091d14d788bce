//! A cluster with one revision, an engine that says what it is told to, and what both were told.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, sleep};
use zeron_backend_kubernetes::ScaleTarget;
use zeron_core::ownership::{BucketSet, Owner, Ownership};
use zeron_core::path::{Activity, PathAsk, PathFacts, PathMode};
use zeron_core::status::{FunctionStatus, Phase};
use zeron_core::{FunctionId, ObjectRef, Timestamp};
use zeron_frontend_knative::autoscaling::{Collection, ServingConfig};

use super::server::Server;
use crate::knative::{AskForActivator, KnativeOptions, PodAutoscalers, Revision, RevisionSink};

const PATIENCE: Duration = Duration::from_secs(120);

/// What the sink was told, in order.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Told {
    Apply(Revision),
    Retarget(u32),
    Forget,
    Facts(PathFacts),
    Configure(ServingConfig),
}

/// An engine that says what it is told to.
pub(super) struct Engine {
    pub(super) told: Mutex<Vec<Told>>,
    statuses: Mutex<HashMap<FunctionId, FunctionStatus>>,
    pub(super) collection: Mutex<Collection>,
    pub(super) changes: broadcast::Sender<FunctionId>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl RevisionSink for Engine {
    fn apply(&self, revision: &Revision) {
        self.told.lock().push(Told::Apply(revision.clone()));
    }

    fn retarget(&self, target: &ScaleTarget) {
        self.told
            .lock()
            .push(Told::Retarget(target.replicas.unwrap()));
    }

    fn forget(&self, id: &FunctionId) {
        self.statuses.lock().remove(id);
        self.told.lock().push(Told::Forget);
    }

    fn observe_path(&self, _: &FunctionId, facts: PathFacts) {
        self.told.lock().push(Told::Facts(facts));
    }

    fn status(&self, id: &FunctionId) -> Option<FunctionStatus> {
        self.statuses.lock().get(id).cloned()
    }

    fn collection(&self, _: &FunctionId) -> Collection {
        self.collection.lock().clone()
    }

    fn configure(&self, config: &ServingConfig) {
        self.told.lock().push(Told::Configure(config.clone()));
    }
}

/// Answers probes as told.
#[derive(Debug, Default)]
pub(super) struct Prober {
    pub(super) asked: Mutex<Vec<(String, u16)>>,
    pub(super) is_activator: Mutex<bool>,
}

impl AskForActivator for Prober {
    fn is_activator(&self, host: &str, port: u16) -> BoxFuture<'static, bool> {
        self.asked.lock().push((host.to_owned(), port));
        let answer = *self.is_activator.lock();
        async move { answer }.boxed()
    }
}

pub(super) struct World {
    pub(super) server: Arc<Server>,
    pub(super) engine: Arc<Engine>,
    pub(super) prober: Arc<Prober>,
    ownership: Option<watch::Sender<Arc<Ownership>>>,
    running: Option<PodAutoscalers>,
}

pub(super) fn id() -> FunctionId {
    FunctionId::new("ns", "Revision", "rev")
}

/// What an engine asks of a revision without traffic whose pod is ready.
pub(super) fn ask(mode: PathMode, activators: u32, activity: Activity) -> PathAsk {
    PathAsk {
        activity,
        activity_since: Timestamp::from_secs(1_700_000_000),
        is_initialized: activity == Activity::Active,
        mode,
        activators,
        desired: Some(1),
        is_probe_wanted: false,
        excess_burst_capacity: 10.0,
        stable: 0.0,
        panic: 0.0,
        target: 70.0,
        is_panicking: false,
    }
}

impl World {
    /// With a Deployment and its PodAutoscaler, which is ours.
    pub(super) fn new() -> Self {
        let server = Server::new();
        server.put(
            "deployments",
            "ns",
            "rev-deployment",
            &json!({ "spec": { "replicas": 1, "selector": { "matchLabels": { "r": "1" } } } }),
        );
        server.put(
            "podautoscalers",
            "ns",
            "rev",
            &json!({
                "metadata": {
                    "labels": { "serving.knative.dev/service": "web" },
                    "annotations": {
                        "autoscaling.knative.dev/class": "kpa.autoscaling.knative.dev",
                    },
                },
                "spec": {
                    "scaleTargetRef": {
                        "apiVersion": "apps/v1", "kind": "Deployment", "name": "rev-deployment",
                    },
                    "protocolType": "http1", "reachability": "Reachable", "unheardOf": 1,
                },
            }),
        );
        let world = Self {
            server,
            engine: Arc::new(Engine {
                told: Mutex::default(),
                statuses: Mutex::default(),
                collection: Mutex::default(),
                changes: broadcast::channel(16).0,
            }),
            prober: Arc::default(),
            ownership: Some(watch::Sender::new(ownership(false))),
            running: None,
        };
        world.own(true);
        world
    }

    /// Begins to look after it.
    pub(super) async fn start(&mut self) {
        let options = KnativeOptions {
            probe: Arc::clone(&self.prober) as Arc<dyn AskForActivator>,
            ..KnativeOptions::default()
        };
        let running = PodAutoscalers::start(
            self.server.client(),
            options,
            Arc::clone(&self.engine) as Arc<dyn RevisionSink>,
            self.ownership.as_ref().unwrap().subscribe(),
            vec![self.engine.changes.subscribe()],
        );
        running.synced().await;
        self.running = Some(running);
    }

    pub(super) fn own(&self, is_owned: bool) {
        let own = self.ownership.as_ref().unwrap();
        own.send_replace(ownership(is_owned));
    }

    /// Ownership does not change any more.
    pub(super) fn own_for_good(&mut self) {
        self.ownership = None;
    }

    /// The engine says something new.
    pub(super) fn say(&self, path: Option<PathAsk>, ready: u32) {
        let owner = ObjectRef {
            api_version: "serving.knative.dev/v1".to_owned(),
            kind: "Service".to_owned(),
            namespace: "ns".to_owned(),
            name: "web".to_owned(),
        };
        let status = FunctionStatus {
            id: id(),
            owner,
            phase: Phase::Active,
            message: None,
            desired: 1,
            ready,
            starting: 0,
            max: None,
            in_flight: 0,
            queued: 0,
            triggers: Vec::new(),
            failure: None,
            since: Timestamp::from_secs(1),
            last_active: None,
            paused_at: None,
            held: Vec::new(),
            path,
        };
        self.engine.statuses.lock().insert(id(), status);
        self.engine.changes.send(id()).unwrap();
    }

    /// Knative's own reconciler has made the Services.
    pub(super) fn services_ready(&self, proxied_since: Option<&str>) {
        let sks = self.sks().unwrap();
        let mut conditions = vec![json!({ "type": "Ready", "status": "True" })];
        conditions.extend(proxied_since.map(|since| {
            json!({
                "type": "ActivatorEndpointsPopulated", "status": "True", "severity": "Info",
                "lastTransitionTime": since,
            })
        }));
        let status = json!({
            "observedGeneration": sks["metadata"]["generation"],
            "serviceName": "rev", "privateServiceName": "rev-private",
            "conditions": conditions,
        });
        let fields = json!({ "status": status });
        self.server.put("serverlessservices", "ns", "rev", &fields);
    }

    pub(super) fn sks(&self) -> Option<Value> {
        self.server.object("serverlessservices", "ns", "rev")
    }

    pub(super) fn autoscaler(&self) -> Value {
        self.server.object("podautoscalers", "ns", "rev").unwrap()
    }

    /// Status and reason of a condition of the PodAutoscaler.
    pub(super) fn condition(&self, name: &str) -> Option<(String, String)> {
        let status = self.autoscaler();
        let conditions = status.pointer("/status/conditions")?.as_array()?;
        let found = conditions.iter().find(|c| c["type"] == name)?;
        let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
        Some((text("status"), text("reason")))
    }

    pub(super) fn facts(&self) -> Option<PathFacts> {
        let told = self.engine.told.lock();
        told.iter().rev().find_map(|told| match told {
            Told::Facts(facts) => Some(*facts),
            _ => None,
        })
    }

    pub(super) fn applied(&self) -> Vec<Revision> {
        let told = self.engine.told.lock();
        let applied = told.iter().filter_map(|told| match told {
            Told::Apply(revision) => Some(revision.clone()),
            _ => None,
        });
        applied.collect()
    }

    /// Everything that is counted, as it is shown.
    pub(super) fn figures(&self) -> String {
        let mut registry = Registry::default();
        self.running.as_ref().unwrap().register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    }

    /// Waits until it is so.
    pub(super) async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            let writes = self.server.writes();
            let told = self.engine.told.lock().clone();
            assert!(Instant::now() < deadline, "{what}: {writes:#?} {told:#?}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Lets so much time pass.
    pub(super) async fn pass(&self, time: Duration) {
        sleep(time).await;
    }
}

fn ownership(is_owned: bool) -> Arc<Ownership> {
    let owner = |_| match is_owned {
        true => Owner::Us,
        false => Owner::Nobody,
    };
    Arc::new(Ownership::new(Arc::new(BucketSet::of_autoscaler(1)), owner))
}
