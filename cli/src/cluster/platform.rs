//! What an autoscaler decides about: replicas, whose counts are written, and Jobs, which are made.

use std::sync::Arc;

use zeron_backend_kubernetes::jobs::Jobs;
use zeron_backend_kubernetes::scale::KubernetesBackend;
use zeron_core::{Backend, EndpointId, EndpointSink, Function, FunctionId};

/// Both as the one back end of an engine.
#[derive(Clone, Debug)]
pub(super) struct Platform {
    pub(super) replicas: Arc<KubernetesBackend>,
    pub(super) jobs: Jobs,
}

impl Backend for Platform {
    fn apply(&self, function: Arc<Function>) {
        self.replicas.apply(function);
    }

    fn remove(&self, function: &FunctionId) {
        self.replicas.remove(function);
    }

    fn scale(&self, function: &FunctionId, replicas: u32, victims: &[EndpointId]) {
        self.replicas.scale(function, replicas, victims);
    }

    fn withdraw(&self, function: &FunctionId) -> bool {
        self.replicas.withdraw(function)
    }

    fn create_jobs(&self, function: &FunctionId, begun: u64) {
        self.jobs.create(function, begun);
    }

    fn predicted_victims(&self, function: &FunctionId, replicas: u32) -> Option<Vec<EndpointId>> {
        self.replicas.predicted_victims(function, replicas)
    }

    fn subscribe(&self, sink: Arc<dyn EndpointSink>) {
        self.replicas.subscribe(Arc::clone(&sink));
        self.jobs.subscribe(sink);
    }
}
