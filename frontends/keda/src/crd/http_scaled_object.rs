//! `http.keda.sh/v1alpha1` HTTPScaledObject.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::status::{Address, StandardCondition};

/// Which requests go to which Service, and how its workload follows them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpScaledObjectSpec {
    /// Host names; any when none are given.
    pub hosts: Option<Vec<String>>,
    /// Beginnings of paths; any when none are given.
    pub path_prefixes: Option<Vec<String>>,
    /// Headers that all must be there.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub headers: Option<Vec<HeaderMatch>>,
    /// The workload, and the Service before it.
    pub scale_target_ref: HttpScaleTargetRef,
    /// Between which bounds.
    pub replicas: Option<Replicas>,
    /// Seconds of idleness before the last step to zero; 300 when none are given.
    pub scaledown_period: Option<i32>,
    /// Seconds of idleness before one that never was active goes to zero.
    pub initial_cooldown_period: Option<i32>,
    /// Deprecated: scalingMetric.concurrency.targetValue.
    pub target_pending_requests: Option<i32>,
    /// What is counted.
    pub scaling_metric: Option<HttpScalingMetric>,
    /// Where requests go that waited too long.
    pub cold_start_timeout_failover_ref: Option<FailoverRef>,
    /// Time limits of its requests.
    pub timeouts: Option<HttpTimeouts>,
}

/// A header that must be there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeaderMatch {
    /// Its name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Its value; any when none is given.
    pub value: Option<String>,
}

/// The workload, and the Service before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "message": "must define either the 'portName' or the 'port'",
    "rule": "has(self.portName) != has(self.port)",
}]))]
pub struct HttpScaleTargetRef {
    /// The workload's name.
    pub name: Option<String>,
    /// The workload's group and version; apps/v1 when none are given.
    pub api_version: Option<String>,
    /// The workload's kind; Deployment when none is given.
    pub kind: Option<String>,
    /// Deprecated: name.
    pub deployment: Option<String>,
    /// The Service before it.
    pub service: String,
    /// The Service's port, by number.
    pub port: Option<i32>,
    /// The Service's port, by name.
    pub port_name: Option<String>,
}

/// Bounds of the count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Replicas {
    /// Fewest; 0 when none are given.
    pub min: Option<i32>,
    /// Most; 100 when none are given.
    pub max: Option<i32>,
}

/// What is counted: one of the two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpScalingMetric {
    /// Requests in flight.
    pub concurrency: Option<ConcurrencyMetric>,
    /// Requests per second.
    pub request_rate: Option<RequestRateMetric>,
}

/// Requests in flight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConcurrencyMetric {
    /// How many a replica should carry.
    #[serde(default = "default_target")]
    #[schemars(extend("format" = null))]
    pub target_value: i64,
}

/// Requests per second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequestRateMetric {
    /// How many a replica should carry.
    #[serde(default = "default_target")]
    #[schemars(extend("format" = null))]
    pub target_value: i64,
    /// Over which time the rate is averaged.
    #[serde(default = "default_window")]
    pub window: String,
    /// In which steps the window moves.
    #[serde(default = "default_granularity")]
    pub granularity: String,
}

fn default_target() -> i64 {
    100
}

pub(super) fn default_window() -> String {
    "1m".to_owned()
}

pub(super) fn default_granularity() -> String {
    "1s".to_owned()
}

/// Where requests go that waited too long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "message": "must define either the 'portName' or the 'port'",
    "rule": "has(self.portName) != has(self.port)",
}]))]
pub struct FailoverRef {
    /// The Service's name.
    pub service: String,
    /// Its port, by number.
    pub port: Option<i32>,
    /// Its port, by name.
    pub port_name: Option<String>,
    /// Seconds that a request waits before.
    #[serde(default = "default_failover_seconds")]
    pub timeout_seconds: i32,
}

fn default_failover_seconds() -> i32 {
    30
}

/// Time limits of requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpTimeouts {
    /// How long a request waits for a replica.
    pub condition_wait: Option<String>,
    /// How long the replica may take until its response begins.
    pub response_header: Option<String>,
}

/// What was observed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpScaledObjectStatus {
    /// Where requests to it are sent, for Knative's eventing.
    pub address: Option<Address>,
    /// The workload that is scaled, for people.
    pub target_workload: Option<String>,
    /// The Service and port that requests go to, for people.
    pub target_service: Option<String>,
    /// Ready, and what else is to be said.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Option<Vec<StandardCondition>>,
}
