//! Parameters of `cpu` and `memory` triggers.

use zeron_core::FunctionId;
use zeron_core::policy::{MetricType, TriggerSpec};
use zeron_core::roles::TriggerProblem;

use crate::quantity::quantity;

/// Put into the metadata where objects become functions.
const FUNCTION: &str = "zeron.dev/function";
const METRIC_TYPE: &str = "zeron.dev/metricType";
const ALONE: &str = "zeron.dev/alone";

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    Cpu,
    Memory,
}

impl Resource {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
        }
    }
}

/// A trigger's parameters.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parameters {
    pub(crate) function: FunctionId,
    pub(crate) resource: Resource,
    pub(crate) metric_type: MetricType,
    /// Percent of the request, or an amount: thousandths of a core, bytes.
    pub(crate) target: f64,
    /// This container alone.
    pub(crate) container: Option<Box<str>>,
    /// No trigger of another type is beside it.
    pub(crate) is_alone: bool,
}

impl Parameters {
    /// Reads a trigger of type `cpu` or `memory`.
    pub(crate) fn read(trigger: &TriggerSpec) -> Result<Self, TriggerProblem> {
        let get = |key: &str| trigger.metadata.get(key).map(|value| value.trim());
        let resource = match trigger.kind.as_str() {
            "cpu" => Resource::Cpu,
            _ => Resource::Memory,
        };
        // `metadata.type` is the older place of the trigger's `metricType`.
        let metric_type = match get(METRIC_TYPE).or_else(|| get("type")) {
            Some("Utilization") => MetricType::Utilization,
            Some("AverageValue") => MetricType::AverageValue,
            _ => {
                return Err(problem(
                    "metricType",
                    "must be Utilization or AverageValue for cpu and memory",
                ));
            }
        };
        let value = get("value").ok_or_else(|| problem("value", "is required"))?;
        let target = match metric_type {
            MetricType::Utilization => value.parse().ok(),
            MetricType::AverageValue | MetricType::Value => {
                quantity(value).map(|amount| match resource {
                    Resource::Cpu => amount * 1000.0,
                    Resource::Memory => amount,
                })
            }
        };
        let target: f64 = target
            .filter(|target: &f64| target.is_finite() && *target > 0.0)
            .ok_or_else(|| {
                // Of a variable, which may come from a Secret, the name is enough.
                let is_shown = !trigger.from_environment.contains("value");
                let value = if is_shown {
                    value
                } else {
                    "of the environment"
                };
                problem("value", &format!("{value:?} is no amount above zero"))
            })?;
        let function = get(FUNCTION).and_then(function_id);
        Ok(Self {
            function: function.ok_or_else(|| problem(FUNCTION, "names no function"))?,
            resource,
            metric_type,
            target,
            container: get("containerName")
                .filter(|name| !name.is_empty())
                .map(Into::into),
            is_alone: get(ALONE) == Some("true"),
        })
    }
}

/// `namespace/Kind/name`.
fn function_id(text: &str) -> Option<FunctionId> {
    let mut parts = text.splitn(3, '/');
    let (namespace, kind, name) = (parts.next()?, parts.next()?, parts.next()?);
    Some(FunctionId::new(namespace, kind, name))
}

fn problem(parameter: &str, message: &str) -> TriggerProblem {
    TriggerProblem {
        parameter: Some(parameter.to_owned()),
        message: format!("{parameter} {message}"),
        is_warning: false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use zeron_core::ObjectRef;

    use super::*;

    fn read(kind: &str, metadata: &[(&str, &str)]) -> Result<Parameters, String> {
        let trigger = TriggerSpec {
            object: ObjectRef {
                api_version: "keda.sh/v1alpha1".to_owned(),
                kind: "ScaledObject".to_owned(),
                namespace: "ns".to_owned(),
                name: "a".to_owned(),
            },
            index: 0,
            kind: kind.to_owned(),
            metadata: (metadata.iter())
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .chain([(FUNCTION.to_owned(), "ns/Deployment/a".to_owned())])
                .collect(),
            from_environment: std::collections::BTreeSet::new(),
            remote: Vec::new(),
            is_formula_input: false,
            auth: std::collections::BTreeMap::new(),
        };
        Parameters::read(&trigger).map_err(|problem| problem.message)
    }

    #[test]
    fn utilization_is_percent_and_an_average_is_an_amount() {
        let cpu = read("cpu", &[(METRIC_TYPE, "Utilization"), ("value", "60")]).unwrap();
        assert_eq!((cpu.target, cpu.resource), (60.0, Resource::Cpu));
        let cpu = read("cpu", &[("type", "AverageValue"), ("value", "250m")]).unwrap();
        assert!((cpu.target - 250.0).abs() < 1e-9);
        let memory = [
            (METRIC_TYPE, "AverageValue"),
            ("value", "1Gi"),
            ("containerName", "app"),
        ];
        let memory = read("memory", &memory).unwrap();
        assert_eq!(memory.target, f64::from(1 << 30));
        assert_eq!(memory.container.as_deref(), Some("app"));
        assert_eq!(memory.function, FunctionId::new("ns", "Deployment", "a"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(
            read("cpu", &[("value", "60")])
                .unwrap_err()
                .starts_with("metricType must be")
        );
        let zero = read("cpu", &[("type", "Utilization"), ("value", "0")]);
        assert_eq!(zero.unwrap_err(), "value \"0\" is no amount above zero");
        assert!(read("memory", &[("type", "AverageValue"), ("value", "x")]).is_err());
    }
}
