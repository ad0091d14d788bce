//! One `cpu` or `memory` trigger.

use zeron_core::FunctionId;
use zeron_core::policy::{MetricType, TriggerSpec};
use zeron_core::quantity::quantity;
use zeron_core::roles::TriggerProblem;

use super::table;
use crate::parameters::Parameters;

/// What our own front end adds to the metadata.
const OURS: &str = "zeron.dev/";
const FUNCTION: &str = "zeron.dev/function";
const METRIC_TYPE: &str = "zeron.dev/metricType";
const ALONE: &str = "zeron.dev/alone";

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    Cpu,
    Memory,
}

impl Resource {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
        }
    }
}

/// A trigger's parameters.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ResourceTrigger {
    pub(super) function: FunctionId,
    pub(super) resource: Resource,
    pub(super) metric_type: MetricType,
    /// Percent of the request, or an amount: thousandths of a core, bytes.
    pub(super) target: f64,
    /// This container alone.
    pub(super) container: Option<Box<str>>,
    /// No trigger of another type is beside it.
    pub(super) is_alone: bool,
}

impl ResourceTrigger {
    /// Reads a trigger, with everything that is wrong, warnings among it; `None` with any error.
    pub(super) fn read(spec: &TriggerSpec) -> (Option<Self>, Vec<TriggerProblem>) {
        let mut parameters = Parameters::new(spec);
        let resource = match spec.kind.as_str() {
            "cpu" => Resource::Cpu,
            _ => Resource::Memory,
        };
        let ours = |key: &str| spec.metadata.get(key).map(String::as_str);
        let old = parameters.choice(&table::TYPE);
        let metric_type = match ours(METRIC_TYPE).or(old) {
            Some("Utilization") => Some(MetricType::Utilization),
            Some("AverageValue") => Some(MetricType::AverageValue),
            _ => {
                let message = "metricType must be Utilization or AverageValue for cpu and memory";
                parameters.problem(&table::TYPE, message);
                None
            }
        };
        let text = parameters.required(&table::VALUE);
        let target = metric_type.and_then(|it| target(it, resource, text));
        if target.is_none() && metric_type.is_some() && !text.is_empty() {
            // Of a variable, which may come from a Secret, the name is enough.
            let is_hidden = spec.from_environment.contains(table::VALUE.name);
            let shown = if is_hidden {
                "of the environment"
            } else {
                text
            };
            let message = format!("value {shown:?} is no amount above zero");
            parameters.problem(&table::VALUE, message);
        }
        let container = parameters.text(&table::CONTAINER_NAME).map(Into::into);
        let read = Self {
            // Without our front end nobody says whose replicas are meant: those of nobody.
            function: ours(FUNCTION)
                .and_then(function_id)
                .unwrap_or_else(|| FunctionId::new(&spec.object.namespace, "", "")),
            resource,
            metric_type: metric_type.unwrap_or(MetricType::AverageValue),
            target: target.unwrap_or(1.0),
            container,
            is_alone: ours(ALONE) == Some("true"),
        };
        let is_good = !parameters.has_errors();
        let mut problems = parameters.finish();
        problems.retain(|problem| {
            let parameter = problem.parameter.as_deref().unwrap_or_default();
            !(problem.is_warning && parameter.starts_with(OURS))
        });
        (is_good.then_some(read), problems)
    }
}

fn target(metric_type: MetricType, resource: Resource, text: &str) -> Option<f64> {
    let target: Option<f64> = match metric_type {
        MetricType::Utilization => text.parse().ok(),
        MetricType::AverageValue | MetricType::Value => quantity(text).map(|it| match resource {
            Resource::Cpu => it * 1000.0,
            Resource::Memory => it,
        }),
    };
    target.filter(|target| target.is_finite() && *target > 0.0)
}

/// `namespace/Kind/name`.
fn function_id(text: &str) -> Option<FunctionId> {
    let mut parts = text.splitn(3, '/');
    let (namespace, kind, name) = (parts.next()?, parts.next()?, parts.next()?);
    Some(FunctionId::new(namespace, kind, name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(kind: &str, metadata: &[(&str, &str)]) -> Result<ResourceTrigger, String> {
        let function = [(FUNCTION, "ns/Deployment/a"), (ALONE, "true")];
        let trigger = crate::testkit::spec(kind, metadata.iter().chain(&function), &[]);
        let (read, problems) = ResourceTrigger::read(&trigger);
        let problems: Vec<_> = problems.into_iter().map(|it| it.message).collect();
        read.filter(|_| problems.is_empty())
            .ok_or_else(|| problems.join("; "))
    }

    #[test]
    fn utilization_is_percent_and_an_average_is_an_amount() {
        let cpu = read("cpu", &[(METRIC_TYPE, "Utilization"), ("value", "60")]).unwrap();
        assert_eq!((cpu.target, cpu.resource), (60.0, Resource::Cpu));
        let cpu = read("cpu", &[("type", "AverageValue"), ("value", "250m")]).unwrap();
        assert!((cpu.target - 250.0).abs() < 1e-9 && cpu.is_alone);
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
        let untyped = read("cpu", &[("value", "60")]).unwrap_err();
        assert!(untyped.starts_with("metricType must be"), "{untyped}");
        let zero = read("cpu", &[("type", "Utilization"), ("value", "0")]);
        assert_eq!(zero.unwrap_err(), "value \"0\" is no amount above zero");
        let text = read("memory", &[("type", "AverageValue"), ("value", "x")]);
        assert_eq!(text.unwrap_err(), "value \"x\" is no amount above zero");
        let none = read("memory", &[("type", "AverageValue"), ("valu", "1")]).unwrap_err();
        let expected = "value is required; valu is not a parameter of memory triggers";
        assert_eq!(none, expected);
    }
}
