//! What the rules look at in a pod, and where it is measured.

use std::sync::Arc;

use zeron_core::usage::{ReplicaUsage, Used};

use crate::pods::{Interner, Pod};

/// One pod.
#[derive(Clone, Debug)]
pub(crate) struct PodFacts {
    pub(crate) namespace: Arc<str>,
    pub(crate) node: Option<Arc<str>>,
    /// Not measured yet.
    replica: ReplicaUsage,
}

impl PodFacts {
    pub(crate) fn of(pod: &Pod, names: &Interner) -> Self {
        Self {
            namespace: names.text(pod.namespace).into(),
            node: pod.node.map(|node| names.text(node).into()),
            replica: ReplicaUsage {
                name: Arc::clone(&pod.name),
                requests: Arc::clone(&pod.shape.requests),
                // It has an address.
                is_started: pod.ip.is_some(),
                is_ready: pod.is_ready,
                is_draining: pod.is_draining,
                started: pod.started,
                ready_changed: pod.ready_changed,
                used: None,
            },
        }
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.replica.name
    }

    /// The pod with what it uses, as far as somebody measured it.
    pub(crate) fn measured(self, used: Option<Used>) -> ReplicaUsage {
        ReplicaUsage {
            used,
            ..self.replica
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use zeron_core::Timestamp;

    use super::*;

    /// A pod that is ready.
    pub(in crate::metrics) fn pod(namespace: &str, name: &str, node: &str) -> PodFacts {
        PodFacts {
            namespace: namespace.into(),
            node: Some(node.into()),
            replica: ReplicaUsage {
                name: name.into(),
                requests: [].into(),
                is_started: true,
                is_ready: true,
                is_draining: false,
                started: Timestamp::from_secs(1),
                ready_changed: Timestamp::from_secs(5),
                used: None,
            },
        }
    }
}
