//! ServerlessService: whether requests of a revision go through activators, and through how many.

use serde::{Deserialize, Serialize};
use zeron_core::Timestamp;

use super::NETWORKING_API;
use super::child::{self, Child};
use super::condition::{Condition, ConditionStatus, READY, find};
use super::metadata::Metadata;
use super::pod_autoscaler::{ObjectReference, PodAutoscaler};

/// The one annotation that a PodAutoscaler does not hand on.
const METRIC: &str = "autoscaling.knative.dev/metric";
/// Since when requests go through activators.
const PROXIED: &str = "ActivatorEndpointsPopulated";

/// networking.internal.knative.dev/v1alpha1 ServerlessService.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerlessService {
    /// Name and owner: its PodAutoscaler's.
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: ServerlessServiceSpec,
    /// What Knative's networking reconciler made of it.
    #[serde(default, skip_serializing)]
    pub status: ServerlessServiceStatus,
}

/// `spec` of a ServerlessService.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerlessServiceSpec {
    /// The way of the requests.
    pub mode: SksMode,
    /// What holds the replicas.
    pub object_ref: ObjectReference,
    /// `http1` or `h2c`.
    #[serde(default)]
    pub protocol_type: String,
    /// Activators in the path; 0: all.
    #[serde(default)]
    pub num_activators: u32,
}

/// The way of a revision's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SksMode {
    /// Straight to its pods.
    Serve,
    /// Through activators.
    #[serde(other)]
    Proxy,
}

/// `status` of a ServerlessService.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServerlessServiceStatus {
    /// The generation that it speaks of.
    pub observed_generation: i64,
    /// `Ready`, and since when activators are in the path.
    pub conditions: Vec<Condition>,
    /// The Service that requests come through; empty: none yet.
    pub service_name: String,
    /// The Service of the pods themselves; empty: none yet.
    pub private_service_name: String,
}

impl ServerlessService {
    /// The one that a PodAutoscaler wants.
    pub fn wanted(owner: &PodAutoscaler, mode: SksMode, num_activators: u32) -> Self {
        Self {
            metadata: child::metadata(owner, |annotation| annotation != METRIC),
            spec: ServerlessServiceSpec {
                mode,
                object_ref: owner.spec.scale_target_ref.clone(),
                protocol_type: owner.spec.protocol_type.clone(),
                num_activators,
            },
            status: ServerlessServiceStatus::default(),
        }
    }

    /// Whether its reconciler has seen its newest spec.
    pub fn is_observed(&self) -> bool {
        self.status.observed_generation == self.metadata.generation
    }

    /// Its `Ready` condition.
    pub fn ready(&self) -> Option<&Condition> {
        find(&self.status.conditions, READY)
    }

    /// Since when requests go through activators; `None`: they do not, or not yet.
    pub fn proxied_since(&self) -> Option<Timestamp> {
        let proxied = find(&self.status.conditions, PROXIED)?;
        let is_proxied = proxied.status == ConditionStatus::True;
        proxied.last_transition_time.filter(|_| is_proxied)
    }
}

impl Child for ServerlessService {
    type Spec = ServerlessServiceSpec;
    const API_VERSION: &'static str = NETWORKING_API;
    const KIND: &'static str = "ServerlessService";

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn spec(&self) -> &ServerlessServiceSpec {
        &self.spec
    }
}
