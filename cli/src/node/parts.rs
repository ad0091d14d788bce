//! The running parts, and how a plan is brought to them.

use std::sync::Arc;

use tokio::runtime::Handle;
use zeron_activator::ActivatorHandle;
use zeron_autoscaler::EngineHandle;
use zeron_backend_process::ProcessBackend;
use zeron_core::Backend;

use super::plan::Plan;

/// Back end, engine and data plane.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) backend: Arc<ProcessBackend>,
    pub(crate) engine: EngineHandle,
    pub(crate) activator: ActivatorHandle,
    /// Where a thread of its own waits for the engine.
    pub(crate) runtime: Handle,
}

impl Parts {
    /// Brings the parts from `old` to `new`. New functions are known before routes lead to them,
    /// and routes end before their functions do. Blocks until the engine shows all of it: whoever
    /// asked for a change may look at once.
    pub(crate) fn apply(&self, old: &Plan, new: &Plan) {
        let difference = old.difference(new);
        for function in &difference.applied {
            self.backend.apply(Arc::clone(function));
        }
        self.activator.publish(Arc::new(new.snapshot()));
        for function in difference.applied {
            self.engine.apply(function);
        }
        for id in difference.removed {
            self.engine.remove(id.clone());
            self.backend.remove(&id);
        }
        self.runtime.block_on(self.engine.taken_in());
    }
}
