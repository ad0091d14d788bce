//! The parameters of `cpu`, `memory` and `kubernetes-workload` triggers.

use crate::parameters::Parameter;
use crate::registry::TriggerType;

const VALUE: Parameter = Parameter::text(
    "value",
    "percent of what is requested, or with metricType AverageValue an amount such as 500m or 1Gi",
)
.required();
const TYPE: Parameter = Parameter::choice(
    "type",
    &["Utilization", "AverageValue"],
    "the older place of the trigger's metricType",
);
const CONTAINER_NAME: Parameter =
    Parameter::text("containerName", "this container of every pod alone");
pub(super) const POD_SELECTOR: Parameter = Parameter::text(
    "podSelector",
    "labels of the pods that are counted, such as app=web,tier in (a, b)",
)
.required();
pub(super) const COUNT: Parameter =
    Parameter::number_above("value", 0.0, "pods for which there is one replica").required();
pub(super) const ACTIVATION_VALUE: Parameter =
    Parameter::number_from("activationValue", 0.0, "active above so many pods").default("0");
pub(super) const GROUP_BY_NODE: Parameter = Parameter::flag(
    "groupByNode",
    "nodes with such pods are counted instead of pods",
);

/// Of `cpu` and `memory`.
pub(super) const RESOURCE: &[Parameter] = &[VALUE, TYPE, CONTAINER_NAME];
/// Of `kubernetes-workload`.
pub(super) const WORKLOAD: &[Parameter] = &[POD_SELECTOR, COUNT, ACTIVATION_VALUE, GROUP_BY_NODE];

/// The types.
pub(super) const TYPES: [TriggerType; 3] = [
    TriggerType {
        name: "cpu",
        about: "what the replicas use of the cpu, against what they request",
        parameters: RESOURCE,
    },
    TriggerType {
        name: "memory",
        about: "what the replicas use of memory, against what they request",
        parameters: RESOURCE,
    },
    TriggerType {
        name: "kubernetes-workload",
        about: "pods of the same namespace that are neither succeeded nor failed",
        parameters: WORKLOAD,
    },
];

/// Reads what is in the table of `cpu` and `memory`.
pub(super) fn read_resource(parameters: &mut crate::parameters::Parameters<'_>) {
    parameters.required(&VALUE);
    parameters.choice(&TYPE);
    parameters.text(&CONTAINER_NAME);
}
