//! Who else writes the replicas of a function.

use std::collections::BTreeMap;

use zeron_core::Function;
use zeron_core::policy::Writer;

use super::changes::Conflict;
use super::compile::Verdict;
use super::facts::Facts;
use super::key::ObjectKey;
use super::members::Members;
use super::{KedaLife, Projection};

impl Projection {
    /// Whoever else writes the replicas: then we do not.
    pub(super) fn conflict(
        &self,
        members: &Members,
        function: &mut Function,
        verdicts: &BTreeMap<ObjectKey, Verdict>,
    ) -> Option<Conflict> {
        let is_keda_there = self.keda != KedaLife::Gone;
        let is_left = |key: &&ObjectKey| {
            let is_keda_needed = |v: &Verdict| !v.not_built_in.is_empty();
            self.is_lent(key) || is_keda_there && verdicts.get(key).is_some_and(is_keda_needed)
        };
        let scales = |key: &&ObjectKey| match self.index.facts(key) {
            Some(Facts::Scaled(_) | Facts::Job(_)) => true,
            Some(Facts::Http(http)) => http.is_scaling,
            _ => false,
        };
        let foreign = members.foreign.iter().filter(scales);
        let owner = foreign.chain(members.ours.iter().filter(is_left)).next();
        let conflict = match owner {
            Some(owner) => Some(Conflict::Unmanaged {
                owner: owner.clone(),
            }),
            None => self.autoscaler(members),
        };
        if members.ours.iter().any(|key| self.is_returning(key)) {
            function.scale.pause.scale_in = true;
        }
        let conflict = conflict?;
        // Where we would not write anyway, somebody else is meant to.
        let is_meant = function.scale.writer == Writer::External;
        function.scale.writer = Writer::External;
        Some(conflict).filter(|_| !is_meant)
    }

    /// Whether requests wait while somebody else writes the replicas: an import or a handback is under
    /// way, and at its end somebody wakes the function. Of any other they would wait in vain.
    pub(super) fn is_held(&self, members: &Members, conflict: Option<&Conflict>) -> bool {
        let is_kedas = matches!(
            conflict,
            Some(Conflict::Unmanaged { .. } | Conflict::KedaHpa { .. })
        );
        is_kedas && members.ours.iter().any(|key| self.is_moving(key))
    }

    fn autoscaler(&self, members: &Members) -> Option<Conflict> {
        let conflict = |key: &ObjectKey| {
            let Facts::Autoscaler(facts) = self.index.facts(key)? else {
                return None;
            };
            let name = key.name.to_string();
            if !facts.is_keda {
                return Some(Conflict::ForeignHpa { name });
            }
            // KEDA's own too, until the import has deleted it: there are never two writers.
            Some(Conflict::KedaHpa { name })
        };
        members.autoscalers.iter().find_map(conflict)
    }
}
