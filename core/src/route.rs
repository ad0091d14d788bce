//! Which requests go to which functions. A snapshot of all routes is immutable, swapped whole.

use std::num::NonZeroU16;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::function::{Function, Timeouts};
use crate::id::{FunctionId, ObjectRef};

/// One rule: a request that matches goes to one of the targets, by weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// The object that declares it.
    pub source: ObjectRef,
    /// Any of these hosts.
    pub hosts: Vec<HostPattern>,
    /// The path starts with this, by whole segments; `/` matches all.
    pub path_prefix: String,
    /// All of these headers.
    pub headers: Vec<HeaderMatch>,
    /// Only requests that arrive at this port of the data plane, which is kept for this route
    /// (see `zeron-activator`'s ports of functions); `None`: the ports that all routes share.
    pub port: Option<NonZeroU16>,
    /// What happens to a request that matches.
    pub action: RouteAction,
    /// The tag that named this route, if one did.
    pub tag: Option<String>,
}

/// What happens to a request that matches a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RouteAction {
    /// It goes to a function.
    Forward(Forward),
    /// It is answered here, and wakes nothing.
    Respond(StaticResponse),
}

/// Where requests of a route go.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Forward {
    /// Weighted targets; weights need not sum to 100, zero gets nothing.
    pub targets: Vec<WeightedTarget>,
    /// Time limits that replace the function's own.
    pub timeouts: Option<Timeouts>,
    /// Answered at once while no replica is ready (the request still wakes the function).
    pub placeholder: Option<StaticResponse>,
    /// The placeholder wakes nothing.
    #[serde(default)]
    pub is_placeholder_silent: bool,
    /// Where a request goes that waited too long for a replica.
    pub fallback: Option<FunctionId>,
    /// Answers say in `X-KEDA-HTTP-Cold-Start` whether their request found no replica ready.
    #[serde(default)]
    pub cold_start_header: bool,
}

/// One target of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightedTarget {
    /// The function.
    pub function: FunctionId,
    /// Its share.
    pub weight: u32,
}

/// A host of a route, lower case, without port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HostPattern {
    /// Exactly this host.
    Exact(String),
    /// `*.SUFFIX`: any host that ends with `.SUFFIX`.
    Wildcard(String),
    /// Any host that no other route has.
    Any,
}

/// A header that a request must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderMatch {
    /// Lower-case name.
    pub name: String,
    /// Exact value; `None`: present is enough.
    pub value: Option<String>,
}

/// An answer that needs no function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaticResponse {
    /// 200..=599.
    pub status: u16,
    /// Headers to add.
    pub headers: Vec<(String, String)>,
    /// Body, at most 32,768 bytes.
    pub body: String,
}

/// All routes and functions at one moment.
#[derive(Clone, Debug, Default)]
pub struct RouteSnapshot {
    /// Order does not matter; matching is by specificity.
    pub routes: Vec<Route>,
    /// Every function that a route may name, and those without a route.
    pub functions: Vec<RoutedFunction>,
}

/// A function as the data plane knows it.
#[derive(Clone, Debug)]
pub struct RoutedFunction {
    /// Its definition.
    pub function: Arc<Function>,
    /// Whether a request may wake it from zero.
    pub is_wake_allowed: bool,
    /// How many replicas a wake-up asks for: max of min, activation scale and 1. Zero where somebody
    /// else writes the count: then waking is telling, and nothing is written.
    pub wake_count: u32,
}
