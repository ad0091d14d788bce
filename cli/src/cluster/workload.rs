//! `kubernetes-workload` triggers: parameters as the sources' table has them, pods as our watch does.

use zeron_backend_kubernetes::LabelSelector;
use zeron_backend_kubernetes::workload::{WorkloadQuery, Workloads};
use zeron_core::metric::Unknown;
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::{BoundTrigger, TriggerProblem};
use zeron_scalers::kubernetes::{Workload, types};
use zeron_scalers::{SourceType, TriggerType, configuration};

/// Counts pods of the cluster.
#[derive(Debug)]
pub(super) struct WorkloadSource(pub(super) Workloads);

impl SourceType for WorkloadSource {
    fn types(&self) -> Vec<TriggerType> {
        types()
    }

    fn validate(&self, trigger: &TriggerSpec) -> Vec<TriggerProblem> {
        read(trigger).1
    }

    fn bind(&self, trigger: &TriggerSpec) -> Result<BoundTrigger, Unknown> {
        match read(trigger) {
            (Some(query), _) => Ok(self.0.bind(query)),
            (None, problems) => Err(configuration(&problems)),
        }
    }
}

fn read(trigger: &TriggerSpec) -> (Option<WorkloadQuery>, Vec<TriggerProblem>) {
    let mut selector = None;
    let (workload, problems) = Workload::read(trigger, |text| {
        let parsed = LabelSelector::parse(text).map_err(|error| error.to_string())?;
        selector = Some(parsed);
        Ok(())
    });
    let query = workload
        .zip(selector)
        .map(|(workload, selector)| WorkloadQuery {
            namespace: workload.namespace.into(),
            selector,
            is_by_node: workload.is_by_node,
            target: workload.target,
            activation: workload.activation,
        });
    (query, problems)
}

#[cfg(test)]
mod tests {
    use zeron_core::ObjectRef;

    use super::*;

    #[test]
    fn a_selector_that_cannot_be_read_is_a_problem_of_its_parameter() {
        let trigger = TriggerSpec {
            object: ObjectRef {
                api_version: "keda.sh/v1alpha1".to_owned(),
                kind: "ScaledObject".to_owned(),
                namespace: "shop".to_owned(),
                name: "a".to_owned(),
            },
            index: 0,
            kind: "kubernetes-workload".to_owned(),
            metadata: [("podSelector", "app in ("), ("value", "1")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            from_environment: Default::default(),
            remote: Vec::new(),
            is_formula_input: false,
            auth: Default::default(),
        };
        let (query, problems) = read(&trigger);
        assert_eq!(query, None);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].parameter.as_deref(), Some("podSelector"));
    }
}
