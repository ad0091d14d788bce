//! Routes of `http.keda.sh` objects and opted-in Services, and the functions that they lead to.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::time::Duration;

use zeron_core::{FunctionId, ObjectRef, Route};
use zeron_frontend_keda::{Extras, HttpRouting, ServiceRef};
use zeron_manifest::{CoreService, Document, Platform, Scope};

use super::PodPort;
use super::inventory::Inventory;
use super::target::Target;

/// All routes, and what they say about the functions that they lead to.
#[derive(Debug, Default)]
pub(super) struct Routing<'d> {
    pub(super) routes: Vec<(&'d Document, Route)>,
    pub(super) targets: BTreeMap<FunctionId, Routed>,
}

/// What routes say about a function.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Routed {
    /// The port that a Service or route names.
    pub(super) port: Option<NonZeroU16>,
    /// The same, as a cluster finds it in each pod.
    pub(super) pod_port: Option<PodPort>,
    /// Opted-in Services that lead to it.
    pub(super) services: Vec<ObjectRef>,
    /// What the annotations of its routes say.
    pub(super) extras: Extras,
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
            )
            .extend(read.value.extras);
        }
    }
    for read in &inventory.http_scaled_objects {
        let found = &read.value.routing;
        let scope = read.scope(inventory.problems);
        let (namespace, wanted) = (&read.object.namespace, &read.value.target);
        let Some(target) = inventory.target(&wanted.function(namespace)) else {
            let (kind, name) = (&wanted.kind, &wanted.name);
            if !inventory.is_broken(kind, namespace, name) {
                let absent = scope.platform().absent();
                let message = format!("{kind} {namespace}/{name} {absent}");
                scope.error("spec.scaleTargetRef", message);
            }
            continue;
        };
        let service = core_service(inventory, namespace, &found.target.name);
        check_service(&scope, service, &found.target);
        let target = Destination::new(target, service, &found.target);
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
            )
            .extend(read.value.extras);
        }
    }
    add_opted(inventory, &mut routing);
    routing
}

/// Services that have opted in lead to the function whose pods they select.
fn add_opted<'d>(inventory: &Inventory<'d>, routing: &mut Routing<'d>) {
    for (read, ports) in &inventory.opted {
        let mut targets = inventory.targets.iter();
        let Some(target) = targets.find(|t| read.value.selects(&t.value.pod_labels)) else {
            continue;
        };
        let scope = read.scope(inventory.problems);
        let reference = ServiceRef {
            name: read.object.name.clone(),
            port: None,
            path: "spec.ports".to_owned(),
        };
        let destination = Destination::new(&target.value, Some(&read.value), &reference);
        let routes = ports.routes(&scope, &read.value, &destination.function);
        let routes = routes.into_iter().map(|route| (read.document, route));
        routing.routes.extend(routes);
        let routed = routing.targets.entry(destination.function.clone());
        let routed = routed.or_default();
        routed.follow(&destination);
        routed.services.push(read.object.clone());
    }
}

/// In a cluster, a Service that does not exist may come later.
fn check_service(scope: &Scope<'_>, service: Option<&CoreService>, reference: &ServiceRef) {
    let is_named = reference.path.ends_with("scaleTargetRef") && reference.port.is_some();
    if scope.platform() == Platform::Cluster && service.is_none() && is_named {
        let message = format!("Service {} does not exist", reference.name);
        scope.partial(&reference.path, message);
    }
}

/// The function behind a Service.
struct Destination {
    function: FunctionId,
    port: Option<NonZeroU16>,
    pod_port: PodPort,
    is_h2c: bool,
}

impl Destination {
    fn new(target: &Target, service: Option<&CoreService>, reference: &ServiceRef) -> Self {
        let port = service_port(service, reference);
        let wanted = match port {
            Some(port) => port.target.clone().or_else(|| Some(port.port.to_string())),
            None => reference.port.clone(),
        };
        let declared: &[_] = match &target.pod {
            Some(pod) => &pod.main().ports,
            None => &[],
        };
        let is_wanted = |p: &&zeron_manifest::ContainerPort| {
            wanted
                .as_ref()
                .is_some_and(|w| p.name.as_ref() == Some(w) || p.number.to_string() == *w)
        };
        Self {
            function: target.id.clone(),
            pod_port: PodPort::of(wanted.as_deref()),
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

fn add<'d, 'r>(
    inventory: &Inventory<'_>,
    scope: &Scope<'_>,
    document: &'d Document,
    found: &HttpRouting,
    target: &Destination,
    routing: &'r mut Routing<'d>,
) -> &'r mut Routed {
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
    routed
}

impl Routed {
    fn extend(&mut self, extras: Extras) {
        self.extras = self.extras.joined(extras);
    }

    fn follow(&mut self, target: &Destination) {
        self.port = self.port.or(target.port);
        let known = self.pod_port.take().filter(|port| *port != PodPort::First);
        self.pod_port = Some(known.unwrap_or_else(|| target.pod_port.clone()));
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
) -> Option<Destination> {
    let name = &reference.name;
    let Some(service) = core_service(inventory, namespace, name) else {
        let deployment = inventory.deployment(namespace, name);
        if deployment.is_none() && !inventory.is_broken("Deployment", namespace, name) {
            let message = match inventory.service(namespace, name) {
                Some(_) => format!(
                    "{name} is a Knative Service, which has routes of its own: name a Deployment's Service"
                ),
                None => format!(
                    "neither a Service nor a Deployment {namespace}/{name} {}",
                    match scope.platform() {
                        Platform::Machine => "is among the manifests",
                        Platform::Cluster => "exists",
                    }
                ),
            };
            scope.error(&reference.path, message);
        }
        return deployment.map(|d| Destination::new(d, None, reference));
    };
    if reference.port.is_some() && service_port(Some(service), reference).is_none() {
        let port = reference.port.as_deref().unwrap_or_default();
        scope.partial(
            &reference.path,
            format!("Service {namespace}/{name} has no port {port}"),
        );
    }
    let in_namespace = inventory
        .targets
        .iter()
        .filter(|t| t.object.namespace == namespace);
    let mut selected = in_namespace.filter(|t| service.selects(&t.value.pod_labels));
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
    Some(Destination::new(&first.value, Some(service), reference))
}
