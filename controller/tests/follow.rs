//! Declared objects of a real API server, followed: what comes out as they come, change and go.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use support::{Place, deployment, http_scaled_object, in_cluster, scaled_object};
use zeron_controller::follow::{DeclaredSink, FollowOptions, Follower};
use zeron_controller::projection::{
    Changes, Declared, ObjectKey, ObjectKind, ObjectReport, Outcome, ProjectionOptions,
};
use zeron_core::metric::{Unknown, UnknownKind};
use zeron_core::policy::{Scaling, TriggerSource, TriggerSpec};
use zeron_core::roles::{BoundTrigger, TriggerProblem};
use zeron_core::{FunctionId, RouteSnapshot, ScalerRegistry};

/// Takes every trigger.
#[derive(Debug)]
struct AnyTrigger;

impl ScalerRegistry for AnyTrigger {
    fn validate(&self, _: &TriggerSpec) -> Vec<TriggerProblem> {
        Vec::new()
    }

    fn bind(&self, _: &TriggerSpec) -> Result<BoundTrigger, Unknown> {
        Err(Unknown {
            kind: UnknownKind::NotRead,
            message: String::new(),
        })
    }
}

/// What holds, put together from all changes.
#[derive(Debug, Default)]
struct State {
    functions: BTreeMap<FunctionId, Declared>,
    reports: BTreeMap<ObjectKey, ObjectReport>,
    routes: Option<Arc<RouteSnapshot>>,
    /// UIDs of targets, in the order in which they came.
    uids: Vec<String>,
    calls: usize,
}

#[derive(Debug, Default)]
struct Recorder(Mutex<State>);

impl DeclaredSink for Recorder {
    fn apply(&self, changes: Changes) {
        let mut state = self.0.lock().unwrap();
        state.calls += 1;
        for id in &changes.removed {
            state.functions.remove(id);
        }
        for declared in changes.applied {
            let uid = declared
                .target
                .uid
                .as_deref()
                .unwrap_or_default()
                .to_owned();
            if !state.uids.contains(&uid) {
                state.uids.push(uid);
            }
            state
                .functions
                .insert(declared.function.id.clone(), declared);
        }
        for key in &changes.forgotten {
            state.reports.remove(key);
        }
        for report in changes.reports {
            state.reports.insert(report.object.clone(), report);
        }
        state.routes = changes.routes.or(state.routes.take());
    }
}

/// A follower of one namespace, and what it said.
struct Followed<'p> {
    place: &'p Place,
    follower: Follower,
    recorder: Arc<Recorder>,
}

impl<'p> Followed<'p> {
    async fn start(place: &'p Place, client: &Client) -> Self {
        let recorder = Arc::new(Recorder::default());
        let options = FollowOptions {
            namespaces: vec![place.namespace.clone()],
            refresh: Duration::from_millis(300),
            retry_missing: Duration::from_millis(300),
            ..FollowOptions::new(ProjectionOptions::new(Arc::new(AnyTrigger)))
        };
        let sink: Arc<dyn DeclaredSink> = Arc::clone(&recorder) as _;
        let follower = Follower::start(client, options, sink);
        tokio::time::timeout(Duration::from_secs(20), follower.synced())
            .await
            .unwrap();
        Self {
            place,
            follower,
            recorder,
        }
    }

    async fn until(&self, what: &str, is_so: impl Fn(&State) -> bool) {
        let look = || async { is_so(&self.recorder.0.lock().unwrap()).then_some(()) };
        self.place.until(what, look).await;
    }

    fn id(&self, kind: &str, name: &str) -> FunctionId {
        FunctionId::new(&self.place.namespace, kind, name)
    }

    fn scaled(&self, name: &str) -> ObjectKey {
        ObjectKey::new(ObjectKind::ScaledObject, &self.place.namespace, name)
    }
}

fn deployments(place: &Place) -> String {
    place.path("apps/v1", "deployments")
}

fn core(place: &Place, plural: &str) -> String {
    format!("/api/v1/namespaces/{}/{plural}", place.namespace)
}

fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": name },
        "spec": { "selector": { "app": name }, "ports": [{ "port": 80, "targetPort": 8080 }] },
    })
}

/// A ScaledObject whose password stands in a Secret.
fn with_secret(name: &str, target: &str) -> (Value, Value, Value) {
    let mut scaled = scaled_object(name, target);
    scaled["spec"]["triggers"][0]["authenticationRef"] = json!({ "name": "auth" });
    let auth = json!({
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "TriggerAuthentication",
        "metadata": { "name": "auth" },
        "spec": { "secretTargetRef": [{ "parameter": "password", "name": "credentials", "key": "password" }] },
    });
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": "credentials" },
        "stringData": { "password": "old" },
    });
    (scaled, auth, secret)
}

fn password(declared: &Declared) -> Option<String> {
    let Scaling::Metric(metric) = &declared.function.scale.groups.first()?.scaling else {
        return None;
    };
    match &metric.triggers.first()?.source {
        TriggerSource::Scaler(spec) => Some(spec.auth.get("password")?.expose().to_owned()),
        TriggerSource::Http(_) => None,
    }
}

#[tokio::test]
async fn functions_come_change_and_go_with_their_objects() {
    let name = "functions_come_change_and_go_with_their_objects";
    in_cluster(name, |place| async move {
        place
            .create(&deployments(&place), &deployment("app"))
            .await
            .unwrap();
        place
            .create(&core(&place, "services"), &service("app"))
            .await
            .unwrap();
        let http = http_scaled_object("web", "app");
        place
            .create(&place.http_scaled_objects(), &http)
            .await
            .unwrap();
        let followed = Followed::start(&place, &place.client).await;
        let id = followed.id("Deployment", "app");
        assert_eq!(followed.recorder.0.lock().unwrap().calls, 1, "all at once");
        assert!(followed.follower.declared(&id).unwrap().is_wake_allowed);

        place
            .create(&place.scaled_objects(), &scaled_object("so", "app"))
            .await
            .unwrap();
        followed
            .until("two groups", |s| {
                s.functions[&id].function.scale.groups.len() == 2
            })
            .await;
        let path = format!("{}/app", deployments(&place));
        place
            .merge(&path, &json!({ "spec": { "replicas": 1 } }))
            .await;
        followed
            .until("a new count", |s| {
                s.functions[&id].target.replicas == Some(1)
            })
            .await;

        place.delete(&path).await;
        followed
            .until("the target is gone", |s| !s.functions.contains_key(&id))
            .await;
        let key = followed.scaled("so");
        followed
            .until("it is said", |s| {
                matches!(s.reports[&key].outcome, Outcome::TargetMissing { .. })
            })
            .await;
        place.until_gone(&path).await;
        place
            .create(&deployments(&place), &deployment("app"))
            .await
            .unwrap();
        followed
            .until("another target", |s| {
                s.uids.len() == 2 && s.functions.contains_key(&id)
            })
            .await;
        followed
            .until("a route", |s| {
                s.routes.as_ref().is_some_and(|r| r.routes.len() == 1)
            })
            .await;

        place
            .delete(&format!("{}/web", place.http_scaled_objects()))
            .await;
        place
            .delete(&format!("{}/so", place.scaled_objects()))
            .await;
        followed
            .until("nothing is left", |s| {
                s.functions.is_empty() && s.reports.is_empty()
            })
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_rotated_secret_reaches_its_trigger() {
    in_cluster("a_rotated_secret_reaches_its_trigger", |place| async move {
        let (scaled, auth, secret) = with_secret("so", "app");
        let secrets = core(&place, "secrets");
        let auths = place.path("keda.sh/v1alpha1", "triggerauthentications");
        place
            .create(&deployments(&place), &deployment("app"))
            .await
            .unwrap();
        place.create(&auths, &auth).await.unwrap();
        place.create(&secrets, &secret).await.unwrap();
        place
            .create(&place.scaled_objects(), &scaled)
            .await
            .unwrap();
        let followed = Followed::start(&place, &place.client).await;
        let id = followed.id("Deployment", "app");
        let first = followed.follower.declared(&id).unwrap();
        assert_eq!(
            password(&first).as_deref(),
            Some("old"),
            "known from the start"
        );
        let rotated = json!({ "stringData": { "password": "new" } });
        place
            .merge(&format!("{secrets}/credentials"), &rotated)
            .await;
        let is_new = |s: &State| password(&s.functions[&id]).as_deref() == Some("new");
        followed.until("the new password", is_new).await;
        place.delete(&format!("{secrets}/credentials")).await;
        let key = followed.scaled("so");
        followed
            .until("it is missed", |s| s.reports[&key].partial.len() == 1)
            .await;
    })
    .await;
}

/// A client of an account of the namespace that may read all but Secrets.
async fn restricted(place: &Place) -> Client {
    let account = json!({ "metadata": { "name": "reader" } });
    place
        .create(&core(place, "serviceaccounts"), &account)
        .await
        .unwrap();
    let rules = json!([{
        "apiGroups": ["", "apps", "autoscaling", "keda.sh", "http.keda.sh"],
        "resources": ["services", "configmaps", "deployments", "statefulsets", "horizontalpodautoscalers", "scaledobjects",
            "scaledjobs", "triggerauthentications", "httpscaledobjects", "interceptorroutes"],
        "verbs": ["get", "list", "watch"],
    }]);
    let rbac = "rbac.authorization.k8s.io/v1";
    let role = json!({ "metadata": { "name": "reader" }, "rules": rules });
    place
        .create(&place.path(rbac, "roles"), &role)
        .await
        .unwrap();
    let binding = json!({
        "metadata": { "name": "reader" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader" },
        "subjects": [{ "kind": "ServiceAccount", "name": "reader", "namespace": place.namespace }],
    });
    place
        .create(&place.path(rbac, "rolebindings"), &binding)
        .await
        .unwrap();
    let mut file =
        Kubeconfig::read_from(std::env::var_os("ZERON_TEST_KUBECONFIG").unwrap()).unwrap();
    for user in &mut file.auth_infos {
        let account = format!("system:serviceaccount:{}:reader", place.namespace);
        user.auth_info.as_mut().unwrap().impersonate = Some(account);
    }
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(file, &options);
    Client::try_from(config.await.unwrap()).unwrap()
}

#[tokio::test]
async fn a_secret_that_may_not_be_read_is_said_with_its_grant() {
    let name = "a_secret_that_may_not_be_read_is_said_with_its_grant";
    in_cluster(name, |place| async move {
        let client = restricted(&place).await;
        let (scaled, auth, secret) = with_secret("so", "app");
        let auths = place.path("keda.sh/v1alpha1", "triggerauthentications");
        place
            .create(&deployments(&place), &deployment("app"))
            .await
            .unwrap();
        place.create(&auths, &auth).await.unwrap();
        place
            .create(&core(&place, "secrets"), &secret)
            .await
            .unwrap();
        place
            .create(&place.scaled_objects(), &scaled)
            .await
            .unwrap();
        // Neither cluster-scoped kinds nor leases may be read: that keeps nobody from starting.
        let followed = Followed::start(&place, &client).await;
        let key = followed.scaled("so");
        followed
            .until("the grant", |s| {
                let report = s.reports.get(&key);
                report.is_some_and(|it| !it.denied.is_empty())
            })
            .await;
        let state = followed.recorder.0.lock().unwrap();
        let report = &state.reports[&key];
        let expected = format!("zeron grant {} --secret credentials", place.namespace);
        assert_eq!(report.denied[0].hint, expected);
        assert_eq!(report.outcome, Outcome::Ok);
    })
    .await;
}

fn definition(group: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("farms.{group}") },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": { "kind": "Farm", "plural": "farms" },
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "subresources": {
                    "status": {},
                    "scale": {
                        "specReplicasPath": ".spec.size",
                        "statusReplicasPath": ".status.size",
                        "labelSelectorPath": ".status.labels",
                    },
                },
                "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } },
            }],
        },
    })
}

#[tokio::test]
async fn a_kind_that_comes_later_is_noticed() {
    in_cluster("a_kind_that_comes_later_is_noticed", |place| async move {
        let group = format!("{}.example.com", place.namespace);
        let api_version = format!("{group}/v1");
        let mut scaled = scaled_object("so", "farm");
        scaled["spec"]["scaleTargetRef"] =
            json!({ "apiVersion": api_version, "kind": "Farm", "name": "farm" });
        place
            .create(&place.scaled_objects(), &scaled)
            .await
            .unwrap();
        let followed = Followed::start(&place, &place.client).await;
        let key = followed.scaled("so");
        followed
            .until("no such kind", |s| {
                matches!(s.reports[&key].outcome, Outcome::TargetMissing { .. })
            })
            .await;
        let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
        place
            .create(definitions, &definition(&group))
            .await
            .unwrap();
        let farms = place.path(&api_version, "farms");
        place
            .until("the kind is served", || place.get(&farms))
            .await;
        let farm = json!({
            "apiVersion": api_version,
            "kind": "Farm",
            "metadata": { "name": "farm" },
            "spec": { "size": 2 },
            "status": { "labels": "farm=yes" },
        });
        place.create(&farms, &farm).await.unwrap();
        let status = json!({ "status": { "labels": "farm=yes" } });
        let status_path = format!("{farms}/farm/status");
        place
            .send(Method::PATCH, &status_path, "merge-patch+json", &status)
            .await
            .unwrap();
        let id = followed.id(&format!("Farm.{group}"), "farm");
        let is_known = |s: &State| {
            let target = s.functions.get(&id).map(|declared| &declared.target);
            target.is_some_and(|t| t.replicas == Some(2) && t.selector.to_string() == "farm=yes")
        };
        followed.until("the farm", is_known).await;
        place.delete(&format!("{definitions}/farms.{group}")).await;
        followed
            .until("the kind is gone", |s| s.functions.is_empty())
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_namespace_that_goes_takes_its_functions_along() {
    let name = "a_namespace_that_goes_takes_its_functions_along";
    in_cluster(name, |place| async move {
        place
            .create(&deployments(&place), &deployment("app"))
            .await
            .unwrap();
        place
            .create(&place.scaled_objects(), &scaled_object("so", "app"))
            .await
            .unwrap();
        let followed = Followed::start(&place, &place.client).await;
        let known: BTreeSet<_> = followed
            .follower
            .functions()
            .iter()
            .map(|d| d.function.id.clone())
            .collect();
        assert_eq!(known, [followed.id("Deployment", "app")].into());
        place
            .delete(&format!("/api/v1/namespaces/{}", place.namespace))
            .await;
        followed
            .until("nothing is left", |s| {
                s.functions.is_empty() && s.reports.is_empty()
            })
            .await;
    })
    .await;
}
