//! What HTTPScaledObject and InterceptorRoute have in common: requests to a Service, by rules.

use std::num::NonZeroU16;
use std::time::Duration;

use zeron_core::function::Timeouts;
use zeron_core::policy::{HttpTargets, RequestRate};
use zeron_core::route::{Forward, RouteAction, StaticResponse, WeightedTarget};
use zeron_core::{FunctionId, ObjectRef, Route};
use zeron_manifest::{Fields, Node};

use crate::rule::Rule;

/// The add-on's `KEDA_HTTP_RESPONSE_HEADER_TIMEOUT`.
pub(crate) const RESPONSE_HEADER_TIMEOUT: Duration = Duration::from_secs(300);

/// Requests that go to a Service of the same namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpRouting {
    /// The object that declares it.
    pub object: ObjectRef,
    /// Where requests go.
    pub target: ServiceRef,
    /// Where requests go that waited too long.
    pub fallback: Option<ServiceRef>,
    /// How long a request waits for a replica; `None`: as long as the function's queue allows.
    pub readiness: Option<Duration>,
    /// How many requests may wait; `None`: as many as the function's queue allows.
    pub max_pending: Option<u32>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) timeouts: Option<Timeouts>,
    pub(crate) placeholder: Option<StaticResponse>,
    pub(crate) static_routes: Vec<StaticRoute>,
}

/// A Service and one of its ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRef {
    /// Its name.
    pub name: String,
    /// Number or name of the port.
    pub port: Option<String>,
    /// Where the reference stands in its document.
    pub path: String,
}

/// Requests that are answered without the function.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StaticRoute {
    pub(crate) rules: Vec<Rule>,
    pub(crate) response: StaticResponse,
    pub(crate) is_always: bool,
}

impl HttpRouting {
    /// The routes, with the functions found that stand behind the Services.
    pub fn routes(&self, target: &FunctionId, fallback: Option<&FunctionId>) -> Vec<Route> {
        let forward = |placeholder: Option<&StaticResponse>, is_silent: bool| {
            RouteAction::Forward(Forward {
                targets: vec![WeightedTarget {
                    function: target.clone(),
                    weight: 1,
                }],
                timeouts: self.timeouts,
                placeholder: placeholder.cloned(),
                is_placeholder_silent: is_silent,
                fallback: fallback.cloned(),
                cold_start_header: true,
            })
        };
        let mut routes = self.of_rules(&self.rules, &forward(self.placeholder.as_ref(), false));
        for route in &self.static_routes {
            let action = match route.is_always {
                true => RouteAction::Respond(route.response.clone()),
                false => forward(Some(&route.response), true),
            };
            routes.extend(self.of_rules(&route.rules, &action));
        }
        routes
    }

    fn of_rules(&self, rules: &[Rule], action: &RouteAction) -> Vec<Route> {
        let route = |rule: &Rule, path: &String| Route {
            source: self.object.clone(),
            hosts: rule.hosts.clone(),
            path_prefix: path.clone(),
            port: None,
            headers: rule.headers.clone(),
            action: action.clone(),
            tag: None,
        };
        rules
            .iter()
            .flat_map(|rule| rule.paths.iter().map(move |path| route(rule, path)))
            .collect()
    }
}

impl ServiceRef {
    /// Reads a Service's name from the field `name`, and `port` or `portName`.
    pub(crate) fn read(fields: &Fields<'_>, name: &str) -> Option<Self> {
        let number = fields
            .integer::<u16>("port", 1..=65_535)
            .and_then(NonZeroU16::new);
        let port_name = fields.string("portName").filter(|name| !name.is_empty());
        if number.is_some() && port_name.is_some() {
            fields.error("portName", "must not stand beside port");
        }
        let name = fields.required_string(name)?;
        let port = number
            .map(|n| n.to_string())
            .or(port_name.map(str::to_owned));
        Some(Self {
            name: name.to_owned(),
            port,
            path: fields.path().to_owned(),
        })
    }
}

/// Reads `scalingMetric`, where `default` is the target value of a metric that names none.
pub(crate) fn targets(fields: &Fields<'_>, default: Option<f64>) -> HttpTargets {
    let value = |fields: &Fields<'_>| {
        if default.is_none() && !fields.has("targetValue") {
            fields.error("targetValue", "is missing");
        }
        fields
            .integer::<u32>("targetValue", 1..=i64::from(i32::MAX))
            .map(f64::from)
            .or(default)
    };
    let concurrency = fields
        .optional_fields("concurrency")
        .and_then(|f| value(&f));
    let request_rate = fields.optional_fields("requestRate").and_then(|f| {
        let window = f
            .get("window")
            .and_then(|node| positive(&node))
            .unwrap_or(Duration::from_secs(60));
        let granularity = f
            .get("granularity")
            .and_then(|node| positive(&node))
            .unwrap_or(Duration::from_secs(1));
        if granularity > window {
            f.error("granularity", "must not be longer than window");
        }
        Some(RequestRate {
            target: value(&f)?,
            window,
            granularity,
        })
    });
    HttpTargets {
        concurrency,
        request_rate,
    }
}

/// A duration above zero and at most a day, the longest that is kept in memory.
fn positive(node: &Node<'_>) -> Option<Duration> {
    let found = node.duration()?;
    let is_allowed = found >= Duration::from_millis(100) && found <= Duration::from_secs(86_400);
    if !is_allowed {
        node.refuse("must be a duration from 100ms to 24h");
    }
    Some(found).filter(|_| is_allowed)
}
