//! What pods use, for triggers of type `cpu` and `memory`.

mod exposition;
mod facts;
mod usage;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use zeron_core::FunctionId;
use zeron_core::metric::Unknown;
use zeron_core::roles::BoxFuture;
use zeron_core::usage::{Usage, UsageMeter};

use crate::api::Caller;
use crate::counters::Counters;
use crate::following::unseen;
use crate::pods::{Pods, wall};

use facts::PodFacts;
use usage::UsageSource;

/// For one request to a metrics API or a kubelet.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Measures pods.
///
/// Reads `metrics.k8s.io` where the cluster has it, else each kubelet's
/// `/metrics/resource` through the API server; needs `get` on `nodes/proxy` for that.
pub struct PodMeter {
    pods: Pods,
    source: UsageSource,
}

impl fmt::Debug for PodMeter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PodMeter").finish_non_exhaustive()
    }
}

impl PodMeter {
    /// `pods` tells which pods a function has and what they request.
    pub fn new(client: Client, pods: Pods, counters: Arc<Counters>) -> Self {
        let caller = Caller::new(client, counters, TIMEOUT);
        Self {
            pods,
            source: UsageSource::new(caller),
        }
    }

    async fn read(&self, functions: &BTreeSet<FunctionId>) -> Result<Usage, Unknown> {
        let unknown: BTreeMap<FunctionId, Unknown> = functions
            .iter()
            .filter_map(|id| Some((id.clone(), self.unseen(id)?)))
            .collect();
        let seen = functions.iter().filter(|id| !unknown.contains_key(*id));
        let pods = seen.map(|id| (id.clone(), self.facts(id)));
        let pods: Vec<(FunctionId, Vec<PodFacts>)> = pods.collect();
        let all = pods.iter().flat_map(|(_, pods)| pods);
        let used = self.source.read(all).await?;
        let measured = |pod: PodFacts| {
            let used = used.of(&pod).cloned();
            pod.measured(used)
        };
        let replicas = pods
            .into_iter()
            .map(|(id, pods)| (id, pods.into_iter().map(measured).collect()));
        Ok(Usage {
            now: wall(),
            replicas: replicas.collect(),
            unknown,
        })
    }

    /// Why it is not known which pods a function has: those made while nobody watches are in no sum.
    fn unseen(&self, id: &FunctionId) -> Option<Unknown> {
        let age = self.pods.stale_for(id.namespace())?;
        Some(unseen("pods", age))
    }

    fn facts(&self, id: &FunctionId) -> Vec<PodFacts> {
        self.pods.read(|table| {
            let pods = table.pods_of(id);
            pods.map(|pod| PodFacts::of(pod, &table.names)).collect()
        })
    }
}

impl UsageMeter for PodMeter {
    fn usage<'a>(
        &'a self,
        functions: &'a BTreeSet<FunctionId>,
    ) -> BoxFuture<'a, Result<Usage, Unknown>> {
        Box::pin(self.read(functions))
    }
}
