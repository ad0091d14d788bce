//! Deployments become functions, with everything that scales them and leads to them.

use std::collections::BTreeMap;
use std::time::Duration;

use zeron_core::function::{AdmissionPolicy, Protocol, Timeouts};
use zeron_core::workload::Port;
use zeron_core::{Function, FunctionId, ScalePolicy};
use zeron_frontend_keda::InterceptorRoute;
use zeron_manifest::{Deployment, PortUse};

use super::Scaled;
use super::http::{Routed, Routing};
use super::inventory::{Inventory, Read};

/// One function per Deployment.
pub(super) fn functions(
    inventory: &Inventory<'_>,
    scaled: &mut BTreeMap<(String, String), Scaled>,
    routing: &Routing<'_>,
) -> Vec<Function> {
    let mut functions = Vec::with_capacity(inventory.deployments.len());
    for read in &inventory.deployments {
        let object = &read.object;
        let id = FunctionId::new(&object.namespace, &object.kind, &object.name);
        let key = (object.namespace.clone(), object.name.clone());
        let scaled = scaled.remove(&key).unwrap_or_default();
        let routed = routing.targets.get(&id);
        let port = port(read.value.pod.port_use(), routed);
        check_port(inventory, read, port, &scaled);
        functions.push(function(id, &read.value, port, &scaled, routed));
    }
    functions
}

fn function(
    id: FunctionId,
    deployment: &Deployment,
    port: Option<Port>,
    scaled: &Scaled,
    routed: Option<&Routed>,
) -> Function {
    let mut scale = ScalePolicy {
        replicas: deployment.replicas,
        ..ScalePolicy::default()
    };
    scaled.add_to(&mut scale);
    let protocol = match port {
        None => Protocol::None,
        Some(_) if routed.is_some_and(|r| r.is_h2c) => Protocol::H2c,
        Some(_) => Protocol::Http1,
    };
    let timeouts = match routed {
        Some(_) => InterceptorRoute::DEFAULT_TIMEOUTS,
        None => Timeouts::default(),
    };
    Function {
        id,
        owner: deployment.object.clone(),
        workload: deployment
            .pod
            .workload(port, &deployment.folder, deployment.start_deadline),
        protocol,
        concurrency_limit: None,
        timeouts,
        scale,
        admission: admission(routed),
    }
}

fn admission(routed: Option<&Routed>) -> AdmissionPolicy {
    let defaults = AdmissionPolicy::default();
    AdmissionPolicy {
        max_wait: routed
            .and_then(|r| r.max_wait)
            .unwrap_or(defaults.max_wait)
            .max(Duration::from_millis(1)),
        max_queued: routed
            .and_then(|r| r.max_queued)
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
    read: &Read<'_, Deployment>,
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
    let path = format!("{}.ports[0].containerPort", read.value.pod.main().path);
    let message = format!(
        "{number}: {count} replicas cannot share one port on this machine: let the program listen on $(PORT), \
         given in command, args or env, which differs for every replica; or allow one replica only"
    );
    read.scope(inventory.problems).error(&path, message);
}
