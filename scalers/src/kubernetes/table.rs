//! The parameters of `kubernetes-workload` triggers.

use crate::parameters::Parameter;
use crate::registry::TriggerType;

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

const ALL: &[Parameter] = &[POD_SELECTOR, COUNT, ACTIVATION_VALUE, GROUP_BY_NODE];

/// The type.
pub(super) const TYPE: TriggerType = TriggerType {
    name: "kubernetes-workload",
    about: "pods of the same namespace that are neither succeeded nor failed",
    parameters: ALL,
};
