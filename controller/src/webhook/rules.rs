//! KEDA's rules for ScaledObjects and ScaledJobs beyond the schema.

use serde_json::Value;
use zeron_frontend_keda::{Dialect, ScaledJob, ScaledObject};
use zeron_manifest::{ConfigSet, Document, Header, Problems, Scope, Severity};

use super::neighbours::Neighbours;
use super::review::{Findings, Question};

/// Longest value of a label, and so of names that become one.
const MAX_NAME: usize = 63;
/// The original's name of the HorizontalPodAutoscaler of a ScaledObject begins so.
const HPA_PREFIX: &str = "keda-hpa-";
/// On a HorizontalPodAutoscaler: "false": it may stand beside a ScaledObject.
const IGNORED_HPA: &str = "validations.keda.sh/hpa-ownership";
/// On a ScaledObject: "true": it takes the named HorizontalPodAutoscaler over.
const TRANSFER_HPA: &str = "scaledobject.keda.sh/transfer-hpa-ownership";

/// What is scaled. Versions of one group are the same object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target<'t> {
    pub(super) group: &'t str,
    pub(super) kind: &'t str,
    pub(super) name: &'t str,
}

impl<'t> Target<'t> {
    pub(super) fn of(reference: &'t Value) -> Self {
        let given = |field: &str| reference[field].as_str().filter(|text| !text.is_empty());
        let api_version = given("apiVersion").unwrap_or("apps/v1");
        Self {
            group: api_version.split_once('/').map_or("", |(group, _)| group),
            kind: given("kind").unwrap_or("Deployment"),
            name: given("name").unwrap_or_default(),
        }
    }
}

/// All rules.
pub(super) fn scaled_object(asked: &Question<'_>, neighbours: &Neighbours) -> Findings {
    let mut findings = scaled_object_alone(asked);
    let errors = [
        other_scaled_object(asked.object, &neighbours.scaled_objects),
        other_owner_of_hpa(asked.object, &neighbours.scaled_objects),
        foreign_hpa(asked.object, &neighbours.autoscalers),
    ];
    findings.errors.extend(errors.into_iter().flatten());
    if !asked.is_dry_run {
        requests(asked.object, neighbours, &mut findings);
    }
    findings
}

/// The rules that need nothing but the object.
pub(super) fn scaled_object_alone(asked: &Question<'_>) -> Findings {
    let mut findings = read(asked);
    let hpa = hpa_name(asked.object);
    if hpa.len() > MAX_NAME {
        findings.errors.push(format!(
            "the HorizontalPodAutoscaler's name {hpa:?} would have more than {MAX_NAME} characters: take a shorter name, or set spec.advanced.horizontalPodAutoscalerConfig.name"
        ));
    }
    let min = asked.object["spec"]["minReplicaCount"]
        .as_i64()
        .unwrap_or(0);
    if !asked.is_dry_run && min == 0 && has_only_resource_triggers(asked.object) {
        findings.errors.push(
            "triggers of type cpu and memory alone never scale to zero: minReplicaCount must be at least 1"
                .to_owned(),
        );
    }
    if let Some(warning) = idle_polling(&asked.object["spec"]) {
        findings.warnings.push(warning);
    }
    findings
}

/// What the reader says, which everything else uses too.
fn read(asked: &Question<'_>) -> Findings {
    judged(asked, |scope, header| {
        ScaledObject::read(scope, header, Dialect::Keda2);
    })
}

fn judged(asked: &Question<'_>, read: impl FnOnce(&Scope<'_>, &Header)) -> Findings {
    let document = Document::from_json("object", asked.object.clone());
    let problems = Problems::of_cluster(false);
    if let Some(header) = Header::read(&document, &problems) {
        let scope = Scope::new(&document, &problems, Some(header.object.clone()));
        read(&scope, &header);
    }
    let mut findings = Findings::default();
    for problem in problems.into_sorted() {
        let text = format!("{}: {}", problem.field, problem.message);
        match problem.severity {
            Severity::Error => findings.errors.push(text),
            Severity::Warning | Severity::Partial => findings.warnings.push(text),
        }
    }
    findings
}

/// A polling interval says nothing where the count never rests.
fn idle_polling(spec: &Value) -> Option<String> {
    let min = spec["minReplicaCount"].as_i64().unwrap_or(0);
    let is_without_effect = min > 0
        && spec.get("idleReplicaCount").is_none_or(Value::is_null)
        && spec["pollingInterval"].is_number();
    is_without_effect.then(|| {
        "spec.pollingInterval: decides only how soon more replicas are asked for: minReplicaCount is above 0 and there is no idleReplicaCount"
            .to_owned()
    })
}

fn triggers(object: &Value) -> impl Iterator<Item = &Value> {
    object["spec"]["triggers"].as_array().into_iter().flatten()
}

fn is_resource(trigger: &Value) -> bool {
    trigger["type"] == "cpu" || trigger["type"] == "memory"
}

/// Whether it scales by cpu or memory, among other things.
pub(super) fn has_resource_trigger(object: &Value) -> bool {
    triggers(object).any(is_resource)
}

fn has_only_resource_triggers(object: &Value) -> bool {
    has_resource_trigger(object) && triggers(object).all(is_resource)
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn hpa_name(object: &Value) -> String {
    let config = &object["spec"]["advanced"]["horizontalPodAutoscalerConfig"];
    let given = config["name"].as_str().filter(|name| !name.is_empty());
    given.map_or_else(|| format!("{HPA_PREFIX}{}", name(object)), str::to_owned)
}

fn others<'o>(object: &'o Value, all: &'o [Value]) -> impl Iterator<Item = &'o Value> {
    let is_going = |o: &Value| o["metadata"]["deletionTimestamp"].is_string();
    all.iter()
        .filter(move |o| name(o) != name(object) && !is_going(o))
}

/// The child of an HTTPScaledObject makes way for a ScaledObject of the user's.
fn is_child(object: &Value) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array();
    let is_parent = |o: &Value| o["kind"] == "HTTPScaledObject" && o["controller"] == true;
    owners.is_some_and(|owners| owners.iter().any(is_parent))
}

fn other_scaled_object(object: &Value, all: &[Value]) -> Option<String> {
    let target = Target::of(&object["spec"]["scaleTargetRef"]);
    let is_same = |o: &&Value| Target::of(&o["spec"]["scaleTargetRef"]) == target;
    let other = others(object, all)
        .filter(is_same)
        .find(|other| !is_child(other) && !is_child(object))?;
    Some(format!(
        "ScaledObject {} scales {} {} already: one target has one ScaledObject",
        name(other),
        target.kind,
        target.name
    ))
}

fn other_owner_of_hpa(object: &Value, all: &[Value]) -> Option<String> {
    let hpa = hpa_name(object);
    let other = others(object, all).find(|other| hpa_name(other) == hpa)?;
    let other = name(other);
    Some(format!(
        "HorizontalPodAutoscaler {hpa} belongs to ScaledObject {other} already"
    ))
}

fn foreign_hpa(object: &Value, all: &[Value]) -> Option<String> {
    let target = Target::of(&object["spec"]["scaleTargetRef"]);
    let is_owned = |hpa: &Value| {
        let owners = hpa["metadata"]["ownerReferences"].as_array();
        let is_ours = |o: &Value| o["kind"] == "ScaledObject" && o["name"] == name(object);
        owners.is_some_and(|owners| owners.iter().any(is_ours))
    };
    let foreign = all.iter().find(|hpa| {
        hpa["metadata"]["annotations"][IGNORED_HPA] != "false"
            && hpa["metadata"]["deletionTimestamp"].is_null()
            && Target::of(&hpa["spec"]["scaleTargetRef"]) == target
            && !is_owned(hpa)
    })?;
    let (foreign, is_transfer) = (
        name(foreign),
        object["metadata"]["annotations"][TRANSFER_HPA] == "true",
    );
    let config = &object["spec"]["advanced"]["horizontalPodAutoscalerConfig"];
    match is_transfer {
        true if config["name"] == foreign => None,
        true => Some(format!(
            "to take HorizontalPodAutoscaler {foreign} over, name it in spec.advanced.horizontalPodAutoscalerConfig.name"
        )),
        false => Some(format!(
            "HorizontalPodAutoscaler {foreign} scales {} {} already",
            target.kind, target.name
        )),
    }
}

/// Utilization is a share of what the containers request.
fn requests(object: &Value, neighbours: &Neighbours, findings: &mut Findings) {
    let Some(target) = &neighbours.target else {
        return;
    };
    let pod = &target["spec"]["template"]["spec"];
    for trigger in triggers(object).filter(|t| is_resource(t)) {
        let resource = trigger["type"].as_str().unwrap_or_default();
        let wanted = trigger["metadata"]["containerName"]
            .as_str()
            .filter(|c| !c.is_empty());
        let is_by_pod = wanted.is_none() && is_set(&pod["resources"], resource);
        if is_by_pod || has_default(&neighbours.limits, resource) {
            continue;
        }
        let containers = pod["containers"].as_array().into_iter().flatten();
        let without = containers
            .filter(|c| wanted.is_none_or(|wanted| c["name"] == wanted))
            .find(|c| !is_set(&c["resources"], resource));
        if let Some(container) = without {
            let container = container["name"].as_str().unwrap_or_default();
            findings.errors.push(format!(
                "a trigger of type {resource} needs a {resource} request (or limit) of container {container}, or a default of a LimitRange"
            ));
        }
    }
}

fn is_set(resources: &Value, resource: &str) -> bool {
    let is = |kind: &str| {
        let quantity = &resources[kind][resource];
        let is_zero = |text: &str| matches!(text, "" | "0");
        quantity.as_str().is_some_and(|text| !is_zero(text))
            || quantity.as_f64().is_some_and(|number| number > 0.0)
    };
    is("requests") || is("limits")
}

fn has_default(limits: &[Value], resource: &str) -> bool {
    let items = limits
        .iter()
        .flat_map(|l| l["spec"]["limits"].as_array().into_iter().flatten());
    let is_default = |item: &Value| {
        let has = |kind: &str| !item[kind][resource].is_null();
        item["type"] == "Container" && (has("default") || has("defaultRequest"))
    };
    items.into_iter().any(is_default)
}

/// A ScaledJob's rules, which need nothing but the object.
pub(super) fn scaled_job(asked: &Question<'_>) -> Findings {
    judged(asked, |scope, header| {
        let config = ConfigSet::of_cluster("");
        ScaledJob::read(scope, header, &config);
    })
}
