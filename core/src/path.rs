//! The request path of a function whose activators are switched in and out by Knative's
//! `ServerlessService`: what is seen of it, and what is asked of it.
//!
//! Source: knative/serving `pkg/reconciler/autoscaling/kpa`. Whoever follows the objects says
//! [`PathFacts`]; the engine answers with a [`PathAsk`] in the function's status.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Where the requests of a Knative function go, and who counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum RequestPath {
    /// Always through our activators, which count every request: their silence is a known zero.
    #[default]
    Activator,
    /// Through Knative's activators or straight to its queue-proxies. Load comes as
    /// [`Sample`](crate::stat::Sample)s of both.
    Serverless {
        /// Queue-proxies are scraped: without data there is no decision, where else silence would
        /// be zero. False with a target burst capacity of -1: activators see everything.
        is_scraped: bool,
        /// Activators are in the way of a function with replicas too, whatever the capacity for
        /// bursts: whoever sends requests speaks TLS to activators only.
        #[serde(default)]
        is_always_proxied: bool,
    },
}

/// What is seen of a switched path. The newest of a function replaces all that was said before.
///
/// The default is a function whose `ServerlessService` does not exist yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathFacts {
    /// `status.privateServiceName` of the `ServerlessService` is set; without it nothing is scaled.
    pub has_private_service: bool,
    /// `status.serviceName` of the `ServerlessService` is set; without it the initial scale does
    /// not count as reached.
    pub has_service: bool,
    /// Since when `ActivatorEndpointsPopulated` is True; `None`: activators are not in the path.
    pub proxied_since: Option<Timestamp>,
    /// The newest answer to an activator probe.
    pub probe: Option<ActivatorProbe>,
    /// The conditions that the `PodAutoscaler` had when it was first read, so that a restart goes
    /// on where it was; only the first that the engine hears of a function counts.
    pub found: Option<FoundPath>,
}

/// What the public Service answered to the question whether an activator stands behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActivatorProbe {
    /// When the answer came, or the attempt failed: tells answers apart. How old it is counts from
    /// when the engine hears of it.
    pub at: Timestamp,
    /// 200 and the body `activator`.
    pub is_activator: bool,
}

/// Conditions of a `PodAutoscaler` as they were written down before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundPath {
    /// The condition `Active`.
    pub activity: Activity,
    /// Its last transition.
    pub since: Timestamp,
    /// `ScaleTargetInitialized` is True.
    pub is_initialized: bool,
}

/// The condition `Active` of a `PodAutoscaler`, with its reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activity {
    /// Unknown/Queued: not enough replicas are ready yet.
    #[default]
    Activating,
    /// True: enough replicas are ready.
    Active,
    /// False/NoTraffic: no traffic.
    NoTraffic,
    /// False/TimedOut: replicas did not become ready in time.
    TimedOut,
}

/// `spec.mode` of a `ServerlessService`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PathMode {
    /// Requests go through activators.
    #[default]
    Proxy,
    /// Requests go to the replicas.
    Serve,
}

/// What the engine asks of a switched path, and what there is to tell of the decision.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PathAsk {
    /// The condition `Active`.
    pub activity: Activity,
    /// When `activity` last changed.
    pub activity_since: Timestamp,
    /// The initial scale was reached once (`ScaleTargetInitialized`).
    pub is_initialized: bool,
    /// `spec.mode` wanted of the `ServerlessService`.
    pub mode: PathMode,
    /// `spec.numActivators` wanted of it.
    pub activators: u32,
    /// `status.desiredScale`: what is wanted, also while it is not applied yet; `None` = -1, which
    /// never replaces a value.
    pub desired: Option<u32>,
    /// Whether the public Service is to be probed for an activator now, and again each second while
    /// this stays true.
    pub is_probe_wanted: bool,
    /// Requests that the ready replicas could take on top at a sudden burst; -1: not computed.
    pub excess_burst_capacity: f64,
    /// The newest average over the stable window.
    pub stable: f64,
    /// The newest average over the panic window.
    pub panic: f64,
    /// What one replica should get.
    pub target: f64,
    /// In panic mode.
    pub is_panicking: bool,
}
