//! Which of the declared functions this process decides for: those of the shards that it holds.

use std::collections::{BTreeMap, BTreeSet};

use zeron_backend_kubernetes::shards::shard_of;
use zeron_controller::projection::{Changes, Declared, ObjectKey, ObjectReport};
use zeron_core::FunctionId;

use crate::control::Shards;

/// What to tell the engine and the back end.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// From now on it is ours: it starts at the count that is found.
    Take(Declared),
    /// It is ours already, and changed.
    Update(Declared),
    /// It is not ours any more, or nobody's.
    Drop(FunctionId),
}

/// All that is declared, and which part of it is ours.
#[derive(Debug)]
pub(super) struct Ownership {
    shards: u32,
    held: BTreeSet<u32>,
    declared: BTreeMap<FunctionId, Declared>,
    reports: BTreeMap<ObjectKey, ObjectReport>,
}

impl Ownership {
    /// Nothing is known and nothing held.
    pub(super) fn new(shards: u32) -> Self {
        Self {
            shards,
            held: BTreeSet::new(),
            declared: BTreeMap::new(),
            reports: BTreeMap::new(),
        }
    }

    /// Takes in what changed.
    pub(super) fn change(&mut self, changes: Changes) -> Vec<Step> {
        for key in changes.forgotten {
            self.reports.remove(&key);
        }
        for report in changes.reports {
            self.reports.insert(report.object.clone(), report);
        }
        let mut steps = Vec::new();
        for id in changes.removed {
            if self.declared.remove(&id).is_some() && self.owns(&id) {
                steps.push(Step::Drop(id));
            }
        }
        for declared in changes.applied {
            let id = declared.function.id.clone();
            let older = self.declared.insert(id.clone(), declared.clone());
            match (self.owns(&id), older) {
                (true, None) => steps.push(Step::Take(declared)),
                (true, Some(older)) if older != declared => steps.push(Step::Update(declared)),
                (true, Some(_)) | (false, _) => {}
            }
        }
        steps
    }

    /// Holds these shards from now on.
    pub(super) fn hold(&mut self, held: BTreeSet<u32>) -> Vec<Step> {
        let before = std::mem::replace(&mut self.held, held);
        let step = |(id, declared): (&FunctionId, &Declared)| {
            let shard = shard_of(id, self.shards);
            match (before.contains(&shard), self.held.contains(&shard)) {
                (false, true) => Some(Step::Take(declared.clone())),
                (true, false) => Some(Step::Drop(id.clone())),
                (true, true) | (false, false) => None,
            }
        };
        self.declared.iter().filter_map(step).collect()
    }

    /// Whether the function's shard is held.
    pub(super) fn owns(&self, function: &FunctionId) -> bool {
        self.held.contains(&shard_of(function, self.shards))
    }

    /// Which shards there are, and which of them are held.
    pub(super) fn shards(&self) -> Shards {
        Shards {
            count: self.shards,
            held: self.held.clone(),
        }
    }

    /// A function, if it is declared and ours.
    pub(super) fn declared(&self, function: &FunctionId) -> Option<&Declared> {
        self.declared.get(function).filter(|_| self.owns(function))
    }

    /// Whether a function is declared, whoever decides for it.
    pub(super) fn is_declared(&self, function: &FunctionId) -> bool {
        self.declared.contains_key(function)
    }

    /// How an object fares, if its status is ours to write: that of its function's owner, or of
    /// the object's own name where it has no function.
    pub(super) fn report(&self, object: &ObjectKey) -> Option<&ObjectReport> {
        let report = self.reports.get(object)?;
        self.owns(&concerns(report)).then_some(report)
    }

    /// All objects whose status is ours to write.
    pub(super) fn reported(&self) -> impl Iterator<Item = &ObjectReport> {
        let is_ours = |report: &&ObjectReport| self.owns(&concerns(report));
        self.reports.values().filter(is_ours)
    }
}

fn concerns(report: &ObjectReport) -> FunctionId {
    report.function.clone().unwrap_or_else(|| {
        let (_, kind) = report.object.kind.api();
        FunctionId::new(&report.object.namespace, kind, &report.object.name)
    })
}

#[cfg(test)]
#[path = "ownership_tests.rs"]
mod tests;
