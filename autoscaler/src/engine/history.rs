//! The last decisions of one function.

use std::collections::VecDeque;
use std::sync::Arc;

use zeron_core::Decision;
use zeron_core::decision::Rule;

/// A bounded ring. Of a run of decisions that repeat each other it keeps the first and the newest:
/// when it began, and what is known now.
#[derive(Debug, Default)]
pub(crate) struct History {
    decisions: VecDeque<Arc<Decision>>,
}

impl History {
    pub(crate) fn push(&mut self, decision: Arc<Decision>, limit: usize) {
        let len = self.decisions.len();
        let repeats = self
            .decisions
            .iter()
            .rev()
            .take(2)
            .all(|earlier| is_repeated(earlier, &decision));
        if len >= 2 && repeats {
            self.decisions.pop_back();
        } else if len >= limit.max(2) {
            self.decisions.pop_front();
        }
        self.decisions.push_back(decision);
    }

    pub(crate) fn latest(&self) -> Option<&Arc<Decision>> {
        self.decisions.back()
    }

    pub(crate) fn to_vec(&self) -> Vec<Arc<Decision>> {
        self.decisions.iter().cloned().collect()
    }
}

/// The same counts for the same kinds of reasons; values and times may differ.
fn is_repeated(earlier: &Decision, later: &Decision) -> bool {
    let rules = |decision: &Decision| -> Vec<std::mem::Discriminant<Rule>> {
        decision.rules.iter().map(std::mem::discriminant).collect()
    };
    let winner = |decision: &Decision| decision.winner.map(|at| decision.asks[at].metric.clone());
    earlier.desired == earlier.current
        && later.desired == later.current
        && earlier.desired == later.desired
        && earlier.ready == later.ready
        && winner(earlier) == winner(later)
        && rules(earlier) == rules(later)
}
