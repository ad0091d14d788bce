//! `kubernetes-workload`, which only a cluster can measure.
//!
//! This crate knows its parameters, so that they are listed and checked everywhere; a cluster's
//! process puts the source itself in its place ([`Registry::with`](crate::Registry::with)).
//!
//! Differences to KEDA: `kubernetes-workload` counts from a watch of pods that is shared with the
//! rest of the process, so it costs the API server nothing.

mod table;
mod workload;

use zeron_core::metric::{Unknown, UnknownKind};
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::{BoundTrigger, TriggerProblem};

use crate::registry::{SourceType, TriggerType};
use crate::source::unknown;

pub use workload::Workload;

/// The type, with all its parameters.
pub fn types() -> Vec<TriggerType> {
    vec![table::TYPE]
}

/// Where there is no cluster to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Elsewhere;

impl SourceType for Elsewhere {
    fn types(&self) -> Vec<TriggerType> {
        types()
    }

    fn validate(&self, trigger: &TriggerSpec) -> Vec<TriggerProblem> {
        // Only a cluster's process can read the selector.
        Workload::read(trigger, |_| Ok(())).1
    }

    fn bind(&self, trigger: &TriggerSpec) -> Result<BoundTrigger, Unknown> {
        let message = format!(
            "triggers of type {} need Kubernetes: pods are measured, and there are none here",
            trigger.kind
        );
        Err(unknown(UnknownKind::Configuration, message))
    }
}
