//! Targets become functions, with everything that scales them and leads to them.

use std::collections::BTreeMap;
use std::time::Duration;

use zeron_core::function::{AdmissionPolicy, Protocol, Timeouts};
use zeron_core::policy::Writer;
use zeron_core::workload::{Port, ResourceAmounts};
use zeron_core::{Function, FunctionId, ScalePolicy, Workload};
use zeron_frontend_keda::{Extras, InterceptorRoute};
use zeron_manifest::{Platform, PortUse};

use super::http::{Routed, Routing};
use super::inventory::{Inventory, Read};
use super::target::Target;
use super::{Scaled, opted};

/// One function per target.
pub(super) fn functions(
    inventory: &Inventory<'_>,
    scaled: &mut BTreeMap<FunctionId, Scaled>,
    routing: &Routing<'_>,
) -> Vec<Function> {
    let mut functions = Vec::with_capacity(inventory.targets.len());
    for read in &inventory.targets {
        let id = &read.value.id;
        let scaled = scaled.remove(id).unwrap_or_default();
        let routed = routing.targets.get(id);
        let workload = match inventory.problems.platform() {
            Platform::Machine => program(inventory, read, &scaled, routed),
            Platform::Cluster => pods(&read.value, routed),
        };
        let mut function = function(&read.value, workload, &scaled, routed);
        if inventory.problems.platform() == Platform::Cluster {
            settle(&mut function, routed);
        }
        functions.push(function);
    }
    functions
}

/// What one machine runs.
fn program(
    inventory: &Inventory<'_>,
    read: &Read<'_, Target>,
    scaled: &Scaled,
    routed: Option<&Routed>,
) -> Workload {
    let target = &read.value;
    let Some(pod) = &target.pod else {
        return pods(target, routed);
    };
    let port = port(pod.port_use(), routed);
    check_port(inventory, read, port, scaled);
    pod.workload(port, &target.folder, target.start_deadline)
}

/// What a cluster runs: only what the data plane asks of it.
fn pods(target: &Target, routed: Option<&Routed>) -> Workload {
    let number = routed.and_then(|r| r.port.or_else(|| r.pod_port.as_ref()?.number()));
    let pod = target.pod.as_ref();
    Workload {
        command: Vec::new(),
        args: Vec::new(),
        env: Vec::new(),
        working_dir: None,
        image: None,
        port: routed.map(|_| number.map_or(Port::Assigned, Port::Fixed)),
        readiness: pod
            .and_then(|p| p.main().readiness.clone())
            .unwrap_or_default(),
        limits: ResourceAmounts::default(),
        requests: ResourceAmounts::default(),
        termination_grace: pod
            .and_then(|p| p.termination_grace)
            .unwrap_or(Duration::from_secs(30)),
        start_deadline: target.start_deadline,
    }
}

/// What differs in a cluster: the count of what nothing scales is somebody else's, and callers of
/// opted-in Services count beside what scales the function.
fn settle(function: &mut Function, routed: Option<&Routed>) {
    let scale = &mut function.scale;
    // Every write of the count is a change of `spec.replicas`; the policy must not change with it.
    scale.replicas = ScalePolicy::default().replicas;
    let concurrency = function.concurrency_limit.map(|n| f64::from(n.get()));
    let services = routed.map_or(&[][..], |r| &r.services);
    for service in services {
        let group = opted::group(service, &scale.groups, concurrency);
        scale.groups.extend(group);
    }
    scale.groups.shrink_to_fit();
    if scale.groups.is_empty() {
        scale.writer = Writer::External;
    }
}

fn function(
    target: &Target,
    workload: Workload,
    scaled: &Scaled,
    routed: Option<&Routed>,
) -> Function {
    let extras = routed.map_or(scaled.extras, |r| scaled.extras.joined(r.extras));
    let mut scale = ScalePolicy {
        replicas: target.replicas,
        ..ScalePolicy::default()
    };
    scaled.add_to(&mut scale);
    if extras.is_external {
        scale.writer = Writer::External;
    }
    let protocol = match workload.port {
        None => Protocol::None,
        Some(_) if routed.is_some_and(|r| r.is_h2c) => Protocol::H2c,
        Some(_) => Protocol::Http1,
    };
    let timeouts = match routed {
        Some(_) => InterceptorRoute::DEFAULT_TIMEOUTS,
        None => Timeouts::default(),
    };
    Function {
        id: target.id.clone(),
        owner: target.object.clone(),
        workload,
        protocol,
        concurrency_limit: extras.concurrency_limit,
        timeouts,
        scale,
        admission: admission(routed, extras),
    }
}

fn admission(routed: Option<&Routed>, extras: Extras) -> AdmissionPolicy {
    let defaults = AdmissionPolicy::default();
    let max_queued = routed.and_then(|r| r.max_queued);
    AdmissionPolicy {
        max_wait: routed
            .and_then(|r| r.max_wait)
            .unwrap_or(defaults.max_wait)
            .max(Duration::from_millis(1)),
        max_queued: extras
            .max_queued
            .into_iter()
            .chain(max_queued)
            .min()
            .unwrap_or(defaults.max_queued),
        ..defaults
    }
}

/// A program that routes lead to is given a port even if it declares none.
fn port(port_use: PortUse, routed: Option<&Routed>) -> Option<Port> {
    match (port_use, routed) {
        (PortUse::Assigned, _) | (PortUse::None, Some(_)) => Some(Port::Assigned),
        (PortUse::Fixed(number), routed) => {
            let wanted = routed.and_then(|r| r.port);
            Some(Port::Fixed(wanted.unwrap_or(number)))
        }
        (PortUse::None, None) => None,
    }
}

/// Replicas on one machine cannot share a port.
fn check_port(
    inventory: &Inventory<'_>,
    read: &Read<'_, Target>,
    port: Option<Port>,
    scaled: &Scaled,
) {
    let Some(Port::Fixed(number)) = port else {
        return;
    };
    let most = if scaled.groups.is_empty() {
        Some(read.value.replicas)
    } else {
        scaled.max()
    };
    if most.is_some_and(|most| most <= 1) {
        return;
    }
    let count = most.map_or_else(
        || "any number of".to_owned(),
        |most| format!("up to {most}"),
    );
    let main = read.value.pod.as_ref().map(|pod| pod.main().path.as_str());
    let path = format!("{}.ports[0].containerPort", main.unwrap_or_default());
    let message = format!(
        "{number}: {count} replicas cannot share one port on this machine: let the program listen on $(PORT), \
         given in command, args or env, which differs for every replica; or allow one replica only"
    );
    read.scope(inventory.problems).error(&path, message);
}
