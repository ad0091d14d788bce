//! Which triggers scale what.

use std::collections::BTreeMap;

use zeron_core::policy::{Scaling, TriggerGroup, TriggerSource};
use zeron_core::{FunctionId, ScalerRegistry};
use zeron_frontend_keda::{Bindings, Environment, FUNCTION, ScaledObject, UNRESOLVED};
use zeron_manifest::{Platform, Scope};

use super::inventory::{Inventory, Read};
use super::{Scaled, joined};

/// Namespace and name.
type Name = (String, String);

/// What scales each target.
#[derive(Debug, Default)]
pub(super) struct Targets {
    pub(super) functions: BTreeMap<FunctionId, Scaled>,
    pub(super) services: BTreeMap<Name, Scaled>,
}

/// Binds all ScaledObjects and HTTPScaledObjects to their targets.
pub(super) fn groups(inventory: &Inventory<'_>, scalers: &dyn ScalerRegistry) -> Targets {
    let mut targets = Targets::default();
    let http_targets = inventory.http_targets();
    let mut owners: BTreeMap<FunctionId, &Read<'_, ScaledObject>> = BTreeMap::new();
    for read in &inventory.scaled_objects {
        let scope = read.scope(inventory.problems);
        let scaled = &read.value;
        let Some(environments) = environments(inventory, read) else {
            scope.error(
                "spec.scaleTargetRef",
                missing_target(read, scope.platform()),
            );
            continue;
        };
        let bindings = Bindings {
            authentications: &inventory.authentications,
            environments: &environments,
            http_targets: &http_targets,
        };
        let group = scaled.bind(&scope, &bindings);
        validate(&scope, &group, scalers);
        let id = scaled.target.function(&read.object.namespace);
        if let Some(other) = owners.insert(id.clone(), read) {
            let message = format!(
                "{} {} is scaled by {} already",
                scaled.target.kind, scaled.target.name, other.object
            );
            scope.error("spec.scaleTargetRef", message);
        }
        let target = if scaled.target.is_knative_service() {
            let name = (read.object.namespace.clone(), scaled.target.name.clone());
            targets.services.entry(name).or_default()
        } else {
            targets.functions.entry(id).or_default()
        };
        target.extras = target.extras.joined(scaled.extras);
        target.groups.push(group);
        target.pause = joined(target.pause, scaled.pause);
    }
    add_http(inventory, &mut targets.functions);
    warn_of_conflicts(inventory, &targets);
    targets
}

/// The containers of the target; `None` when there is no such target.
fn environments(
    inventory: &Inventory<'_>,
    read: &Read<'_, ScaledObject>,
) -> Option<Vec<Environment>> {
    let (namespace, target) = (&read.object.namespace, &read.value.target);
    if inventory.is_broken(&target.kind, namespace, &target.name) {
        return Some(Vec::new());
    }
    if target.is_knative_service() {
        let service = inventory.service(namespace, &target.name)?;
        let workload = &service.template.workload;
        return Some(vec![Environment {
            container: target.container.clone().unwrap_or_default(),
            variables: workload.env.clone(),
            requests: workload.requests,
            is_main: true,
        }]);
    }
    let found = inventory.target(&target.function(namespace))?;
    let main = found.pod.as_ref().map(|pod| &pod.main().path);
    let environment = |c: &zeron_manifest::Container| Environment {
        container: c.name.clone(),
        variables: c.env.clone(),
        requests: c.requests,
        is_main: main == Some(&c.path),
    };
    Some(found.containers().iter().map(environment).collect())
}

fn missing_target(read: &Read<'_, ScaledObject>, platform: Platform) -> String {
    let target = &read.value.target;
    format!(
        "{} {}/{} {}",
        target.kind,
        read.object.namespace,
        target.name,
        platform.absent()
    )
}

/// Triggers that measure what replicas use are to measure those of `function`, a revision.
pub(super) fn measure(group: &mut TriggerGroup, function: &str) {
    let Scaling::Metric(metric) = &mut group.scaling else {
        return;
    };
    for trigger in &mut metric.triggers {
        if let TriggerSource::Scaler(spec) = &mut trigger.source
            && let Some(named) = spec.metadata.get_mut(FUNCTION)
        {
            function.clone_into(named);
        }
    }
}

/// Lets the sources check the parameters of their triggers.
pub(super) fn validate(scope: &Scope<'_>, group: &TriggerGroup, scalers: &dyn ScalerRegistry) {
    let Scaling::Metric(metric) = &group.scaling else {
        return;
    };
    for trigger in &metric.triggers {
        let TriggerSource::Scaler(spec) = &trigger.source else {
            continue;
        };
        // What is not there cannot be checked; and a data plane has no source of cpu and memory.
        let is_resource = matches!(spec.kind.as_str(), "cpu" | "memory");
        let is_elsewhere = is_resource && !scalers.is_built_in(&spec.kind);
        if is_elsewhere || spec.metadata.contains_key(UNRESOLVED) {
            continue;
        }
        let path = format!("spec.triggers[{}]", spec.index);
        if spec.kind == "kubernetes-workload" && scope.platform() == Platform::Machine {
            let message = "kubernetes-workload: needs Kubernetes; here it stays unknown, and the count is held";
            scope.without_effect(&format!("{path}.type"), message);
        }
        for problem in scalers.validate(spec) {
            let path = match &problem.parameter {
                Some(name) if spec.metadata.contains_key(name) => format!("{path}.metadata.{name}"),
                Some(name) if spec.auth.contains_key(name) => format!("{path}.authenticationRef"),
                Some(name) => format!("{path}.metadata.{name}"),
                None => format!("{path}.type"),
            };
            match problem.is_warning {
                true => scope.without_effect(&path, problem.message),
                false => scope.error(&path, problem.message),
            }
        }
    }
}

/// HTTPScaledObjects scale by themselves unless a ScaledObject of their target names them.
fn add_http(inventory: &Inventory<'_>, functions: &mut BTreeMap<FunctionId, Scaled>) {
    let mut owners: BTreeMap<FunctionId, &zeron_core::ObjectRef> = BTreeMap::new();
    for read in &inventory.http_scaled_objects {
        let http = &read.value;
        let id = http.target.function(&read.object.namespace);
        if !http.is_scaling
            || names_it(inventory, read.object.namespace.as_str(), &read.object.name)
        {
            continue;
        }
        if let Some(other) = owners.insert(id.clone(), &read.object) {
            let (kind, name) = (&http.target.kind, &http.target.name);
            let message = format!("{kind} {name} is scaled by {other} already");
            read.scope(inventory.problems)
                .error("spec.scaleTargetRef", message);
        }
        let scaled = functions.entry(id).or_default();
        scaled.groups.push(http.group());
    }
}

/// Whether a ScaledObject has a trigger that names the HTTPScaledObject.
fn names_it(inventory: &Inventory<'_>, namespace: &str, name: &str) -> bool {
    let in_namespace = inventory
        .scaled_objects
        .iter()
        .filter(|s| s.object.namespace == namespace);
    in_namespace
        .into_iter()
        .any(|s| s.value.http_scaled_objects().any(|named| named == name))
}

/// The largest minimum of a target may lie above its smallest maximum: the maximum holds.
fn warn_of_conflicts(inventory: &Inventory<'_>, targets: &Targets) {
    let scaled = targets.functions.values().chain(targets.services.values());
    for target in scaled.filter(|t| t.groups.len() > 1) {
        let Some(max) = target.max() else { continue };
        for group in target.groups.iter().filter(|g| g.min > max) {
            let declares = |object: &zeron_core::ObjectRef| *object == group.source;
            let found = inventory
                .scaled_objects
                .iter()
                .find(|s| declares(&s.object))
                .map(|s| s.document);
            let found = found.or(inventory
                .http_scaled_objects
                .iter()
                .find(|h| declares(&h.object))
                .map(|h| h.document));
            let Some(document) = found else { continue };
            let scope = Scope::new(document, inventory.problems, Some(group.source.clone()));
            let message = format!(
                "minimum {} lies above the maximum {max} of another object: the maximum holds",
                group.min
            );
            scope.warn("spec", message);
        }
    }
}
