//! A revision of a real Knative whose autoscaler does not run: what the engine would ask is written, and Knative acts on it.
#![allow(clippy::unwrap_used)]

mod support;

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use support::{Place, in_cluster, skip};
use tokio::sync::{broadcast, watch};
use zeron_backend_kubernetes::ScaleTarget;
use zeron_controller::knative::{
    AskForActivator, HttpProbe, KnativeOptions, PodAutoscalers, Revision, RevisionSink,
};
use zeron_core::ownership::{BucketSet, Owner, Ownership};
use zeron_core::path::{Activity, PathAsk, PathFacts, PathMode};
use zeron_core::status::{FunctionStatus, Phase};
use zeron_core::{FunctionId, ObjectRef, Timestamp};
use zeron_frontend_knative::autoscaling::{Collection, ServingConfig};

const NAME: &str = "test_knative_acts_on_what_is_written";

/// Says what it is told to, and remembers what it is told.
struct Engine {
    applied: Mutex<Vec<Revision>>,
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
    fn apply(&self, revision: &Revision) {
        self.applied.lock().push(revision.clone());
    }

    fn retarget(&self, _: &ScaleTarget) {}

    fn forget(&self, _: &FunctionId) {}

    fn observe_path(&self, _: &FunctionId, facts: PathFacts) {
        *self.facts.lock() = Some(facts);
    }

    fn status(&self, _: &FunctionId) -> Option<FunctionStatus> {
        self.status.lock().clone()
    }

    fn collection(&self, _: &FunctionId) -> Collection {
        Collection::Collected
    }

    fn configure(&self, _: &ServingConfig) {}
}

impl Engine {
    fn say(&self, id: &FunctionId, activity: Activity, mode: PathMode, ready: u32) {
        let now = jiff::Timestamp::now().as_microsecond();
        let now = Timestamp::from_micros(u64::try_from(now).unwrap());
        let is_active = activity == Activity::Active;
        let path = PathAsk {
            activity,
            activity_since: now,
            is_initialized: activity != Activity::Activating,
            mode,
            activators: 3,
            desired: Some(u32::from(is_active)).filter(|_| activity != Activity::Activating),
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
        *self.status.lock() = Some(status);
        self.changes.send(id.clone()).unwrap();
    }
}

/// The reason why this cannot be tested here.
async fn obstacle(place: &Place) -> Option<&'static str> {
    let path = "/apis/apps/v1/namespaces/knative-serving/deployments/autoscaler";
    let Some(autoscaler) = place.get(path).await else {
        return Some("no Knative is installed");
    };
    let is_alive = autoscaler["status"]["readyReplicas"].as_u64() > Some(0);
    is_alive.then_some("an autoscaler is at work: scale it to zero for this test")
}

struct Scene {
    place: Place,
    engine: Arc<Engine>,
    id: FunctionId,
}

impl Scene {
    /// A Configuration of one revision, and whoever looks after its PodAutoscaler.
    async fn begin(place: Place) -> (Self, PodAutoscalers) {
        let configuration = json!({
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Configuration",
            "metadata": {"name": "web"},
            "spec": {"template": {"spec": {"containers": [{
                "image": "dev.local/zeron-example-function:test", "imagePullPolicy": "Never",
            }]}}},
        });
        let path = place.path("serving.knative.dev/v1", "configurations");
        place.create(&path, &configuration).await.unwrap();
        let engine = Arc::new(Engine {
            applied: Mutex::default(),
            facts: Mutex::default(),
            status: Mutex::default(),
            changes: broadcast::channel(16).0,
        });
        let options = KnativeOptions {
            namespaces: vec![place.namespace.clone()],
            ..KnativeOptions::default()
        };
        let ours = Ownership::new(Arc::new(BucketSet::of_autoscaler(1)), |_| Owner::Us);
        let (_owned, ownership) = watch::channel(Arc::new(ours));
        let running = PodAutoscalers::start(
            place.client.clone(),
            options,
            Arc::clone(&engine) as Arc<dyn RevisionSink>,
            ownership,
            vec![engine.changes.subscribe()],
        );
        running.synced().await;
        let id = FunctionId::new(&place.namespace, "Revision", "web-00001");
        (Self { place, engine, id }, running)
    }

    async fn object(&self, api_version: &str, plural: &str) -> Option<Value> {
        let path = self.place.path(api_version, plural);
        self.place.get(&format!("{path}/web-00001")).await
    }

    async fn sks(&self) -> Option<Value> {
        let api = "networking.internal.knative.dev/v1alpha1";
        self.object(api, "serverlessservices").await
    }

    /// Waits for a condition of an object to have a status and a reason.
    async fn until_condition(&self, api: &str, plural: &str, name: &str, wanted: (&str, &str)) {
        let what = format!("{plural} {name} {wanted:?}");
        let is = |object: &Value| {
            let conditions = object["status"]["conditions"].as_array()?;
            let found = conditions.iter().find(|c| c["type"] == name)?;
            let text = |field: &str| found[field].as_str().unwrap_or_default();
            ((text("status"), text("reason")) == wanted).then_some(())
        };
        let look = || async { is(&self.object(api, plural).await?) };
        self.place.until(&what, look).await;
    }

    /// Waits until its public Service leads to so many addresses that `is_pod` of.
    async fn until_served_by(&self, pods: bool) {
        let namespace = &self.place.namespace;
        let pod_path = format!("/api/v1/namespaces/{namespace}/pods");
        let path = format!("/api/v1/namespaces/{namespace}/endpoints/web-00001");
        let look = || async {
            let all = self.place.get(&pod_path).await?;
            let own: Vec<&Value> = all["items"].as_array()?.iter().collect();
            let endpoints = self.place.get(&path).await?;
            let first = &endpoints["subsets"][0]["addresses"][0]["ip"];
            let is_pod = own.iter().any(|pod| pod["status"]["podIP"] == *first);
            (first.is_string() && is_pod == pods).then_some(())
        };
        let what = if pods {
            "served by pods"
        } else {
            "served by activators"
        };
        self.place.until(what, look).await;
    }

    async fn is_activator(&self) -> bool {
        let namespace = &self.place.namespace;
        let path = format!("/api/v1/namespaces/{namespace}/services/web-00001");
        let service = self.place.get(&path).await.unwrap();
        let address = service["spec"]["clusterIP"].as_str().unwrap().to_owned();
        HttpProbe.is_activator(&address, 80).await
    }
}

const AUTOSCALING: &str = "autoscaling.internal.knative.dev/v1alpha1";
const SERVING: &str = "serving.knative.dev/v1";

#[tokio::test]
async fn knative_acts_on_what_is_written() {
    in_cluster(NAME, |place| async move {
        if let Some(obstacle) = obstacle(&place).await {
            return skip(NAME, obstacle);
        }
        let (scene, _running) = Scene::begin(place).await;
        let look = || async { (!scene.engine.applied.lock().is_empty()).then_some(()) };
        scene.place.until("handed out", look).await;
        scene
            .engine
            .say(&scene.id, Activity::Activating, PathMode::Proxy, 0);
        let queued = ("Unknown", "Queued");
        scene
            .until_condition(AUTOSCALING, "podautoscalers", "Active", queued)
            .await;
        let has_services = || async {
            let facts = (*scene.engine.facts.lock())?;
            (facts.has_private_service && facts.has_service).then_some(())
        };
        scene.place.until("Services", has_services).await;

        let look = || async {
            let path = scene.place.path("apps/v1", "deployments");
            let path = format!("{path}/web-00001-deployment");
            let deployment = scene.place.get(&path).await?;
            (deployment["status"]["readyReplicas"] == 1).then_some(())
        };
        scene.place.until("a pod", look).await;
        scene
            .engine
            .say(&scene.id, Activity::Active, PathMode::Proxy, 1);
        for (api, plural) in [(AUTOSCALING, "podautoscalers"), (SERVING, "revisions")] {
            scene
                .until_condition(api, plural, "Ready", ("True", ""))
                .await;
        }
        scene
            .until_condition(AUTOSCALING, "metrics", "Ready", ("True", ""))
            .await;
        let sks = scene.sks().await.unwrap();
        assert_eq!(sks["spec"]["numActivators"], 3);

        scene
            .engine
            .say(&scene.id, Activity::Active, PathMode::Serve, 1);
        scene.until_served_by(true).await;
        let look = || async { (!scene.is_activator().await).then_some(()) };
        scene.place.until("no activator", look).await;
        scene
            .engine
            .say(&scene.id, Activity::NoTraffic, PathMode::Proxy, 1);
        scene.until_served_by(false).await;
        let look = || async { scene.is_activator().await.then_some(()) };
        scene.place.until("an activator", look).await;
        let look = || async { scene.engine.facts.lock().as_ref()?.proxied_since };
        scene.place.until("proxied", look).await;
        let no_traffic = ("False", "NoTraffic");
        scene
            .until_condition(SERVING, "revisions", "Active", no_traffic)
            .await;
    })
    .await;
}
