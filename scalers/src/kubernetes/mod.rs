//! Triggers that only a cluster can measure: `cpu`, `memory`, `kubernetes-workload`.
//!
//! This crate knows their parameters, so that they are listed and checked everywhere; a cluster's
//! process puts the source itself in its place ([`Registry::with`](crate::Registry::with)).
//!
//! Differences to KEDA: `kubernetes-workload` counts from a watch of pods that is shared with the
//! rest of the process, so it costs the API server nothing.

mod table;
mod workload;

use zeron_core::metric::{Unknown, UnknownKind};
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::{BoundTrigger, TriggerProblem};

use crate::parameters::Parameters;
use crate::registry::{SourceType, TriggerType};
use crate::source::unknown;

pub use workload::Workload;

/// What our own front end adds to the metadata of such triggers.
const OURS: &str = "zeron.dev/";

/// The types, with all their parameters.
pub fn types() -> Vec<TriggerType> {
    table::TYPES.to_vec()
}

/// Where there is no cluster to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Elsewhere;

impl SourceType for Elsewhere {
    fn types(&self) -> Vec<TriggerType> {
        types()
    }

    fn validate(&self, trigger: &TriggerSpec) -> Vec<TriggerProblem> {
        let mut problems = match trigger.kind.as_str() {
            // Only a cluster's process can read the selector.
            "kubernetes-workload" => Workload::read(trigger, |_| Ok(())).1,
            _ => {
                let mut parameters = Parameters::new(trigger);
                table::read_resource(&mut parameters);
                parameters.finish()
            }
        };
        problems.retain(|problem| {
            let parameter = problem.parameter.as_deref().unwrap_or_default();
            !(problem.is_warning && parameter.starts_with(OURS))
        });
        problems
    }

    fn bind(&self, trigger: &TriggerSpec) -> Result<BoundTrigger, Unknown> {
        let message = format!(
            "triggers of type {} need Kubernetes: pods are measured, and there are none here",
            trigger.kind
        );
        Err(unknown(UnknownKind::Configuration, message))
    }
}
