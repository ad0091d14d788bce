//! A revision of a real Knative whose autoscaler does not run: what an engine would ask is written, and Knative acts on it.
#![allow(clippy::unwrap_used)]

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use serde_json::Value;
use tokio::sync::{broadcast, watch};
use zeron_backend_kubernetes::ScaleTarget;
use zeron_controller::knative::{
    AskForActivator, HttpProbe, KnativeOptions, PodAutoscalers, RevisionSink,
};
use zeron_core::ownership::{BucketSet, Owner, Ownership};
use zeron_core::path::{Activity, PathAsk, PathFacts, PathMode};
use zeron_core::status::{FunctionStatus, Phase};
use zeron_core::{FunctionId, ObjectRef, Timestamp};
use zeron_frontend_knative::autoscaling::{Collection, ServingConfig};
use zeron_tests::cluster::Namespace;
use zeron_tests::knative::{Knative, Part, Revision, Side, Template};
use zeron_tests::until;

const REVISION: &str = "serving.knative.dev/v1/Revision";
const AUTOSCALER: &str = "autoscaling.internal.knative.dev/v1alpha1/PodAutoscaler";
const METRIC: &str = "autoscaling.internal.knative.dev/v1alpha1/Metric";
const SERVERLESS: &str = "networking.internal.knative.dev/v1alpha1/ServerlessService";

/// Says what it is told to, and remembers what it is told.
struct Engine {
    is_applied: Mutex<bool>,
    facts: Mutex<Option<PathFacts>>,
    status: Mutex<Option<FunctionStatus>>,
    changes: broadcast::Sender<FunctionId>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl RevisionSink for Engine {
    fn apply(&self, _: &zeron_controller::knative::Revision) {
        *self.is_applied.lock().unwrap() = true;
    }

    fn retarget(&self, _: &ScaleTarget) {}

    fn forget(&self, _: &FunctionId) {}

    fn observe_path(&self, _: &FunctionId, facts: PathFacts) {
        *self.facts.lock().unwrap() = Some(facts);
    }

    fn status(&self, _: &FunctionId) -> Option<FunctionStatus> {
        self.status.lock().unwrap().clone()
    }

    fn collection(&self, _: &FunctionId) -> Collection {
        Collection::Collected
    }

    fn configure(&self, _: &ServingConfig) {}
}

impl Engine {
    fn say(&self, id: &FunctionId, activity: Activity, mode: PathMode, ready: u32) {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros();
        let now = Timestamp::from_micros(u64::try_from(now).unwrap());
        let is_activating = activity == Activity::Activating;
        let path = PathAsk {
            activity,
            activity_since: now,
            is_initialized: !is_activating,
            mode,
            activators: 3,
            desired: Some(u32::from(activity == Activity::Active)).filter(|_| !is_activating),
            is_probe_wanted: false,
            excess_burst_capacity: -1.0,
            stable: 0.0,
            panic: 0.0,
            target: 70.0,
            is_panicking: false,
        };
        let status = FunctionStatus {
            id: id.clone(),
            owner: ObjectRef {
                api_version: "serving.knative.dev/v1".to_owned(),
                kind: "Revision".to_owned(),
                namespace: id.namespace().to_owned(),
                name: id.name().to_owned(),
            },
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
            since: now,
            last_active: None,
            paused_at: None,
            held: Vec::new(),
            path: Some(path),
        };
        *self.status.lock().unwrap() = Some(status);
        self.changes.send(id.clone()).unwrap();
    }

    fn fact<T>(&self, what: &str, of: impl Fn(PathFacts) -> Option<T>) -> T {
        until(what, || (*self.facts.lock().unwrap()).and_then(&of))
    }
}

/// Looks after the namespace's PodAutoscalers with an engine that the test plays.
fn follow(namespace: &Namespace) -> (Arc<Engine>, PodAutoscalers) {
    let engine = Arc::new(Engine {
        is_applied: Mutex::default(),
        facts: Mutex::default(),
        status: Mutex::default(),
        changes: broadcast::channel(16).0,
    });
    let options = KnativeOptions {
        namespaces: vec![namespace.name().to_owned()],
        ..KnativeOptions::default()
    };
    let ours = Ownership::new(Arc::new(BucketSet::of_autoscaler(1)), |_| Owner::Us);
    let (_owned, ownership) = watch::channel(Arc::new(ours));
    let cluster = namespace.cluster();
    let running = cluster.block_on(async {
        let sink = Arc::clone(&engine) as Arc<dyn RevisionSink>;
        let news = vec![engine.changes.subscribe()];
        let running = PodAutoscalers::start(cluster.client(), options, sink, ownership, news);
        running.synced().await;
        running
    });
    (engine, running)
}

/// Waits until the public Service leads to the one pod, or to others.
fn wait_served_by(namespace: &Namespace, revision: &Revision<'_>, pod: &Value, is_it: bool) {
    let what = if is_it {
        "to lead to its pod"
    } else {
        "to lead to activators"
    };
    namespace.wait("v1/Endpoints", revision.name(), what, |endpoints| {
        let first = endpoints.pointer("/subsets/0/addresses/0/ip")?;
        ((pod["status"]["podIP"] == *first) == is_it).then_some(())
    });
}

/// Waits until an activator answers at the public Service, or does not.
fn wait_activator(revision: &Revision<'_>, namespace: &Namespace, answers: bool) {
    let address: IpAddr = revision.request().address.ip();
    until("an activator in the way, or none", || {
        let asked = async { HttpProbe.is_activator(&address.to_string(), 80).await };
        (namespace.cluster().block_on(asked) == answers).then_some(())
    });
}

#[test]
fn knative_acts_on_what_is_written() {
    const TEST: &str = "knative_acts_on_what_is_written";
    let Some(knative) = Knative::alone(TEST, Side::Knatives) else {
        return;
    };
    let _without = knative.without(Part::Autoscaler);
    let namespace = knative.cluster().namespace("kn-written");
    let (engine, _running) = follow(&namespace);
    let revision = knative.revision(&namespace, "web", &Template::new());
    let id = FunctionId::new(namespace.name(), "Revision", revision.name());
    until("it to be handed out", || {
        engine.is_applied.lock().unwrap().then_some(())
    });
    engine.say(&id, Activity::Activating, PathMode::Proxy, 0);
    assert_eq!(revision.wait_active("Unknown"), "Queued");
    engine.fact("Services", |facts| {
        (facts.has_private_service && facts.has_service).then_some(())
    });

    let pod = revision.wait_pods(1).remove(0);
    engine.say(&id, Activity::Active, PathMode::Proxy, 1);
    let revision = revision.ready();
    for kind in [AUTOSCALER, METRIC] {
        namespace.wait_condition(kind, revision.name(), "Ready", "True");
    }
    let serverless = namespace.get(SERVERLESS, revision.name()).unwrap();
    assert_eq!(serverless["spec"]["numActivators"], 3);

    engine.say(&id, Activity::Active, PathMode::Serve, 1);
    wait_served_by(&namespace, &revision, &pod, true);
    wait_activator(&revision, &namespace, false);
    engine.say(&id, Activity::NoTraffic, PathMode::Proxy, 1);
    wait_served_by(&namespace, &revision, &pod, false);
    wait_activator(&revision, &namespace, true);
    engine.fact("the time since when", |facts| facts.proxied_since);
    namespace.wait_reason(REVISION, revision.name(), ["Active", "False", "NoTraffic"]);
}
