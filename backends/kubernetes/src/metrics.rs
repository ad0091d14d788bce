//! Triggers of type `cpu` and `memory`: what pods use, against what they request.

mod calculate;
mod exposition;
mod parameters;
mod usage;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kube::Client;
use parking_lot::Mutex;
use zeron_core::metric::{Activity, MetricReading, Unknown, UnknownKind};
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::{BoundTrigger, BoxFuture, Scaler, TriggerHandle, TriggerProblem};
use zeron_core::{FunctionId, ScalerRegistry};

use crate::api::Caller;
use crate::counters::Counters;
use crate::pods::{Pods, wall};

use calculate::{PodFacts, ask};
use parameters::Parameters;
use usage::{Usage, UsageSource};

/// For one request to a metrics API or a kubelet.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A registry with `cpu` and `memory` beside the sources of another one.
///
/// Reads `metrics.k8s.io` where the cluster has it, else each kubelet's
/// `/metrics/resource` through the API server; needs `get` on `nodes/proxy` for that.
pub struct ResourceMetrics {
    others: Arc<dyn ScalerRegistry>,
    scaler: Arc<ResourceScaler>,
}

impl fmt::Debug for ResourceMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceMetrics")
            .field("others", &self.others)
            .finish_non_exhaustive()
    }
}

impl ResourceMetrics {
    /// Wraps `others`. `pods` tells which pods a function has and what they request.
    pub fn new(
        client: Client,
        pods: Pods,
        others: Arc<dyn ScalerRegistry>,
        counters: Arc<Counters>,
    ) -> Self {
        let caller = Caller::new(client, counters, TIMEOUT);
        Self {
            others,
            scaler: Arc::new(ResourceScaler {
                pods,
                source: UsageSource::new(caller),
                triggers: Mutex::default(),
                next: AtomicU64::new(1),
            }),
        }
    }
}

fn is_resource(kind: &str) -> bool {
    matches!(kind, "cpu" | "memory")
}

impl ScalerRegistry for ResourceMetrics {
    fn validate(&self, trigger: &TriggerSpec) -> Vec<TriggerProblem> {
        if !is_resource(&trigger.kind) {
            return self.others.validate(trigger);
        }
        let problem = Parameters::read(trigger).err();
        problem.into_iter().collect()
    }

    fn is_built_in(&self, kind: &str) -> bool {
        is_resource(kind) || self.others.is_built_in(kind)
    }

    fn bind(&self, trigger: &TriggerSpec) -> Result<BoundTrigger, Unknown> {
        if !is_resource(&trigger.kind) {
            return self.others.bind(trigger);
        }
        let parameters = Parameters::read(trigger).map_err(|problem| Unknown {
            kind: UnknownKind::Configuration,
            message: problem.message,
        })?;
        let handle = TriggerHandle(self.scaler.next.fetch_add(1, Ordering::Relaxed));
        self.scaler.triggers.lock().insert(handle, parameters);
        Ok(BoundTrigger {
            source: "kubernetes-resources".into(),
            scaler: Arc::clone(&self.scaler) as Arc<dyn Scaler>,
            handle,
        })
    }
}

struct ResourceScaler {
    pods: Pods,
    source: UsageSource,
    triggers: Mutex<HashMap<TriggerHandle, Parameters>>,
    next: AtomicU64,
}

impl fmt::Debug for ResourceScaler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceScaler")
            .field("triggers", &self.triggers.lock().len())
            .finish_non_exhaustive()
    }
}

impl Scaler for ResourceScaler {
    fn evaluate<'a>(
        &'a self,
        triggers: &'a [TriggerHandle],
        timeout: Duration,
    ) -> BoxFuture<'a, Vec<Result<Vec<MetricReading>, Unknown>>> {
        Box::pin(self.read_all(triggers, timeout))
    }

    fn release(&self, trigger: TriggerHandle) {
        self.triggers.lock().remove(&trigger);
    }
}

impl ResourceScaler {
    async fn read_all(
        &self,
        triggers: &[TriggerHandle],
        timeout: Duration,
    ) -> Vec<Result<Vec<MetricReading>, Unknown>> {
        let parameters: Vec<Option<Parameters>> = {
            let known = self.triggers.lock();
            triggers
                .iter()
                .map(|handle| known.get(handle).cloned())
                .collect()
        };
        let functions: BTreeSet<&FunctionId> = parameters
            .iter()
            .flatten()
            .map(|one| &one.function)
            .collect();
        let pods: BTreeMap<&FunctionId, Vec<PodFacts>> = functions
            .into_iter()
            .map(|id| (id, self.facts(id)))
            .collect();
        let usage = tokio::time::timeout(timeout, self.source.read(pods.values().flatten())).await;
        let usage = usage.unwrap_or_else(|_| {
            Err(Unknown {
                kind: UnknownKind::Timeout,
                message: format!("no resource metrics within {timeout:?}"),
            })
        });
        let answer = |parameters: &Option<Parameters>| -> Result<Vec<MetricReading>, Unknown> {
            let parameters = parameters.as_ref().ok_or_else(|| Unknown {
                kind: UnknownKind::Configuration,
                message: "the trigger is not bound".to_owned(),
            })?;
            let pods = pods.get(&parameters.function);
            let usage: &Usage = usage.as_ref().map_err(Clone::clone)?;
            let value = ask(parameters, pods.map_or(&[], Vec::as_slice), usage, wall())?;
            Ok(vec![MetricReading {
                metric: parameters.resource.name().to_owned(),
                value,
                target: parameters.target,
                // Alone it keeps its function up; beside others it has no say in that.
                activity: Activity::Declared(parameters.is_alone),
            }])
        };
        parameters.iter().map(answer).collect()
    }

    fn facts(&self, id: &FunctionId) -> Vec<PodFacts> {
        self.pods.read(|table| {
            let pods = table.pods_of(id);
            pods.map(|pod| PodFacts::of(pod, &table.names)).collect()
        })
    }
}
