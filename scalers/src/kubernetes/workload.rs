//! The parameters of a `kubernetes-workload` trigger.

use zeron_core::policy::TriggerSpec;
use zeron_core::roles::TriggerProblem;

use super::table;
use crate::parameters::Parameters;

/// Which pods are counted, and what their number means.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// The namespace of the trigger's object.
    pub namespace: String,
    /// A label selector, as text.
    pub selector: String,
    /// Pods for which there is one replica; above zero.
    pub target: f64,
    /// Active above so many.
    pub activation: f64,
    /// Nodes with such pods are counted instead.
    pub is_by_node: bool,
}

impl Workload {
    /// Reads a trigger; `check` judges the selector. With everything that is wrong, warnings among
    /// it; `None` with any error.
    pub fn read(
        trigger: &TriggerSpec,
        check: impl FnOnce(&str) -> Result<(), String>,
    ) -> (Option<Self>, Vec<TriggerProblem>) {
        let mut parameters = Parameters::new(trigger);
        let selector = parameters.required(&table::POD_SELECTOR).to_owned();
        if !selector.is_empty()
            && let Err(message) = check(&selector)
        {
            let message = format!("podSelector: {message}");
            parameters.problem(&table::POD_SELECTOR, message);
        }
        let target = parameters.target(&table::COUNT);
        let activation = parameters.number(&table::ACTIVATION_VALUE);
        let is_by_node = parameters.flag(&table::GROUP_BY_NODE);
        let is_good = !parameters.has_errors();
        let workload = Self {
            namespace: trigger.object.namespace.clone(),
            selector,
            target: target.unwrap_or(1.0),
            activation: activation.unwrap_or(0.0),
            is_by_node,
        };
        (is_good.then_some(workload), parameters.finish())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(metadata: &[(&str, &str)]) -> (Option<Workload>, Vec<String>) {
        let mut trigger = crate::testkit::spec("kubernetes-workload", metadata, &[]);
        trigger.object.namespace = "shop".to_owned();
        let check = |text: &str| match text.contains("==") {
            true => Err(format!("{text:?} is no selector")),
            false => Ok(()),
        };
        let (found, problems) = Workload::read(&trigger, check);
        (found, problems.into_iter().map(|it| it.message).collect())
    }

    #[test]
    fn everything_has_its_default_but_selector_and_value() {
        let (found, problems) = read(&[("podSelector", "app=web"), ("value", "0.5")]);
        let expected = Workload {
            namespace: "shop".to_owned(),
            selector: "app=web".to_owned(),
            target: 0.5,
            activation: 0.0,
            is_by_node: false,
        };
        assert_eq!((found, problems), (Some(expected), Vec::new()));
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let (found, problems) = read(&[
            ("podSelector", "a==="),
            ("value", "0"),
            ("activationValue", "-1"),
        ]);
        assert_eq!(found, None);
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert_eq!(read(&[]).1.len(), 2);
    }
}
