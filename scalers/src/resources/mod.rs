//! `cpu` and `memory`: what replicas use, against what they request.
//!
//! The platform measures ([`UsageMeter`]); how many replicas that asks for is decided here, by the
//! rules of the HorizontalPodAutoscaler, for all platforms alike.

mod calculate;
mod table;
mod trigger;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use zeron_core::FunctionId;
use zeron_core::metric::{Activity, MetricReading, Unknown, UnknownKind};
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::{BoundTrigger, BoxFuture, Scaler, TriggerHandle, TriggerProblem};
use zeron_core::usage::{Usage, UsageMeter};

use crate::registry::{SourceType, TriggerType, configuration};
use crate::source::unknown;

use trigger::ResourceTrigger;

/// The source of `cpu` and `memory` triggers. Clones share their triggers.
#[derive(Clone, Debug)]
pub struct Resources(Arc<ResourceScaler>);

impl Resources {
    /// Asks `meter` what replicas use.
    pub fn new(meter: Arc<dyn UsageMeter>) -> Self {
        Self(Arc::new(ResourceScaler {
            meter,
            triggers: Mutex::default(),
            next: AtomicU64::new(1),
        }))
    }
}

impl SourceType for Resources {
    fn types(&self) -> Vec<TriggerType> {
        table::TYPES.to_vec()
    }

    fn validate(&self, trigger: &TriggerSpec) -> Vec<TriggerProblem> {
        ResourceTrigger::read(trigger).1
    }

    fn bind(&self, trigger: &TriggerSpec) -> Result<BoundTrigger, Unknown> {
        let (Some(read), _) = ResourceTrigger::read(trigger) else {
            return Err(configuration(&self.validate(trigger)));
        };
        if read.function.name().is_empty() {
            let message = "nothing says whose replicas are measured".to_owned();
            return Err(unknown(UnknownKind::Configuration, message));
        }
        let handle = TriggerHandle(self.0.next.fetch_add(1, Ordering::Relaxed));
        self.0.triggers.lock().insert(handle, read);
        Ok(BoundTrigger {
            source: "resources".into(),
            scaler: Arc::clone(&self.0) as Arc<dyn Scaler>,
            handle,
        })
    }
}

/// Where nobody measures: parameters are checked all the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unmeasured;

impl SourceType for Unmeasured {
    fn types(&self) -> Vec<TriggerType> {
        table::TYPES.to_vec()
    }

    fn validate(&self, trigger: &TriggerSpec) -> Vec<TriggerProblem> {
        ResourceTrigger::read(trigger).1
    }

    fn bind(&self, trigger: &TriggerSpec) -> Result<BoundTrigger, Unknown> {
        let message = format!("nobody measures the {} of replicas here", trigger.kind);
        Err(unknown(UnknownKind::Configuration, message))
    }
}

struct ResourceScaler {
    meter: Arc<dyn UsageMeter>,
    triggers: Mutex<HashMap<TriggerHandle, ResourceTrigger>>,
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
        handles: &[TriggerHandle],
        timeout: Duration,
    ) -> Vec<Result<Vec<MetricReading>, Unknown>> {
        let triggers: Vec<Option<ResourceTrigger>> = {
            let known = self.triggers.lock();
            handles.iter().map(|it| known.get(it).cloned()).collect()
        };
        let functions: BTreeSet<FunctionId> = triggers
            .iter()
            .flatten()
            .map(|trigger| trigger.function.clone())
            .collect();
        let usage = tokio::time::timeout(timeout, self.meter.usage(&functions)).await;
        let usage = usage.unwrap_or_else(|_| {
            let message = format!("no resource metrics within {timeout:?}");
            Err(unknown(UnknownKind::Timeout, message))
        });
        let read = |trigger: &Option<ResourceTrigger>| {
            let trigger = trigger.as_ref().ok_or_else(|| {
                let message = "the trigger is not bound".to_owned();
                unknown(UnknownKind::Configuration, message)
            })?;
            reading(trigger, usage.as_ref().map_err(Clone::clone)?)
        };
        triggers.iter().map(read).collect()
    }
}

fn reading(trigger: &ResourceTrigger, usage: &Usage) -> Result<Vec<MetricReading>, Unknown> {
    if let Some(reason) = usage.unknown.get(&trigger.function) {
        return Err(reason.clone());
    }
    let replicas = usage.replicas.get(&trigger.function);
    let replicas = replicas.map_or(&[][..], Vec::as_slice);
    Ok(vec![MetricReading {
        metric: trigger.resource.name().to_owned(),
        value: calculate::ask(trigger, replicas, usage.now)?,
        target: trigger.target,
        // Alone it keeps its function up; beside others it has no say in that.
        activity: Activity::Declared(trigger.is_alone),
    }])
}

#[cfg(test)]
mod tests;
