//! http.keda.sh/v1beta1 InterceptorRoute: routes, and what a ScaledObject's trigger counts.

use std::time::Duration;

use zeron_core::function::Timeouts;
use zeron_core::policy::HttpTargets;
use zeron_manifest::{ConfigSet, Fields, Header, Node, Scope};

use crate::http_scaled_object::DEFAULT_TIMEOUTS;
use crate::ours::Extras;
use crate::response;
use crate::routing::{self, HttpRouting, ServiceRef, StaticRoute};
use crate::rule::Rule;

/// An InterceptorRoute, read and checked. It routes; it does not scale by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct InterceptorRoute {
    /// Its requests.
    pub routing: HttpRouting,
    /// What one replica should carry.
    pub targets: HttpTargets,
    /// What its annotations of ours say.
    pub extras: Extras,
}

impl InterceptorRoute {
    /// Time limits of a function that the HTTP add-on's objects lead to and that has none itself.
    pub const DEFAULT_TIMEOUTS: Timeouts = DEFAULT_TIMEOUTS;

    /// Reads an InterceptorRoute; `None`, with problems, when it has no target.
    pub fn read(scope: &Scope<'_>, header: &Header, config: &ConfigSet) -> Option<Self> {
        let extras = Extras::read(scope, header);
        let root = scope.root();
        let spec = root.fields("spec");
        for name in ["target", "scalingMetric"] {
            if !spec.has(name) {
                spec.error(name, "is missing");
            }
        }
        let target = spec.optional_fields("target").and_then(|f| {
            if !f.has("port") && !f.has("portName") {
                f.error("port", "is missing: port or portName is needed");
            }
            ServiceRef::read(&f, "service")
        });
        let targets = targets(&spec);
        let namespace = &header.object.namespace;
        let mut rules: Vec<Rule> = spec
            .items("rules")
            .iter()
            .map(|node| Rule::read(&node.fields()))
            .collect();
        if rules.is_empty() {
            rules.push(Rule::all());
        }
        let cold_start = spec.fields("coldStart");
        let fallback = cold_start.optional_fields("fallback").and_then(|f| {
            f.optional_fields("service")
                .and_then(|service| ServiceRef::read(&service, "name"))
        });
        let placeholder = cold_start.optional_fields("placeholder");
        let placeholder = placeholder
            .and_then(|f| response::read(&f.optional_fields("response")?, 503, namespace, config));
        let max_pending = cold_start.integer("maxPendingRequests", 0..=i64::from(i32::MAX));
        let (timeouts, readiness) = timeouts(&spec.fields("timeouts"));
        let statics = spec.items("staticRoutes");
        let routing = HttpRouting {
            object: header.object.clone(),
            readiness: readiness.or(fallback.as_ref().map(|_| Duration::from_secs(30))),
            fallback,
            max_pending: max_pending.filter(|n| *n > 0),
            rules,
            timeouts,
            placeholder,
            static_routes: statics
                .iter()
                .filter_map(|node| static_route(node, namespace, config))
                .collect(),
            target: target?,
        };
        Some(Self {
            routing,
            targets,
            extras,
        })
    }
}

fn targets(spec: &Fields<'_>) -> HttpTargets {
    let Some(metric) = spec.optional_fields("scalingMetric") else {
        return HttpTargets {
            concurrency: None,
            request_rate: None,
        };
    };
    if !metric.has("concurrency") && !metric.has("requestRate") {
        spec.error("scalingMetric", "needs concurrency, requestRate or both");
    }
    routing::targets(&metric, None)
}

/// Limits of requests, and how long one waits for a replica.
fn timeouts(fields: &Fields<'_>) -> (Option<Timeouts>, Option<Duration>) {
    // "0s" switches a limit off.
    let limit = |given: Option<Duration>, default: Option<Duration>| {
        given.map_or(default, |d| Some(d).filter(|d| !d.is_zero()))
    };
    let (request, header) = (
        fields.duration("request"),
        fields.duration("responseHeader"),
    );
    let readiness = limit(fields.duration("readiness"), None);
    let timeouts = Timeouts {
        request: limit(request, DEFAULT_TIMEOUTS.request),
        response_start: limit(header, DEFAULT_TIMEOUTS.response_start),
        idle: None,
    };
    (request.or(header).map(|_| timeouts), readiness)
}

fn static_route(node: &Node<'_>, namespace: &str, config: &ConfigSet) -> Option<StaticRoute> {
    let fields = node.fields();
    let rules: Vec<Rule> = fields
        .items("rules")
        .iter()
        .map(|node| Rule::read(&node.fields()))
        .collect();
    if rules.is_empty() {
        fields.error("rules", "are missing: at least one is needed");
    }
    let is_always = fields
        .choice(
            "responseMode",
            &[("WhenUnavailable", false), ("Always", true)],
        )
        .unwrap_or(false);
    if !fields.has("response") {
        fields.error("response", "is missing");
    }
    let response = response::read(&fields.optional_fields("response")?, 200, namespace, config)?;
    Some(StaticRoute {
        rules,
        response,
        is_always,
    })
}
