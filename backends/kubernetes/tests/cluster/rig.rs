//! The back end over a namespace.

use std::sync::Arc;
use std::time::Duration;

use zeron_backend_kubernetes::{
    Counters, KubernetesBackend, Pods, PodsConfig, ScaleConfig, ScaleTarget,
};
use zeron_core::function::Protocol;
use zeron_core::workload::Workload;
use zeron_core::{Backend, Function, ObjectRef};

use crate::support::{Cluster, Watched, until};

/// The back end over a namespace.
pub(crate) struct Rig {
    pub(crate) cluster: Cluster,
    pub(crate) pods: Pods,
    pub(crate) backend: Arc<KubernetesBackend>,
    pub(crate) watched: Arc<Watched>,
}

impl Rig {
    pub(crate) async fn new(cluster: Cluster) -> Self {
        let counters = Arc::new(Counters::new());
        let config = PodsConfig {
            namespaces: vec![cluster.namespace.clone()],
            ..PodsConfig::default()
        };
        let client = || cluster.client.clone();
        let pods = Pods::start(client(), config, Arc::clone(&counters));
        let scale = ScaleConfig::default();
        let backend = KubernetesBackend::start(client(), pods.clone(), scale, counters);
        let watched = Arc::new(Watched::default());
        backend.subscribe(Arc::clone(&watched) as Arc<dyn zeron_core::EndpointSink>);
        pods.synced().await;
        Self {
            cluster,
            pods,
            backend,
            watched,
        }
    }

    pub(crate) fn declare(&self, target: &ScaleTarget) {
        self.pods.declare(target.clone());
        self.backend.apply(Arc::new(function(target)));
    }

    /// Until nothing waits to be written.
    pub(crate) async fn settled(&self) {
        until("nothing waits", || async { self.backend.waiting() == 0 }).await;
    }
}

pub(crate) fn function(target: &ScaleTarget) -> Function {
    Function {
        workload: Workload {
            termination_grace: Duration::from_secs(1),
            start_deadline: Duration::from_secs(60),
            ..Workload::default()
        },
        ..Function::new(
            target.id.clone(),
            ObjectRef {
                api_version: target.api_version.to_string(),
                kind: target.kind.to_string(),
                namespace: target.namespace.to_string(),
                name: target.name.to_string(),
            },
            Protocol::Http1,
        )
    }
}
