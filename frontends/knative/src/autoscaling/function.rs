//! From a PodAutoscaler and the cluster's configuration to a function.

use std::num::NonZeroU32;

use zeron_core::function::{AdmissionPolicy, Timeouts};
use zeron_core::path::RequestPath;
use zeron_core::policy::{KnativeScaling, ScalePolicy, Scaling, TriggerGroup};
use zeron_core::workload::{Port, ReadinessProbe, ResourceAmounts};
use zeron_core::{Function, ObjectRef, Workload};

use super::config::ServingConfig;
use super::pod_autoscaler::{PodAutoscaler, Reachability, SERVICE_LABEL};
use crate::annotation::ScaleAnnotations;

const SERVING_API: &str = "serving.knative.dev/v1";

impl PodAutoscaler {
    /// How the revision scales: its annotations over the configuration. An annotation that does not
    /// parse counts as absent; Knative's webhook has refused it already.
    pub fn scaling(&self, config: &ServingConfig) -> KnativeScaling {
        let (annotations, _) = ScaleAnnotations::read(&self.metadata.annotations);
        let limit = self.concurrency_limit().map_or(0, NonZeroU32::get);
        let mut scaling = annotations.scaling(limit, &config.autoscaler);
        let declared = annotations.declared_progress_deadline();
        scaling.progress_deadline = declared.unwrap_or(config.progress_deadline);
        scaling.path = RequestPath::Serverless {
            is_scraped: scaling.target_burst_capacity != -1.0,
            is_always_proxied: config.has_internal_tls,
        };
        scaling
    }

    /// The function of its revision.
    pub fn function(&self, config: &ServingConfig) -> Function {
        let (annotations, _) = ScaleAnnotations::read(&self.metadata.annotations);
        let max = annotations.max.unwrap_or(config.autoscaler.max_scale);
        let group = TriggerGroup {
            source: self.object("Revision", &self.metadata.name),
            min: annotations.min.unwrap_or(config.autoscaler.min_scale),
            max: Some(max).filter(|max| *max > 0),
            scaling: Scaling::Knative(self.scaling(config)),
        };
        let service = self.metadata.labels.get(SERVICE_LABEL);
        let owner = match service {
            Some(service) => self.object("Service", service),
            None => group.source.clone(),
        };
        Function {
            id: self.function_id(),
            owner,
            workload: self.workload(config),
            protocol: self.protocol(),
            concurrency_limit: self.concurrency_limit(),
            timeouts: Timeouts::default(),
            scale: ScalePolicy {
                groups: vec![group],
                is_reachable: self.spec.reachability != Reachability::Unreachable,
                ..ScalePolicy::default()
            },
            admission: AdmissionPolicy::default(),
        }
    }

    fn concurrency_limit(&self) -> Option<NonZeroU32> {
        let limit = u32::try_from(self.spec.container_concurrency);
        limit.ok().and_then(NonZeroU32::new)
    }

    fn object(&self, kind: &str, name: &str) -> ObjectRef {
        ObjectRef {
            api_version: SERVING_API.to_owned(),
            kind: kind.to_owned(),
            namespace: self.metadata.namespace.clone(),
            name: name.to_owned(),
        }
    }

    /// The program is Knative's own business.
    fn workload(&self, config: &ServingConfig) -> Workload {
        Workload {
            command: Vec::new(),
            args: Vec::new(),
            env: Vec::new(),
            working_dir: None,
            image: None,
            port: Some(Port::Assigned),
            readiness: ReadinessProbe::default(),
            limits: ResourceAmounts::default(),
            requests: ResourceAmounts::default(),
            termination_grace: Timeouts::default().request.unwrap_or_default(),
            start_deadline: self.scaling(config).progress_deadline,
        }
    }
}
