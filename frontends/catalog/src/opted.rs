//! Services of a cluster whose callers all go through the data plane: `zeron.dev/activator: "true"`.

use std::num::NonZeroU16;
use std::time::Duration;

use zeron_core::policy::{Behavior, HttpScaling, Scaling, TriggerGroup, TriggerSource};
use zeron_core::route::{Forward, HostPattern, RouteAction, WeightedTarget};
use zeron_core::{FunctionId, ObjectRef, Route};
use zeron_manifest::{CoreService, Header, Scope};

const OPT_IN: &str = "zeron.dev/activator";
/// Where the selector is kept that was taken away.
const SELECTOR: &str = "zeron.dev/selector";
const PORTS: &str = "zeron.dev/activator-ports";
/// The HTTP add-on's default target, and KEDA's default cooldown.
const DEFAULT_TARGET: f64 = 100.0;
const DEFAULT_COOLDOWN: Duration = Duration::from_secs(300);

/// Ports of a Service, each with the data plane's port that is kept for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ActivatorPorts(Vec<(u16, NonZeroU16)>);

impl ActivatorPorts {
    /// `None` for a Service that has not opted in.
    pub(super) fn read(scope: &Scope<'_>, header: &Header) -> Option<Self> {
        let annotations = &header.meta.annotations;
        let is_opted = annotations.get(OPT_IN).is_some_and(|value| value == "true");
        // On its way back a Service keeps its ports until nobody dials them any more.
        let is_leaving = annotations.contains_key(SELECTOR) && annotations.contains_key(PORTS);
        if !is_opted && !is_leaving {
            return None;
        }
        let text = annotations.get(PORTS).map_or("", String::as_str);
        let mut ports = Vec::new();
        for pair in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            match parse(pair) {
                Some(pair) => ports.push(pair),
                None => scope.partial(
                    &format!("metadata.annotations[{PORTS}]"),
                    format!("{pair:?}: must be PORT=PORT"),
                ),
            }
        }
        Some(Self(ports))
    }

    /// Routes from the data plane's ports to `function`, for the ports of `service` that lead to
    /// the same port of its pods as its first one: a function has one.
    pub(super) fn routes(
        &self,
        scope: &Scope<'_>,
        service: &CoreService,
        function: &FunctionId,
    ) -> Vec<Route> {
        let pod_port = |number: u16| {
            let port = service.ports.iter().find(|p| p.port == number)?;
            Some(port.target.clone().unwrap_or_else(|| number.to_string()))
        };
        let first = service.ports.first().and_then(|p| pod_port(p.port));
        let mut routes = Vec::new();
        for (number, listen) in &self.0 {
            if pod_port(*number) != first {
                let message = format!(
                    "port {number} leads to another port of the pods than the first: a function has one"
                );
                scope.partial("spec.ports", message);
                continue;
            }
            routes.push(route(&service.object, *listen, function));
        }
        routes
    }
}

fn parse(pair: &str) -> Option<(u16, NonZeroU16)> {
    let (port, listen) = pair.split_once('=')?;
    Some((port.trim().parse().ok()?, listen.trim().parse().ok()?))
}

fn route(service: &ObjectRef, listen: NonZeroU16, function: &FunctionId) -> Route {
    Route {
        source: service.clone(),
        hosts: vec![HostPattern::Any],
        path_prefix: "/".to_owned(),
        headers: Vec::new(),
        port: Some(listen),
        action: RouteAction::Forward(Forward {
            targets: vec![WeightedTarget {
                function: function.clone(),
                weight: 1,
            }],
            ..Forward::default()
        }),
        tag: None,
    }
}

/// Callers of the Service count where objects scale its function and none of them counts requests.
pub(super) fn group(
    service: &ObjectRef,
    others: &[TriggerGroup],
    concurrency: Option<f64>,
) -> Option<TriggerGroup> {
    if others.is_empty() || others.iter().any(counts_requests) {
        return None;
    }
    let cooldown = others.iter().map(cooldown).max();
    Some(TriggerGroup {
        source: service.clone(),
        min: 0,
        max: None,
        scaling: Scaling::Http(HttpScaling {
            concurrency: Some(concurrency.unwrap_or(DEFAULT_TARGET)),
            request_rate: None,
            cooldown: cooldown.unwrap_or(DEFAULT_COOLDOWN),
            initial_cooldown: Duration::ZERO,
            behavior: Behavior::default(),
        }),
    })
}

fn counts_requests(group: &TriggerGroup) -> bool {
    match &group.scaling {
        Scaling::Knative(_) | Scaling::Http(_) => true,
        Scaling::Metric(metric) => {
            let is_http = |source: &TriggerSource| matches!(source, TriggerSource::Http(_));
            metric.triggers.iter().any(|t| is_http(&t.source))
        }
    }
}

fn cooldown(group: &TriggerGroup) -> Duration {
    match &group.scaling {
        Scaling::Knative(_) => DEFAULT_COOLDOWN,
        Scaling::Http(http) => http.cooldown,
        Scaling::Metric(metric) => metric.cooldown,
    }
}
