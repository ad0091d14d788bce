//! What others may see of a function: the newest facts, put together on demand.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use zeron_core::decision::Rule;
use zeron_core::metric::{MetricValue, UnknownKind};
use zeron_core::path::PathAsk;
use zeron_core::status::{FunctionStatus, Phase, TriggerStatus};
use zeron_core::{
    Decision, EndpointSnapshot, Function, FunctionId, JobCounts, StartFailure, Timestamp,
};

use super::history::History;
use crate::decide::joined_bounds;

/// Changes that a slow subscriber may be behind.
pub(crate) const CHANGES: usize = 1_024;

/// The newest facts of one function.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) function: Arc<Function>,
    pub(crate) endpoints: Option<Arc<EndpointSnapshot>>,
    pub(crate) desired: u32,
    pub(crate) asked: u32,
    pub(crate) is_draining: bool,
    pub(crate) in_flight: u32,
    pub(crate) queued: u32,
    pub(crate) triggers: Arc<[TriggerStatus]>,
    pub(crate) since: Timestamp,
    pub(crate) last_active: Option<Timestamp>,
    /// Why it could not start, until it has: said also at zero, where the platform forgets it.
    pub(crate) failed: Option<StartFailure>,
    /// What is asked of a switched path.
    pub(crate) path: Option<PathAsk>,
    /// Its Jobs, where it has some instead of replicas.
    pub(crate) jobs: Option<JobCounts>,
}

/// One function, as others see it.
#[derive(Debug)]
pub(crate) struct View {
    facts: Mutex<Facts>,
    history: Mutex<History>,
}

impl View {
    pub(crate) fn new(facts: Facts) -> Self {
        Self {
            facts: Mutex::new(facts),
            history: Mutex::default(),
        }
    }

    pub(crate) fn facts(&self) -> Facts {
        self.facts.lock().clone()
    }

    /// Replaces the facts; true when somebody who looks would see another phase or count.
    pub(crate) fn update(&self, mut facts: Facts) -> bool {
        let mut known = self.facts.lock();
        facts.failed = facts.failed_since(known.failed.take());
        let after = facts.summary();
        let before = std::mem::replace(&mut *known, facts);
        drop(known);
        before.summary() != after
    }

    pub(crate) fn remember(&self, decision: Arc<Decision>, limit: usize) {
        self.history.lock().push(decision, limit);
    }

    pub(crate) fn history(&self) -> Vec<Arc<Decision>> {
        self.history.lock().to_vec()
    }

    pub(crate) fn status(&self) -> FunctionStatus {
        let latest = self.history.lock().latest().cloned();
        self.facts().status(latest.as_deref())
    }
}

impl Facts {
    pub(crate) fn ready(&self) -> u32 {
        match self.jobs {
            Some(jobs) => jobs.running.saturating_sub(jobs.pending),
            None => self.endpoints.as_ref().map_or(0, |it| it.ready()),
        }
    }

    fn starting(&self) -> u32 {
        self.asked.saturating_sub(self.ready())
    }

    fn summary(&self) -> Summary {
        Summary {
            phase: self.phase(),
            counts: (self.desired, self.ready()),
            paused_at: self.paused_at(),
            path: self.path.map(|path| PathAsk {
                // What changes with every tick is there for whoever looks.
                excess_burst_capacity: 0.0,
                stable: 0.0,
                panic: 0.0,
                ..path
            }),
            triggers: self
                .triggers
                .iter()
                .map(|it| {
                    let is_failing = it.health.failures > 0;
                    let is_pushed = it.push_trouble.is_none();
                    [it.is_active, is_failing, it.health.is_fallback, is_pushed]
                })
                .collect(),
        }
    }

    fn paused_at(&self) -> Option<u32> {
        let pause = self.function.scale.pause;
        pause.at.or(pause.is_frozen.then_some(self.desired))
    }

    /// A trigger that fails, as opposed to one that was not asked yet.
    fn failing(&self) -> Option<&str> {
        self.triggers
            .iter()
            .find_map(|trigger| match &trigger.value {
                MetricValue::Unknown { reason, .. } if reason.kind != UnknownKind::NotRead => {
                    Some(reason.message.as_str())
                }
                MetricValue::Unknown { .. } | MetricValue::Known { .. } => None,
            })
    }

    fn failure(&self) -> Option<&StartFailure> {
        self.endpoints.as_ref()?.failure.as_ref()
    }

    /// The newest final failure, unless a start has succeeded since.
    fn failed_since(&self, before: Option<StartFailure>) -> Option<StartFailure> {
        let newest = self.failure().filter(|failure| failure.is_final).cloned();
        newest.or(before).filter(|_| self.ready() == 0)
    }

    pub(crate) fn phase(&self) -> Phase {
        let pause = self.function.scale.pause;
        let is_start_failing = self.failure().is_some() && self.ready() == 0 && self.asked > 0;
        if pause.is_frozen || pause.at.is_some() {
            Phase::Paused
        } else if is_start_failing || self.failing().is_some() {
            Phase::Degraded
        } else if self.is_draining {
            Phase::Draining
        } else if self.ready() > 0 {
            Phase::Active
        } else if self.asked > 0 {
            Phase::Starting
        } else {
            Phase::Cold
        }
    }

    fn message(&self, latest: Option<&Decision>) -> Option<String> {
        if let Some(failure) = self.failure() {
            return Some(format!("{}: {}", failure.reason, failure.message));
        }
        if let Some(message) = self.failing() {
            return Some(message.to_owned());
        }
        let mut rules = latest.into_iter().flat_map(|it| &it.rules);
        let rule = rules.find_map(|rule| match rule {
            Rule::Conflict { min, max } => Some(format!(
                "minimum {min} of one object lies above maximum {max} of another"
            )),
            Rule::Paused { at } => Some(format!("paused at {at}")),
            Rule::FormulaFailed { message } => Some(message.clone()),
            _ => None,
        });
        rule.or_else(|| self.unpushed())
    }

    fn unpushed(&self) -> Option<String> {
        self.triggers.iter().find_map(|it| {
            let trouble = it.push_trouble.as_ref()?;
            Some(format!("{} is polled alone: {trouble}", it.metric))
        })
    }

    fn status(self, latest: Option<&Decision>) -> FunctionStatus {
        FunctionStatus {
            phase: self.phase(),
            message: self.message(latest),
            desired: self.desired,
            ready: self.ready(),
            starting: self.starting(),
            max: joined_bounds(&self.function.scale).1,
            in_flight: self.in_flight,
            queued: self.queued,
            triggers: self.triggers.to_vec(),
            failure: self.failure().or(self.failed.as_ref()).cloned(),
            since: self.since,
            last_active: self.last_active,
            paused_at: self.paused_at(),
            held: latest.map(held).unwrap_or_default(),
            path: self.path,
            id: self.function.id.clone(),
            owner: self.function.owner.clone(),
        }
    }
}

/// What somebody who follows changes wants to hear of.
#[derive(PartialEq)]
struct Summary {
    phase: Phase,
    counts: (u32, u32),
    paused_at: Option<u32>,
    path: Option<PathAsk>,
    /// Of each: whether it is active, whether it fails, whether a fallback stands in for it, whether its source
    /// pushes as far as it should.
    triggers: Vec<[bool; 4]>,
}

/// The rules of a decision that keep its count from what its inputs ask for.
fn held(decision: &Decision) -> Vec<Rule> {
    let rules = decision.rules.iter().filter(|rule| {
        matches!(
            rule,
            Rule::Panic { .. }
                | Rule::ScaleDownRate { .. }
                | Rule::ScaleDownDelay { .. }
                | Rule::Stabilization { .. }
                | Rule::Behavior { .. }
                | Rule::ZeroNotBefore { .. }
                | Rule::ScaleToZeroDisabled
                | Rule::Busy { .. }
                | Rule::Unknown { .. }
                | Rule::Paused { .. }
                | Rule::ScaleInPaused
                | Rule::ScaleOutPaused
                | Rule::ExternalWriter
        )
    });
    rules.cloned().collect()
}

/// All functions.
#[derive(Debug, Default)]
pub(crate) struct Views {
    by_id: RwLock<HashMap<FunctionId, Arc<View>>>,
}

impl Views {
    pub(crate) fn get(&self, function: &FunctionId) -> Option<Arc<View>> {
        self.by_id.read().get(function).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<View>> {
        self.by_id.read().values().cloned().collect()
    }

    pub(crate) fn insert(&self, function: FunctionId, view: Arc<View>) {
        self.by_id.write().insert(function, view);
    }

    pub(crate) fn remove(&self, function: &FunctionId) {
        self.by_id.write().remove(function);
    }
}
