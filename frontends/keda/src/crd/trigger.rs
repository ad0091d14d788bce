//! One entry of `triggers`, as ScaledObject and ScaledJob share it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An event source and what one replica should carry of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Trigger {
    /// Which scaler asks the source, such as kafka.
    #[serde(rename = "type")]
    #[schemars(length(min = 1))]
    pub kind: String,
    /// What a formula calls its value; unique within the object.
    pub name: Option<String>,
    /// Whether metrics are served from the last poll.
    pub use_cached_metrics: Option<bool>,
    /// Parameters of the scaler. All values are strings.
    pub metadata: BTreeMap<String, String>,
    /// Where the scaler's secret parameters come from.
    pub authentication_ref: Option<AuthenticationReference>,
    /// AverageValue (per replica), Value, or Utilization (cpu and memory alone).
    pub metric_type: Option<String>,
}

/// Names a TriggerAuthentication or ClusterTriggerAuthentication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticationReference {
    /// The object's name.
    pub name: String,
    /// The object's kind; TriggerAuthentication when none is given.
    pub kind: Option<AuthenticationKind>,
}

/// Kinds of objects with secret parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs)]
pub enum AuthenticationKind {
    TriggerAuthentication,
    ClusterTriggerAuthentication,
}
