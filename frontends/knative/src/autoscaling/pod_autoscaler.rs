//! PodAutoscaler: how a revision scales, as Knative's revision reconciler writes it.

use serde::{Deserialize, Serialize};
use zeron_core::FunctionId;
use zeron_core::function::Protocol;

use super::AUTOSCALING_API;
use super::condition::{Condition, find};
use super::metadata::{Metadata, OwnerReference};
use crate::config::KPA_CLASS;

/// Says whose a PodAutoscaler is.
const CLASS: &str = "autoscaling.knative.dev/class";
/// The Service that an object belongs to.
pub(super) const SERVICE_LABEL: &str = "serving.knative.dev/service";

/// autoscaling.internal.knative.dev/v1alpha1 PodAutoscaler.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct PodAutoscaler {
    /// Name, labels, annotations; the name is the revision's.
    pub metadata: Metadata,
    /// What the revision reconciler wants.
    pub spec: PodAutoscalerSpec,
    /// What was made of it.
    #[serde(default)]
    pub status: PodAutoscalerStatus,
}

/// `spec` of a PodAutoscaler.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodAutoscalerSpec {
    /// Requests that one pod may serve at once; 0: any number.
    #[serde(default)]
    pub container_concurrency: i64,
    /// What holds the replicas.
    pub scale_target_ref: ObjectReference,
    /// Whether a route leads to the revision.
    #[serde(default)]
    pub reachability: Reachability,
    /// `http1` or `h2c`.
    #[serde(default)]
    pub protocol_type: String,
}

/// An object that another one names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectReference {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Name, in the same namespace.
    pub name: String,
}

/// Whether a route leads to a revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Reachability {
    /// A route does.
    Reachable,
    /// None does.
    Unreachable,
    /// Not known yet: counts as reachable.
    #[default]
    #[serde(other)]
    Unknown,
}

/// `status` of a PodAutoscaler.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodAutoscalerStatus {
    /// The generation that it speaks of.
    pub observed_generation: i64,
    /// `Active`, `ScaleTargetInitialized`, `SKSReady`, and `Ready`, their sum.
    pub conditions: Vec<Condition>,
    /// The Service that requests come through.
    pub service_name: String,
    /// The Service of the pods themselves.
    pub metrics_service_name: String,
    /// Replicas wanted; -1: not known yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired_scale: Option<i32>,
    /// Pods that are ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual_scale: Option<i32>,
}

impl PodAutoscaler {
    /// Whether the KPA looks after it. Knative's webhook writes the default class where none was
    /// given; one without a class is nobody's.
    pub fn is_kpa(&self) -> bool {
        let class = self.metadata.annotations.get(CLASS);
        class.is_some_and(|class| class == KPA_CLASS)
    }

    /// The function that it scales: the revision of its name.
    pub fn function_id(&self) -> FunctionId {
        FunctionId::new(&self.metadata.namespace, "Revision", &self.metadata.name)
    }

    /// What the revision's pods speak.
    pub fn protocol(&self) -> Protocol {
        match self.spec.protocol_type.as_str() {
            "h2c" => Protocol::H2c,
            _ => Protocol::Http1,
        }
    }

    /// The reference that makes it the controller of another object.
    pub(super) fn owner_reference(&self) -> OwnerReference {
        OwnerReference {
            api_version: AUTOSCALING_API.to_owned(),
            kind: "PodAutoscaler".to_owned(),
            name: self.metadata.name.clone(),
            uid: self.metadata.uid.clone().unwrap_or_default(),
            controller: true,
            block_owner_deletion: true,
        }
    }
}

impl PodAutoscalerStatus {
    /// One of its conditions.
    pub fn condition(&self, name: &str) -> Option<&Condition> {
        find(&self.conditions, name)
    }

    /// Takes over the times of conditions that `other` has with the same words.
    pub fn keep_times(&mut self, other: &Self) {
        for condition in &mut self.conditions {
            let same = find(&other.conditions, &condition.r#type);
            if let Some(same) = same.filter(|same| same.says() == condition.says()) {
                condition.last_transition_time = same.last_transition_time;
            }
        }
    }
}
