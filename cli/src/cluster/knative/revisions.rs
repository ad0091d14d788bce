//! Revisions that are ours, told to the pod watch, the back end, the engine and the scraper.

use std::sync::Arc;

use zeron_autoscaler::scrape::{MeshCompatibility, ScrapeOutcome, ScrapeTarget, ScraperHandle};
use zeron_autoscaler::{EngineHandle, Found};
use zeron_backend_kubernetes::scale::KubernetesBackend;
use zeron_backend_kubernetes::{Pods, ScaleTarget};
use zeron_controller::knative::{Revision, RevisionSink};
use zeron_core::path::PathFacts;
use zeron_core::status::FunctionStatus;
use zeron_core::{Backend, FunctionId};
use zeron_frontend_knative::autoscaling::{self, Collection, ServingConfig};

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Revisions {
    pub(super) pods: Pods,
    pub(super) backend: Arc<KubernetesBackend>,
    pub(super) engine: EngineHandle,
    pub(super) scraper: ScraperHandle,
}

impl Revisions {
    fn declared(&self, target: &ScaleTarget) {
        if let Some(count) = target.replicas {
            self.engine.sink().declared(&target.id, count);
        }
    }
}

impl RevisionSink for Revisions {
    /// The pods first: the engine starts at the count that it finds.
    fn apply(&self, revision: &Revision) {
        let function = &revision.function;
        self.pods.declare(revision.target.clone());
        self.backend.apply(Arc::clone(function));
        if revision.is_new {
            let found = Found {
                last_active: None,
                replicas: revision.target.replicas,
            };
            self.engine.apply_found(Arc::clone(function), found);
        } else {
            self.engine.apply(Arc::clone(function));
        }
        self.declared(&revision.target);
        match &revision.scrape {
            Some(scrape) => {
                let target = ScrapeTarget {
                    stable_window: scrape.stable_window,
                    service: Arc::clone(&scrape.service),
                    owner: match function.owner.kind.as_str() {
                        "Service" => function.owner.name.as_str().into(),
                        _ => "".into(),
                    },
                };
                self.scraper.watch(&function.id, target);
            }
            None => self.scraper.forget(&function.id),
        }
    }

    fn retarget(&self, target: &ScaleTarget) {
        self.pods.declare(target.clone());
        self.declared(target);
    }

    fn forget(&self, id: &FunctionId) {
        self.engine.remove(id.clone());
        self.backend.remove(id);
        self.scraper.forget(id);
        self.pods.forget(id);
    }

    fn observe_path(&self, id: &FunctionId, facts: PathFacts) {
        self.engine.observe_path(id, facts);
    }

    fn status(&self, id: &FunctionId) -> Option<FunctionStatus> {
        self.engine.status(id)
    }

    fn collection(&self, id: &FunctionId) -> Collection {
        match self.scraper.outcome(id) {
            // Whoever is not asked yet did not fail.
            None | Some(ScrapeOutcome::Collected) => Collection::Collected,
            Some(ScrapeOutcome::NoStat) => Collection::NoStat,
            Some(ScrapeOutcome::Failed(why)) => Collection::Failed(why),
        }
    }

    fn configure(&self, config: &ServingConfig) {
        self.scraper.set_mode(match config.mesh_compatibility {
            autoscaling::MeshCompatibility::Auto => MeshCompatibility::Auto,
            autoscaling::MeshCompatibility::Enabled => MeshCompatibility::Enabled,
            autoscaling::MeshCompatibility::Disabled => MeshCompatibility::Disabled,
        });
    }
}
