//! A cluster to put objects into, and what came out of it last.

use std::sync::Arc;

use serde_json::{Value, json};
use zeron_core::metric::{Unknown, UnknownKind};
use zeron_core::policy::{Scaling, TriggerGroup, TriggerSource, TriggerSpec};
use zeron_core::roles::{BoundTrigger, TriggerProblem};
use zeron_core::{Function, FunctionId, RouteSnapshot, ScalerRegistry};

use crate::projection::{
    Changes, Declared, Manage, ObjectKey, ObjectKind, ObjectReport, Outcome, Projection,
    ProjectionOptions, TargetKind,
};

/// Knows `kafka`, which needs a `topic`, and `cpu`.
#[derive(Debug)]
pub(super) struct FakeScalers;

impl ScalerRegistry for FakeScalers {
    fn validate(&self, trigger: &TriggerSpec) -> Vec<TriggerProblem> {
        let problem = |parameter: Option<&str>, message: &str| TriggerProblem {
            parameter: parameter.map(str::to_owned),
            message: message.to_owned(),
            is_warning: false,
        };
        match trigger.kind.as_str() {
            "kafka" if trigger.metadata.contains_key("topic") => Vec::new(),
            "kafka" => vec![problem(Some("topic"), "is missing")],
            "cpu" | "memory" => Vec::new(),
            _ => vec![problem(None, "is not built in")],
        }
    }

    fn is_built_in(&self, kind: &str) -> bool {
        matches!(kind, "kafka" | "cpu" | "memory")
    }

    fn bind(&self, _: &TriggerSpec) -> Result<BoundTrigger, Unknown> {
        Err(Unknown {
            kind: UnknownKind::Configuration,
            message: String::new(),
        })
    }
}

pub(super) struct World {
    pub(super) projection: Projection,
    pub(super) last: Changes,
    routes: Option<Arc<RouteSnapshot>>,
    reports: std::collections::BTreeMap<ObjectKey, ObjectReport>,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(super) fn labelled() -> Self {
        Self::with(|options| options.manage = Manage::Labelled)
    }

    pub(super) fn with(change: impl FnOnce(&mut ProjectionOptions)) -> Self {
        let mut options = ProjectionOptions::new(Arc::new(FakeScalers));
        change(&mut options);
        Self {
            projection: Projection::new(options),
            last: Changes::default(),
            routes: None,
            reports: std::collections::BTreeMap::new(),
        }
    }

    /// Puts objects in, then takes what changed.
    pub(super) fn put(&mut self, objects: impl IntoIterator<Item = Value>) -> &mut Self {
        for object in objects {
            self.projection.upsert(&kind_of(&object), object).unwrap();
        }
        self.take()
    }

    pub(super) fn delete(&mut self, objects: impl IntoIterator<Item = Value>) -> &mut Self {
        for object in objects {
            let key = key_of(&object);
            self.projection.delete(&key);
        }
        self.take()
    }

    pub(super) fn take(&mut self) -> &mut Self {
        self.last = self.projection.take_changes();
        self.routes = self.last.routes.clone().or(self.routes.take());
        for key in &self.last.forgotten {
            self.reports.remove(key);
        }
        for report in &self.last.reports {
            self.reports.insert(report.object.clone(), report.clone());
        }
        self
    }

    pub(super) fn declared(&self, name: &str) -> Declared {
        self.try_declared(name).unwrap()
    }

    pub(super) fn try_declared(&self, name: &str) -> Option<Declared> {
        let id = FunctionId::new("default", "Deployment", name);
        self.projection.declared(&id)
    }

    pub(super) fn function(&self, name: &str) -> Arc<Function> {
        self.declared(name).function
    }

    pub(super) fn groups(&self, name: &str) -> Vec<TriggerGroup> {
        self.function(name).scale.groups.clone()
    }

    /// The specs of the triggers of the first group.
    pub(super) fn spec(&self, name: &str) -> TriggerSpec {
        let group = self.groups(name).remove(0);
        let Scaling::Metric(metric) = group.scaling else {
            panic!("not a ScaledObject's")
        };
        match &metric.triggers[0].source {
            TriggerSource::Scaler(spec) => spec.clone(),
            TriggerSource::Http(_) => panic!("our own trigger"),
        }
    }

    pub(super) fn report(&self, kind: ObjectKind, name: &str) -> &ObjectReport {
        self.report_in("default", kind, name)
    }

    pub(super) fn report_in(&self, namespace: &str, kind: ObjectKind, name: &str) -> &ObjectReport {
        &self.reports[&ObjectKey::new(kind, namespace, name)]
    }

    pub(super) fn outcome(&self, kind: ObjectKind, name: &str) -> &Outcome {
        &self.report(kind, name).outcome
    }

    pub(super) fn so(&self) -> &Outcome {
        self.outcome(ObjectKind::ScaledObject, "so")
    }

    pub(super) fn routes(&self) -> &RouteSnapshot {
        self.routes.as_ref().unwrap()
    }

    pub(super) fn applied(&self) -> Vec<String> {
        let ids = self.last.applied.iter().map(|d| d.function.id.to_string());
        ids.collect()
    }

    pub(super) fn removed(&self) -> Vec<String> {
        self.last.removed.iter().map(ToString::to_string).collect()
    }
}

pub(super) fn kind_of(object: &Value) -> ObjectKind {
    let api_version = object["apiVersion"].as_str().unwrap();
    let kind = object["kind"].as_str().unwrap();
    match kind {
        "ScaledObject" => ObjectKind::ScaledObject,
        "ScaledJob" => ObjectKind::ScaledJob,
        "TriggerAuthentication" => ObjectKind::TriggerAuthentication,
        "ClusterTriggerAuthentication" => ObjectKind::ClusterTriggerAuthentication,
        "HTTPScaledObject" => ObjectKind::HttpScaledObject,
        "InterceptorRoute" => ObjectKind::InterceptorRoute,
        "Service" => ObjectKind::Service,
        "ConfigMap" => ObjectKind::ConfigMap,
        "Secret" => ObjectKind::Secret,
        "HorizontalPodAutoscaler" => ObjectKind::HorizontalPodAutoscaler,
        "Deployment" => ObjectKind::Target(Arc::new(TargetKind::deployment())),
        "StatefulSet" => ObjectKind::Target(Arc::new(TargetKind::stateful_set())),
        _ => ObjectKind::Target(Arc::new(TargetKind {
            api_version: api_version.into(),
            kind: kind.into(),
            plural: format!("{}s", kind.to_lowercase()).as_str().into(),
            replicas_path: ".spec.size".into(),
            selector_path: Some(".status.selector".into()),
        })),
    }
}

pub(super) fn key_of(object: &Value) -> ObjectKey {
    let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default();
    ObjectKey::new(kind_of(object), text("namespace"), text("name"))
}

/// An object with these fields; `path` is `a.b.c`.
pub(super) fn with(mut object: Value, pointer: &str, value: impl Into<Value>) -> Value {
    let mut at = &mut object;
    for name in pointer.split('/').filter(|n| !n.is_empty()) {
        at = match name.parse::<usize>() {
            Ok(index) => &mut at[index],
            Err(_) => &mut at[name.replace("~1", "/")],
        };
    }
    *at = value.into();
    object
}

pub(super) fn in_namespace(object: Value, namespace: &str) -> Value {
    with(object, "metadata/namespace", namespace)
}

pub(super) fn aged(object: Value, day: u32) -> Value {
    let time = format!("2026-01-{day:02}T00:00:00Z");
    with(object, "metadata/creationTimestamp", time)
}

pub(super) fn annotated(object: Value, key: &str, value: &str) -> Value {
    let key = key.replace('/', "~1");
    with(object, &format!("metadata/annotations/{key}"), value)
}

fn object(api_version: &str, kind: &str, name: &str, rest: Value) -> Value {
    let mut object = json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": format!("{kind}-{name}"),
            "generation": 1,
            "resourceVersion": "7",
            "creationTimestamp": "2026-01-05T00:00:00Z",
            "managedFields": [{ "manager": "kubectl", "fieldsV1": { "f:spec": {} } }],
        },
    });
    for (key, value) in rest.as_object().unwrap() {
        object[key] = value.clone();
    }
    object
}

pub(super) fn deployment(name: &str) -> Value {
    workload("apps/v1", "Deployment", name)
}

pub(super) fn workload(api_version: &str, kind: &str, name: &str) -> Value {
    let rest = json!({
        "spec": {
            "replicas": 0,
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name, "tier": "web" } },
                "spec": {
                    "containers": [{
                        "name": "main",
                        "image": "example.com/image:1",
                        "ports": [{ "name": "web", "containerPort": 8080 }],
                        "env": [
                            { "name": "TOPIC", "value": "orders" },
                            { "name": "PASSWORD", "valueFrom": { "secretKeyRef": { "name": "credentials", "key": "password" } } },
                            { "name": "GROUP", "valueFrom": { "configMapKeyRef": { "name": "settings", "key": "group" } } },
                        ],
                        "envFrom": [{ "secretRef": { "name": "more" } }, { "configMapRef": { "name": "all" } }],
                    }],
                    "terminationGracePeriodSeconds": 17,
                },
            },
        },
        "status": { "replicas": 0 },
    });
    object(api_version, kind, name, rest)
}

pub(super) fn service(name: &str, app: &str) -> Value {
    let rest = json!({
        "spec": {
            "clusterIP": "10.96.3.4",
            "selector": { "app": app },
            "ports": [{ "name": "http", "port": 80, "targetPort": "web" }],
        },
    });
    object("v1", "Service", name, rest)
}

/// A ScaledObject on the Deployment `target` with a Kafka trigger.
pub(super) fn scaled(name: &str, target: &str) -> Value {
    let rest = json!({
        "spec": {
            "scaleTargetRef": { "name": target },
            "maxReplicaCount": 10,
            "triggers": [{ "type": "kafka", "metadata": { "topic": "orders", "lagThreshold": "5" } }],
        },
    });
    object("keda.sh/v1alpha1", "ScaledObject", name, rest)
}

/// A ScaledObject with these triggers.
pub(super) fn triggered(name: &str, target: &str, triggers: Value) -> Value {
    with(scaled(name, target), "spec/triggers", triggers)
}

pub(super) fn authentication(name: &str, spec: Value) -> Value {
    object(
        "keda.sh/v1alpha1",
        "TriggerAuthentication",
        name,
        json!({ "spec": spec }),
    )
}

pub(super) fn http(name: &str, target: &str, host: &str) -> Value {
    let rest = json!({
        "spec": {
            "hosts": [host],
            "scaleTargetRef": { "name": target, "service": target, "port": 80 },
            "replicas": { "min": 0, "max": 7 },
        },
    });
    object("http.keda.sh/v1alpha1", "HTTPScaledObject", name, rest)
}

pub(super) fn interceptor(name: &str, service: &str, host: &str) -> Value {
    let rest = json!({
        "spec": {
            "target": { "service": service, "port": 80 },
            "rules": [{ "hosts": [host] }],
            "scalingMetric": { "concurrency": { "targetValue": 3 } },
        },
    });
    object("http.keda.sh/v1beta1", "InterceptorRoute", name, rest)
}

pub(super) fn autoscaler(name: &str, target: &str) -> Value {
    let rest = json!({
        "spec": { "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": target } },
    });
    object("autoscaling/v2", "HorizontalPodAutoscaler", name, rest)
}

pub(super) fn secret(name: &str, key: &str, value: &str) -> Value {
    let encoded = json!(k8s_openapi::ByteString(value.as_bytes().to_vec()));
    object("v1", "Secret", name, json!({ "data": { key: encoded } }))
}

pub(super) fn config_map(name: &str, key: &str, value: &str) -> Value {
    object("v1", "ConfigMap", name, json!({ "data": { key: value } }))
}

pub(super) fn job(name: &str) -> Value {
    let container =
        json!({ "name": "main", "image": "worker", "env": [{ "name": "GROUP", "value": "g" }] });
    object(
        "keda.sh/v1alpha1",
        "ScaledJob",
        name,
        json!({
            "spec": {
                "jobTargetRef": { "template": { "spec": { "containers": [container] } } },
                "maxReplicaCount": 20,
                "scalingStrategy": { "strategy": "accurate" },
                "triggers": [{ "type": "kafka", "metadata": { "topic": name, "consumerGroupFromEnv": "GROUP" } }],
            },
        }),
    )
}
