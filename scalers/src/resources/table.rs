//! The parameters of `cpu` and `memory` triggers.

use crate::parameters::Parameter;
use crate::registry::TriggerType;

pub(super) const VALUE: Parameter = Parameter::text(
    "value",
    "percent of what is requested, or with metricType AverageValue an amount such as 500m or 1Gi",
)
.required();
pub(super) const TYPE: Parameter = Parameter::choice(
    "type",
    &["Utilization", "AverageValue"],
    "the older place of the trigger's metricType",
);
pub(super) const CONTAINER_NAME: Parameter =
    Parameter::text("containerName", "this container of every pod alone");

const ALL: &[Parameter] = &[VALUE, TYPE, CONTAINER_NAME];

/// The types.
pub(super) const TYPES: [TriggerType; 2] = [
    TriggerType {
        name: "cpu",
        about: "what the replicas use of the cpu, against what they request",
        parameters: ALL,
    },
    TriggerType {
        name: "memory",
        about: "what the replicas use of memory, against what they request",
        parameters: ALL,
    },
];
