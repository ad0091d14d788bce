//! What is remembered of a PodAutoscaler that is ours.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use zeron_backend_kubernetes::ScaleTarget;
use zeron_core::path::{ActivatorProbe, FoundPath, PathFacts};
use zeron_core::{Function, FunctionId};
use zeron_frontend_knative::autoscaling::{
    PodAutoscaler, PodAutoscalerStatus, ServerlessService, ServingConfig,
};

use super::Scrape;

/// From one probe of a Service to the next.
pub(super) const PROBE_PERIOD: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A PodAutoscaler that is ours.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: FunctionId,
    /// Which object of its name it is.
    pub(super) uid: Option<String>,
    /// Its conditions when it became ours.
    found: Option<FoundPath>,
    /// The function that its spec and the configuration make, and of which versions.
    compiled: Option<Compiled>,
    /// What the sink was told.
    pub(super) told: Option<Told>,
    pub(super) facts: Option<PathFacts>,
    pub(super) probe: Probe,
    pub(super) writing: Writing,
    /// The status that was written last, or waits to be.
    pub(super) published: Option<PodAutoscalerStatus>,
}

#[derive(Debug)]
struct Compiled {
    version: Option<String>,
    config: Arc<ServingConfig>,
    function: Arc<Function>,
}

/// What the sink knows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told {
    pub(super) function: Arc<Function>,
    pub(super) scrape: Option<Scrape>,
    pub(super) target: ScaleTarget,
}

/// Whether the public Service is being asked for an activator.
#[derive(Debug, Default)]
pub(super) struct Probe {
    pub(super) newest: Option<ActivatorProbe>,
    pub(super) is_under_way: bool,
    /// Not before this.
    pub(super) not_before: Option<Instant>,
}

/// Writes to its children.
#[derive(Debug, Default)]
pub(super) struct Writing {
    pub(super) is_under_way: bool,
    /// After a failure: not before this.
    pub(super) not_before: Option<Instant>,
    failures: u32,
}

impl Entry {
    pub(super) fn new(autoscaler: &PodAutoscaler) -> Self {
        Self {
            id: autoscaler.function_id(),
            uid: autoscaler.metadata.uid.clone(),
            found: autoscaler.found_path(),
            compiled: None,
            told: None,
            facts: None,
            probe: Probe::default(),
            writing: Writing::default(),
            published: None,
        }
    }

    /// Its function: made again only when the object or the configuration is another one.
    pub(super) fn function(
        &mut self,
        autoscaler: &PodAutoscaler,
        config: &Arc<ServingConfig>,
    ) -> Arc<Function> {
        let version = &autoscaler.metadata.resource_version;
        if let Some(compiled) = &self.compiled
            && compiled.version == *version
            && Arc::ptr_eq(&compiled.config, config)
        {
            return Arc::clone(&compiled.function);
        }
        let made = autoscaler.function(config);
        let same = self.compiled.take().filter(|c| *c.function == made);
        let function = same.map_or_else(|| Arc::new(made), |compiled| compiled.function);
        self.compiled = Some(Compiled {
            version: version.clone(),
            config: Arc::clone(config),
            function: Arc::clone(&function),
        });
        function
    }

    /// What is seen of the path of its requests.
    pub(super) fn facts_now(&self, service: Option<&ServerlessService>) -> PathFacts {
        PathFacts {
            probe: self.probe.newest,
            found: self.found,
            ..service.map_or_else(PathFacts::default, ServerlessService::path_facts)
        }
    }
}

impl Writing {
    /// A write ended; returns when the next may be made after a failure.
    pub(super) fn end(&mut self, is_done: bool, now: Instant) -> Option<Instant> {
        self.is_under_way = false;
        if is_done {
            self.failures = 0;
            self.not_before = None;
            return None;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + pause.min(LONGEST_PAUSE));
        self.not_before
    }
}
