//! A cluster as a survey sees it, on which steps can be done.

use std::time::Duration;

use serde_json::{Value, json};

use crate::takeover::marks::{ADOPTED_FROM, GIVEN_BACK, MANAGE_LABEL, SELECTOR_BEFORE};
use crate::takeover::{Kind, Life, Object, ObjectName, Origin, Plan, Request, Step, Survey};

pub(super) fn object(kind: Kind, namespace: &str, name: &str, rest: Value) -> Object {
    let (api_version, kind_name, _) = kind.names();
    let mut value = json!({
        "apiVersion": api_version,
        "kind": kind_name,
        "metadata": { "name": name, "uid": format!("uid-{name}") },
    });
    if !namespace.is_empty() {
        value["metadata"]["namespace"] = json!(namespace);
    }
    merge(&mut value, rest);
    Object::new(kind, value)
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

pub(super) fn scaled_object(name: &str, triggers: &Value) -> Object {
    let spec = json!({ "scaleTargetRef": { "name": name }, "triggers": triggers });
    object(Kind::ScaledObject, "shop", name, json!({ "spec": spec }))
}

pub(super) fn kafka(name: &str) -> Object {
    scaled_object(
        name,
        &json!([{ "type": "kafka", "metadata": { "topic": "t" } }]),
    )
}

/// KEDA's HorizontalPodAutoscaler of a ScaledObject.
pub(super) fn autoscaler(scaled: &str) -> Object {
    let owner = json!([{ "kind": "ScaledObject", "name": scaled, "controller": true }]);
    object(
        Kind::HorizontalPodAutoscaler,
        "shop",
        &format!("keda-hpa-{scaled}"),
        json!({
            "metadata": { "ownerReferences": owner, "labels": { "scaledobject.keda.sh/name": scaled } },
            "spec": { "scaleTargetRef": { "kind": "Deployment", "name": scaled } },
        }),
    )
}

pub(super) fn deployment(name: &str, replicas: u64) -> Object {
    object(
        Kind::Deployment,
        "keda",
        name,
        json!({ "spec": { "replicas": replicas } }),
    )
}

fn lease(namespace: &str, name: &str) -> ObjectName {
    ObjectName::new(Kind::Lease, namespace, name)
}

pub(super) fn renewed() -> Life {
    Life::Renewed {
        holder: "somebody".to_owned(),
    }
}

/// KEDA and its HTTP add-on at work, and zeron beside them.
pub(super) fn survey() -> Survey {
    let http = json!([{ "type": "external-push", "metadata": { "httpScaledObject": "web" } }]);
    let proxy = json!({ "spec": { "selector": { "app": "interceptor" } } });
    Survey {
        objects: vec![
            kafka("orders"),
            scaled_object("web", &http),
            object(Kind::HttpScaledObject, "shop", "web", json!({})),
        ],
        autoscalers: vec![autoscaler("orders"), autoscaler("web")],
        parts: vec![
            deployment("keda-operator", 2),
            deployment("keda-operator-metrics-apiserver", 1),
            deployment("keda-add-ons-http-controller-manager", 1),
            deployment("keda-add-ons-http-external-scaler", 3),
            deployment("keda-add-ons-http-interceptor", 3),
        ],
        proxies: vec![object(
            Kind::Service,
            "keda",
            "keda-add-ons-http-interceptor-proxy",
            proxy,
        )],
        leases: vec![
            (lease("keda", "operator.keda.sh"), renewed()),
            (lease("keda", "http-add-on.keda.sh"), renewed()),
        ],
        shards: (0..2)
            .map(|n| {
                (
                    lease("zeron-system", &format!("zeron-autoscaler-0{n}-of-2")),
                    renewed(),
                )
            })
            .collect(),
        leftovers: Vec::new(),
        strays: Vec::new(),
        opted: Vec::new(),
        definitions: Vec::new(),
        registrations: Vec::new(),
    }
}

pub(super) fn request() -> Request {
    Request {
        origin: Origin::Keda,
        namespace: None,
        is_beside: false,
        scales_parts: true,
        accepts_unscaled: false,
        is_proof_needed: true,
    }
}

pub(super) fn import(survey: &Survey, request: &Request) -> Plan {
    crate::takeover::import(survey, request, &|kind| kind == "kafka")
}

/// Does what a step says, as the cluster would look afterwards.
pub(super) fn perform(survey: &mut Survey, step: &Step) {
    match step {
        Step::Adopt {
            object,
            origin,
            is_labelled,
        } => {
            let object = find(survey, object);
            annotate(object, GIVEN_BACK, &Value::Null);
            annotate(object, ADOPTED_FROM, &json!(origin.as_str()));
            if *is_labelled {
                merge(
                    &mut object.value,
                    json!({ "metadata": { "labels": { MANAGE_LABEL: "true" } } }),
                );
            }
        }
        Step::Stop {
            deployment,
            replicas,
            ..
        } => {
            let part = find(survey, deployment);
            annotate(
                part,
                crate::takeover::marks::REPLICAS_BEFORE,
                &json!(replicas.to_string()),
            );
            part.value["spec"]["replicas"] = json!(0);
        }
        Step::AwaitGone { lease, .. } => set_life(survey, lease, Life::Released),
        Step::Release { autoscaler, .. } => {
            survey.autoscalers.retain(|hpa| hpa.id() != *autoscaler);
        }
        Step::Switch { service } => {
            let service = find(survey, service);
            let selector = service.value["spec"]["selector"].take();
            annotate(service, SELECTOR_BEFORE, &json!(selector.to_string()));
        }
        Step::Hold { object } => annotate(find(survey, object), GIVEN_BACK, &json!("pending")),
        Step::Start {
            deployment,
            replicas,
            ..
        } => {
            find(survey, deployment).value["spec"]["replicas"] = json!(replicas);
        }
        Step::SwitchBack { service } => {
            let service = find(survey, service);
            let text = service.annotation(SELECTOR_BEFORE).unwrap().to_owned();
            service.value["spec"]["selector"] = serde_json::from_str(&text).unwrap();
            annotate(service, SELECTOR_BEFORE, &Value::Null);
        }
        Step::GiveBack { object } => {
            let object = find(survey, object);
            annotate(object, ADOPTED_FROM, &Value::Null);
            annotate(object, GIVEN_BACK, &json!("true"));
        }
        Step::AwaitKeda { .. } => {
            set_life(survey, &lease("keda", "operator.keda.sh"), renewed());
        }
        Step::AwaitAutoscaler { scaled } => {
            let hpa = autoscaler(&scaled.name);
            survey.autoscalers.retain(|other| other.id() != hpa.id());
            survey.autoscalers.push(hpa);
        }
        Step::WakeHeld { .. }
        | Step::ReturnServices { .. }
        | Step::AwaitDrained { .. }
        | Step::AwaitManaged { .. }
        | Step::AwaitAnswered { .. }
        | Step::AwaitReady { .. } => {}
    }
}

fn set_life(survey: &mut Survey, lease: &ObjectName, life: Life) {
    let found = survey.leases.iter_mut().find(|(name, _)| name == lease);
    found.unwrap().1 = life;
}

fn find<'a>(survey: &'a mut Survey, name: &ObjectName) -> &'a mut Object {
    survey
        .objects
        .iter_mut()
        .chain(&mut survey.parts)
        .chain(&mut survey.proxies)
        .find(|object| object.id() == *name)
        .unwrap()
}

fn annotate(object: &mut Object, key: &str, value: &Value) {
    merge(
        &mut object.value,
        json!({ "metadata": { "annotations": { key: value } } }),
    );
}

/// Held, and to be stale in ten seconds.
pub(super) fn held() -> Life {
    Life::Held {
        holder: "somebody".to_owned(),
        stale_in: Duration::from_secs(10),
    }
}
