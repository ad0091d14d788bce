//! Triggers that refer to something which is not there are not evaluated: they are unknown.

use std::sync::Arc;

use zeron_core::ScalerRegistry;
use zeron_core::metric::{Unknown, UnknownKind};
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::{BoundTrigger, TriggerProblem};
use zeron_frontend_keda::UNRESOLVED;

/// All event sources, for triggers whose references were all found.
///
/// Without a Secret, a trigger would go to its source without credentials, or to another one than
/// it means; what came back would not be what was asked for.
#[derive(Clone, Debug)]
pub struct ResolvedOnly(pub Arc<dyn ScalerRegistry>);

impl ScalerRegistry for ResolvedOnly {
    fn validate(&self, trigger: &TriggerSpec) -> Vec<TriggerProblem> {
        self.0.validate(trigger)
    }

    fn is_built_in(&self, kind: &str) -> bool {
        self.0.is_built_in(kind)
    }

    fn bind(&self, trigger: &TriggerSpec) -> Result<BoundTrigger, Unknown> {
        match trigger.metadata.get(UNRESOLVED) {
            None => self.0.bind(trigger),
            Some(message) => Err(Unknown {
                kind: UnknownKind::Configuration,
                message: message.clone(),
            }),
        }
    }
}
