//! All Revisions, and what changed of them. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use zeron_backend_kubernetes::RevisionTarget;
use zeron_core::FunctionId;
use zeron_core::route::{RouteSnapshot, RoutedFunction};

use super::revision::RawRevision;

#[derive(Debug, Default)]
pub(super) struct Table {
    revisions: BTreeMap<FunctionId, Known>,
    changed: BTreeSet<FunctionId>,
}

#[derive(Debug)]
struct Known {
    routed: RoutedFunction,
    target: RevisionTarget,
    /// The full list that it was last seen in.
    generation: u64,
}

/// What changed since the last call.
#[derive(Debug)]
pub(super) struct News {
    /// All of them.
    pub(super) routes: Arc<RouteSnapshot>,
    pub(super) declared: Vec<RevisionTarget>,
    pub(super) gone: Vec<FunctionId>,
}

impl Table {
    /// Takes one Revision, as seen in full list `generation` or after it.
    pub(super) fn apply(&mut self, raw: &RawRevision, generation: u64) {
        let (Some(routed), Some(target)) = (raw.routed(), raw.target()) else {
            return;
        };
        let id = routed.function.id.clone();
        if let Some(known) = self.revisions.get_mut(&id)
            && known.target == target
            && known.routed.function == routed.function
        {
            // Most changes are of its status.
            known.generation = generation;
            return;
        }
        let known = Known {
            routed,
            target,
            generation,
        };
        self.revisions.insert(id.clone(), known);
        self.changed.insert(id);
    }

    pub(super) fn delete(&mut self, raw: &RawRevision) {
        if let Some(id) = raw.id()
            && self.revisions.remove(&id).is_some()
        {
            self.changed.insert(id);
        }
    }

    /// Forgets what was not in full list `generation`.
    pub(super) fn sweep(&mut self, generation: u64) {
        let is_old = |_: &FunctionId, known: &mut Known| known.generation < generation;
        let gone = self.revisions.extract_if(.., is_old);
        self.changed.extend(gone.map(|(id, _)| id));
    }

    pub(super) fn has_news(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Everything, and what changed of it.
    pub(super) fn take_news(&mut self) -> News {
        let functions = self.revisions.values().map(|known| known.routed.clone());
        let routes = Arc::new(RouteSnapshot {
            routes: Vec::new(),
            functions: functions.collect(),
        });
        let (mut declared, mut gone) = (Vec::new(), Vec::new());
        for id in std::mem::take(&mut self.changed) {
            match self.revisions.get(&id) {
                Some(known) => declared.push(known.target.clone()),
                None => gone.push(id),
            }
        }
        News {
            routes,
            declared,
            gone,
        }
    }
}
