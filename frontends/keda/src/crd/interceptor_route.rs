//! `http.keda.sh/v1beta1` InterceptorRoute.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::http_scaled_object::{HeaderMatch, default_granularity, default_window};
use super::status::{Address, StandardCondition};

/// Which requests go to which Service, and what of them is counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InterceptorRouteSpec {
    /// The Service that requests go to.
    pub target: RouteTarget,
    /// Which requests: those that any of the rules matches; all when there are none.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub rules: Option<Vec<RoutingRule>>,
    /// What is counted.
    pub scaling_metric: RouteScalingMetric,
    /// Time limits of its requests.
    pub timeouts: Option<RouteTimeouts>,
    /// What requests get while no replica is ready.
    pub cold_start: Option<ColdStart>,
    /// Requests that are answered without the Service.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub static_routes: Option<Vec<StaticRoute>>,
}

/// A Service of the same namespace and one of its ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "message": "exactly one of 'port' or 'portName' must be set",
    "rule": "has(self.port) != has(self.portName)",
}]))]
pub struct RouteTarget {
    /// The Service's name.
    #[schemars(length(min = 1))]
    pub service: String,
    /// Its port, by number.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Its port, by name.
    #[schemars(length(min = 1))]
    pub port_name: Option<String>,
}

/// Requests to any of the hosts, below any of the paths, with all of the headers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoutingRule {
    /// Host names such as app.example.com, *.example.com or *.
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub hosts: Option<Vec<String>>,
    /// Beginnings of paths; the longest wins.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub paths: Option<Vec<PathMatch>>,
    /// Headers that all must be there.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub headers: Option<Vec<HeaderMatch>>,
}

/// The beginning of a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PathMatch {
    /// Such as /api.
    #[schemars(length(min = 1))]
    pub value: String,
}

/// What is counted: one or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "message": "at least one of 'concurrency' or 'requestRate' must be set",
    "rule": "has(self.concurrency) || has(self.requestRate)",
}]))]
pub struct RouteScalingMetric {
    /// Requests in flight.
    pub concurrency: Option<RouteConcurrency>,
    /// Requests per second.
    pub request_rate: Option<RouteRequestRate>,
}

/// Requests in flight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteConcurrency {
    /// How many a replica should carry.
    #[schemars(range(min = 1))]
    pub target_value: i32,
}

/// Requests per second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteRequestRate {
    /// How many a replica should carry.
    #[schemars(range(min = 1))]
    pub target_value: i32,
    /// Over which time the rate is averaged.
    #[serde(default = "default_window")]
    pub window: String,
    /// In which steps the window moves.
    #[serde(default = "default_granularity")]
    pub granularity: String,
}

/// Time limits of requests; `0s` switches one off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteTimeouts {
    /// How long a request waits for a replica.
    pub readiness: Option<String>,
    /// How long it may take in all.
    pub request: Option<String>,
    /// How long the replica may take until its response begins.
    pub response_header: Option<String>,
}

/// What requests get while no replica is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "message": "at least one of 'fallback', 'placeholder' or 'maxPendingRequests' must be set",
    "rule": "has(self.fallback) || has(self.placeholder) || has(self.maxPendingRequests)",
}]))]
pub struct ColdStart {
    /// Another Service, once a request waited too long.
    pub fallback: Option<ColdStartFallback>,
    /// An answer at once.
    pub placeholder: Option<Placeholder>,
    /// Most requests that wait in one activator; 0 for the default.
    #[schemars(range(min = 0))]
    pub max_pending_requests: Option<i32>,
}

/// Another Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ColdStartFallback {
    /// Which.
    pub service: FallbackService,
}

/// A Service of the same namespace and one of its ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "message": "exactly one of 'port' or 'portName' must be set",
    "rule": "has(self.port) != has(self.portName)",
}]))]
pub struct FallbackService {
    /// The Service's name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Its port, by number.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Its port, by name.
    #[schemars(length(min = 1))]
    pub port_name: Option<String>,
}

/// An answer at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Placeholder {
    /// Which.
    pub response: PlaceholderResponse,
}

/// An answer that needs no replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "message": "at most one of 'body' or 'bodyFromConfigMap' may be set",
    "rule": "!(has(self.body) && has(self.bodyFromConfigMap))",
}]))]
pub struct PlaceholderResponse {
    /// Its status.
    #[serde(default = "unavailable")]
    #[schemars(range(min = 100, max = 599))]
    pub status_code: i32,
    /// Its body.
    #[schemars(length(max = 32768))]
    pub body: Option<String>,
    /// Its body, from a ConfigMap labelled http.keda.sh/response-body=true.
    pub body_from_config_map: Option<BodyFromConfigMap>,
    /// Its headers.
    pub headers: Option<BTreeMap<String, String>>,
}

fn unavailable() -> i32 {
    503
}

/// An answer that needs no replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "message": "at most one of 'body' or 'bodyFromConfigMap' may be set",
    "rule": "!(has(self.body) && has(self.bodyFromConfigMap))",
}]))]
pub struct StaticResponse {
    /// Its status.
    #[serde(default = "ok")]
    #[schemars(range(min = 100, max = 599))]
    pub status_code: i32,
    /// Its body.
    #[schemars(length(max = 32768))]
    pub body: Option<String>,
    /// Its body, from a ConfigMap labelled http.keda.sh/response-body=true.
    pub body_from_config_map: Option<BodyFromConfigMap>,
    /// Its headers.
    pub headers: Option<BTreeMap<String, String>>,
}

fn ok() -> i32 {
    200
}

/// A key of a ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BodyFromConfigMap {
    /// The ConfigMap's name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The key.
    pub key: Option<String>,
}

/// Requests that are answered without the Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StaticRoute {
    /// Which requests.
    #[schemars(length(min = 1), extend("x-kubernetes-list-type" = "atomic"))]
    pub rules: Vec<RoutingRule>,
    /// The answer.
    pub response: StaticResponse,
    /// Whether a ready replica is asked instead.
    #[serde(default)]
    pub response_mode: ResponseMode,
}

/// When a static answer is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum ResponseMode {
    #[default]
    WhenUnavailable,
    Always,
}

/// What was observed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InterceptorRouteStatus {
    /// Where requests to it are sent, for Knative's eventing.
    pub address: Option<Address>,
    /// Ready, and what else is to be said.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Option<Vec<StandardCondition>>,
}
