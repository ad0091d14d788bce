//! The answers of several autoscalers as one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use zeron_backend_kubernetes::shard_of;
use zeron_core::FunctionId;

use crate::control::{FunctionView, Problem, Shards};

/// What one autoscaler said.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) functions: Vec<FunctionView>,
    pub(super) shards: Shards,
    pub(super) problems: Vec<Problem>,
}

/// What all of them said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Joined {
    /// Each once, as the autoscaler that decides for it sees it.
    pub(super) functions: Vec<FunctionView>,
    /// Whose answer that was: an index of the answers.
    pub(super) owners: BTreeMap<FunctionId, usize>,
    /// Each once.
    pub(super) problems: Vec<Problem>,
    /// What is missing.
    pub(super) gap: Option<Gap>,
    /// Numbers of shards, where autoscalers disagree about it.
    pub(super) counts: BTreeSet<u32>,
}

/// Shards that are held by nobody who answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    count: u32,
    missing: Vec<u32>,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let missing: Vec<String> = self.missing.iter().map(u32::to_string).collect();
        let (noun, verb) = match missing.len() {
            1 => ("shard", "is"),
            _ => ("shards", "are"),
        };
        let (missing, count) = (missing.join(", "), self.count);
        write!(
            f,
            "{noun} {missing} of {count} {verb} held by no autoscaler that answered: the functions there are not shown"
        )
    }
}

/// Joins the answers.
///
/// While a shard changes hands two may know its functions: the one that holds it is right.
pub(super) fn join(answers: Vec<Answer>) -> Joined {
    let counts: BTreeSet<u32> = answers.iter().map(|it| it.shards.count).collect();
    let gap = gap(&answers);
    let mut known: BTreeMap<FunctionId, (bool, usize, FunctionView)> = BTreeMap::new();
    let mut problems: Vec<Problem> = Vec::new();
    for (index, answer) in answers.into_iter().enumerate() {
        for view in answer.functions {
            let id = view.status.id.clone();
            let is_holder = holds(&answer.shards, &id);
            let is_better = known.get(&id).is_none_or(|(held, _, _)| is_holder && !held);
            if is_better {
                known.insert(id, (is_holder, index, view));
            }
        }
        problems.extend(answer.problems);
    }
    problems.sort_by(|a, b| (&a.object, &a.message).cmp(&(&b.object, &b.message)));
    problems.dedup();
    let owner =
        |(id, (_, index, _)): (&FunctionId, &(bool, usize, FunctionView))| (id.clone(), *index);
    Joined {
        owners: known.iter().map(owner).collect(),
        functions: known.into_values().map(|(_, _, view)| view).collect(),
        problems,
        gap,
        counts,
    }
}

fn holds(shards: &Shards, id: &FunctionId) -> bool {
    shards.held.contains(&shard_of(id, shards.count))
}

/// Of autoscalers that disagree about the number of shards, those with the most count.
fn gap(answers: &[Answer]) -> Option<Gap> {
    let count = answers.iter().map(|it| it.shards.count).max()?;
    let agreeing = answers.iter().filter(|it| it.shards.count == count);
    let held: BTreeSet<u32> = agreeing.flat_map(|it| &it.shards.held).copied().collect();
    let missing: Vec<u32> = (0..count).filter(|shard| !held.contains(shard)).collect();
    (!missing.is_empty()).then_some(Gap { count, missing })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testkit::{deployment, problem};

    fn answer(held: &[u32], functions: &[FunctionView]) -> Answer {
        Answer {
            functions: functions.to_vec(),
            shards: Shards {
                count: 4,
                held: held.iter().copied().collect(),
            },
            problems: Vec::new(),
        }
    }

    fn desired(name: &str, desired: u32) -> FunctionView {
        let mut view = deployment(name);
        view.status.desired = desired;
        view
    }

    #[test]
    fn functions_of_all_are_shown_and_their_owners_known() {
        let (web, worker) = (deployment("web"), deployment("worker"));
        let joined = join(vec![
            answer(&[0, 1], std::slice::from_ref(&worker)),
            answer(&[2, 3], std::slice::from_ref(&web)),
        ]);
        assert_eq!(joined.functions, [web.clone(), worker.clone()]);
        assert_eq!(joined.owners[&web.status.id], 1);
        assert_eq!(joined.owners[&worker.status.id], 0);
        assert_eq!(joined.gap, None);
    }

    #[test]
    fn of_two_that_know_a_function_the_one_that_holds_its_shard_is_right() {
        let shard = shard_of(&deployment("web").status.id, 4);
        let others: Vec<u32> = (0..4).filter(|it| *it != shard).collect();
        let stale = answer(&others, &[desired("web", 1)]);
        let owner = answer(&[shard], &[desired("web", 2)]);
        for answers in [[stale.clone(), owner.clone()], [owner, stale]] {
            let joined = join(answers.to_vec());
            assert_eq!(joined.functions.len(), 1);
            assert_eq!(joined.functions[0].status.desired, 2);
        }
    }

    #[test]
    fn shards_that_nobody_answered_for_are_named() {
        let joined = join(vec![answer(&[0], &[]), answer(&[2], &[])]);
        assert_eq!(
            joined.gap.unwrap().to_string(),
            "shards 1, 3 of 4 are held by no autoscaler that answered: the functions there are not shown"
        );
        let joined = join(vec![answer(&[0, 1], &[]), answer(&[3], &[])]);
        let said = joined.gap.unwrap().to_string();
        assert!(said.starts_with("shard 2 of 4 is held by no"), "{said}");
    }

    #[test]
    fn autoscalers_that_disagree_about_the_shards_are_noticed() {
        let mut old = answer(&[0, 1], &[]);
        old.shards.count = 2;
        let joined = join(vec![old, answer(&[0, 1, 2], &[])]);
        assert_eq!(joined.counts, BTreeSet::from([2, 4]));
        assert_eq!(joined.gap.unwrap().missing, [3]);
    }

    #[test]
    fn a_problem_that_several_report_is_said_once() {
        let mut first = answer(&[0, 1, 2, 3], &[]);
        first.problems = vec![problem()];
        let joined = join(vec![first.clone(), first]);
        assert_eq!(joined.problems, [problem()]);
    }

    #[test]
    fn without_answers_there_is_nothing_and_nothing_missing() {
        assert_eq!(join(Vec::new()), Joined::default());
    }
}
