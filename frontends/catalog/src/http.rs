//! Routes of `http.keda.sh` objects, and the Deployments that they lead to.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::time::Duration;

use zeron_core::{FunctionId, Route};
use zeron_frontend_keda::{HttpRouting, ServiceRef};
use zeron_manifest::{CoreService, Deployment, Document, Scope};

use super::inventory::Inventory;

/// All routes, and what they say about the functions that they lead to.
#[derive(Debug, Default)]
pub(super) struct Routing<'d> {
    pub(super) routes: Vec<(&'d Document, Route)>,
    pub(super) targets: BTreeMap<FunctionId, Routed>,
}

/// What routes say about a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Routed {
    /// The port that a Service or route names.
    pub(super) port: Option<NonZeroU16>,
    /// A Service says that it speaks HTTP/2 without TLS.
    pub(super) is_h2c: bool,
    /// The longest that a route lets requests wait.
    pub(super) max_wait: Option<Duration>,
    /// The fewest that a route lets wait.
    pub(super) max_queued: Option<u32>,
}

/// Finds the function behind every route.
pub(super) fn routing<'d>(inventory: &Inventory<'d>) -> Routing<'d> {
    let mut routing = Routing::default();
    for read in &inventory.interceptor_routes {
        let found = &read.value.routing;
        let scope = read.scope(inventory.problems);
        if let Some(target) = resolve(inventory, &scope, &found.object.namespace, &found.target) {
            add(
                inventory,
                &scope,
                read.document,
                found,
                &target,
                &mut routing,
            );
        }
    }
    for read in &inventory.http_scaled_objects {
        let found = &read.value.routing;
        let scope = read.scope(inventory.problems);
        let (namespace, name) = (&read.object.namespace, &read.value.deployment);
        let Some(deployment) = inventory.deployment(namespace, name) else {
            if !inventory.is_broken("Deployment", namespace, name) {
                let message = format!("Deployment {namespace}/{name} is not among the manifests");
                scope.error("spec.scaleTargetRef", message);
            }
            continue;
        };
        let service = core_service(inventory, namespace, &found.target.name);
        let target = Target::new(deployment, service, &found.target);
        // As in the original, an InterceptorRoute of the same name takes its place.
        let is_replaced = inventory
            .interceptor_routes
            .iter()
            .any(|r| r.object.namespace == *namespace && r.object.name == read.object.name);
        if is_replaced {
            scope.warn(
                "metadata.name",
                "its routes have no effect: an InterceptorRoute of this name takes their place",
            );
        } else {
            add(
                inventory,
                &scope,
                read.document,
                found,
                &target,
                &mut routing,
            );
        }
    }
    routing
}

/// The function behind a Service.
struct Target {
    function: FunctionId,
    port: Option<NonZeroU16>,
    is_h2c: bool,
}

impl Target {
    fn new(deployment: &Deployment, service: Option<&CoreService>, reference: &ServiceRef) -> Self {
        let object = &deployment.object;
        let port = service_port(service, reference);
        let wanted = match port {
            Some(port) => port.target.clone().or_else(|| Some(port.port.to_string())),
            None => reference.port.clone(),
        };
        let declared = &deployment.pod.main().ports;
        let is_wanted = |p: &&zeron_manifest::ContainerPort| {
            wanted
                .as_ref()
                .is_some_and(|w| p.name.as_ref() == Some(w) || p.number.to_string() == *w)
        };
        Self {
            function: FunctionId::new(&object.namespace, &object.kind, &object.name),
            port: declared.iter().find(is_wanted).map(|p| p.number),
            is_h2c: port.is_some_and(|p| p.app_protocol.as_deref() == Some("kubernetes.io/h2c")),
        }
    }
}

/// The port of a Service that a reference names; the first where it names none.
fn service_port<'s>(
    service: Option<&'s CoreService>,
    reference: &ServiceRef,
) -> Option<&'s zeron_manifest::ServicePort> {
    let ports = &service?.ports;
    match &reference.port {
        None => ports.first(),
        Some(wanted) => {
            let is_it = |p: &&zeron_manifest::ServicePort| {
                p.name.as_ref() == Some(wanted) || p.port.to_string() == *wanted
            };
            ports.iter().find(is_it)
        }
    }
}

fn add<'d>(
    inventory: &Inventory<'_>,
    scope: &Scope<'_>,
    document: &'d Document,
    found: &HttpRouting,
    target: &Target,
    routing: &mut Routing<'d>,
) {
    let namespace = &found.object.namespace;
    let fallback = found.fallback.as_ref();
    let fallback = fallback.and_then(|reference| resolve(inventory, scope, namespace, reference));
    let id = fallback.as_ref().map(|f| &f.function);
    let routes = found.routes(&target.function, id);
    routing
        .routes
        .extend(routes.into_iter().map(|route| (document, route)));
    if let Some(fallback) = fallback {
        routing
            .targets
            .entry(fallback.function.clone())
            .or_default()
            .follow(&fallback);
    }
    let routed = routing.targets.entry(target.function.clone()).or_default();
    routed.follow(target);
    routed.max_wait = routed.max_wait.max(found.readiness);
    routed.max_queued = routed.max_queued.into_iter().chain(found.max_pending).min();
}

impl Routed {
    fn follow(&mut self, target: &Target) {
        self.port = self.port.or(target.port);
        self.is_h2c |= target.is_h2c;
    }
}

fn core_service<'i>(
    inventory: &'i Inventory<'_>,
    namespace: &str,
    name: &str,
) -> Option<&'i CoreService> {
    let services = inventory.core_services.iter().map(|read| &read.value);
    services
        .into_iter()
        .find(|s| s.object.namespace == namespace && s.object.name == name)
}

/// The Deployment behind a Service: the one that it selects, or the one of the Service's name.
fn resolve(
    inventory: &Inventory<'_>,
    scope: &Scope<'_>,
    namespace: &str,
    reference: &ServiceRef,
) -> Option<Target> {
    let name = &reference.name;
    let Some(service) = core_service(inventory, namespace, name) else {
        let deployment = inventory.deployment(namespace, name);
        if deployment.is_none() && !inventory.is_broken("Deployment", namespace, name) {
            let message = match inventory.service(namespace, name) {
                Some(_) => format!(
                    "{name} is a Knative Service, which has routes of its own: name a Deployment's Service"
                ),
                None => format!(
                    "neither a Service nor a Deployment {namespace}/{name} is among the manifests"
                ),
            };
            scope.error(&reference.path, message);
        }
        return deployment.map(|d| Target::new(d, None, reference));
    };
    if reference.port.is_some() && service_port(Some(service), reference).is_none() {
        let port = reference.port.as_deref().unwrap_or_default();
        scope.error(
            &reference.path,
            format!("Service {namespace}/{name} has no port {port}"),
        );
    }
    let in_namespace = inventory
        .deployments
        .iter()
        .filter(|d| d.object.namespace == namespace);
    let mut selected = in_namespace.filter(|d| service.selects(&d.value.pod_labels));
    let Some(first) = selected.next() else {
        let is_excused = inventory.is_broken("Deployment", namespace, name);
        if !is_excused {
            scope.error(
                &reference.path,
                format!("Service {namespace}/{name} selects no Deployment"),
            );
        }
        return None;
    };
    if let Some(second) = selected.next() {
        let message = format!(
            "Service {namespace}/{name} selects several Deployments, {} and {}: only one may stand behind a route",
            first.object.name, second.object.name
        );
        scope.error(&reference.path, message);
    }
    Some(Target::new(&first.value, Some(service), reference))
}
