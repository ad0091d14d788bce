//! From what triggers measure to Jobs: KEDA's arithmetic, without anything else.
//!
//! Source: kedacore/keda `pkg/scaling/executor/scale_jobs.go` (strategies) and
//! `pkg/scaling/scaledjob` (several triggers).

use zeron_core::job::{JobCalculation, JobStrategy};

use crate::kpa::as_count;

/// What one trigger with work asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Backlog {
    /// What its source counts.
    pub(super) queue: f64,
    /// That, in Jobs: over its target.
    pub(super) jobs: f64,
}

/// What all triggers together ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// What the sources count, rounded up: no more Jobs than that are created at once.
    pub(super) queue: u32,
    /// Jobs, rounded up, within the bounds.
    pub(super) jobs: u32,
}

/// `minReplicaCount` and `maxReplicaCount`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) min: u32,
    pub(super) max: u32,
}

/// Unfinished Jobs, and those of them that are not at work yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unfinished {
    pub(super) running: u32,
    pub(super) pending: u32,
}

/// Joins the triggers that have work; which of them was chosen, where one is. Unlike the original,
/// which looks at what the sources count, the largest and smallest are those in Jobs.
pub(super) fn join(
    calculation: JobCalculation,
    backlogs: &[Backlog],
) -> (Option<Backlog>, Option<usize>) {
    let by_jobs = |a: &(usize, &Backlog), b: &(usize, &Backlog)| a.1.jobs.total_cmp(&b.1.jobs);
    let each = || backlogs.iter().enumerate();
    let chosen = match calculation {
        // Of equal ones the first.
        JobCalculation::Max => each().rev().max_by(by_jobs),
        JobCalculation::Min => each().min_by(by_jobs),
        JobCalculation::Avg | JobCalculation::Sum => {
            let sum = each().map(|(_, it)| *it).reduce(|sum, it| Backlog {
                queue: sum.queue + it.queue,
                jobs: sum.jobs + it.jobs,
            });
            let parts = match calculation {
                JobCalculation::Avg => f64::from(u32::try_from(backlogs.len()).unwrap_or(u32::MAX)),
                _ => 1.0,
            };
            let joined = sum.map(|sum| Backlog {
                queue: sum.queue / parts,
                jobs: sum.jobs / parts,
            });
            return (joined, None);
        }
    };
    (chosen.map(|(_, it)| *it), chosen.map(|(at, _)| at))
}

/// What is asked for, within the bounds.
pub(super) fn wanted(backlog: Option<Backlog>, bounds: Bounds) -> Wanted {
    let Some(backlog) = backlog else {
        return Wanted::default();
    };
    let most = bounds.max.saturating_sub(bounds.min);
    Wanted {
        queue: as_count(backlog.queue.ceil()),
        jobs: as_count(backlog.jobs.min(f64::from(most)).ceil()),
    }
}

/// Jobs to create now. Those up to the minimum come first, and stand aside from the rest.
pub(super) fn to_create(
    strategy: JobStrategy,
    wanted: Wanted,
    bounds: Bounds,
    unfinished: Unfinished,
) -> u32 {
    let min = bounds.min.min(bounds.max);
    if unfinished.running < min {
        return min - unfinished.running;
    }
    let jobs = i64::from(wanted.jobs);
    let (max, all) = (i64::from(bounds.max), i64::from(unfinished.running));
    let (running, pending) = (all - i64::from(min), i64::from(unfinished.pending));
    let count = match strategy {
        JobStrategy::Default => jobs - running,
        JobStrategy::Custom {
            deduction,
            running_share,
        } => {
            let above = f64::from(unfinished.running - min);
            let share = as_count(above * running_share);
            (jobs - i64::from(deduction) - i64::from(share)).min(max)
        }
        JobStrategy::Accurate if jobs + running - pending > max => max - running,
        JobStrategy::Accurate => jobs - pending,
        JobStrategy::Eager => (max - running - pending).min(jobs),
    };
    let at_once = match strategy {
        JobStrategy::Eager => max,
        _ => i64::from(wanted.queue),
    };
    // Of `custom` the maximum bounds one evaluation, as in the original; of all others, all Jobs.
    let room = match strategy {
        JobStrategy::Custom { .. } => max,
        _ => max - all,
    };
    let count = count.min(at_once).min(room).max(0);
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CUSTOM: JobStrategy = JobStrategy::Custom {
        deduction: 1,
        running_share: 0.5,
    };

    /// Jobs for `queue` messages, one each.
    fn create(strategy: JobStrategy, queue: u32, max: u32, running: u32, pending: u32) -> u32 {
        let bounds = Bounds { min: 0, max };
        let backlog = Backlog {
            queue: f64::from(queue),
            jobs: f64::from(queue),
        };
        let unfinished = Unfinished { running, pending };
        to_create(strategy, wanted(Some(backlog), bounds), bounds, unfinished)
    }

    /// The examples of the original's documentation (concepts, scaling jobs).
    #[test]
    fn the_examples_of_the_original_come_out() {
        use JobStrategy::{Accurate, Default, Eager};
        // Queue, maximum, unfinished, pending.
        for (strategy, case, expected) in [
            (Default, (3, 3, 0, 0), 3),
            (Default, (3, 3, 2, 0), 1),
            (Default, (5, 3, 3, 0), 0),
            (CUSTOM, (3, 3, 0, 0), 2),
            (CUSTOM, (5, 10, 2, 0), 3),
            (Accurate, (3, 3, 0, 0), 3),
            (Accurate, (2, 3, 2, 0), 1),
            (Accurate, (5, 10, 4, 4), 1),
            (Eager, (3, 10, 0, 0), 3),
            (Eager, (9, 10, 3, 0), 7),
            (Eager, (3, 10, 3, 2), 3),
        ] {
            let (queue, max, running, pending) = case;
            let created = create(strategy, queue, max, running, pending);
            assert_eq!(created, expected, "{strategy:?} {case:?}");
        }
    }

    #[test]
    fn the_minimum_comes_first_and_stands_aside() {
        let bounds = Bounds { min: 2, max: 10 };
        let backlog = Backlog {
            queue: 30.0,
            jobs: 3.0,
        };
        let wanted = wanted(Some(backlog), bounds);
        let of = |running| {
            let unfinished = Unfinished {
                running,
                pending: 0,
            };
            to_create(JobStrategy::Default, wanted, bounds, unfinished)
        };
        assert_eq!([of(0), of(1), of(2), of(4), of(5)], [2, 1, 3, 1, 0]);
    }

    #[test]
    fn no_more_jobs_at_once_than_the_source_counts() {
        let bounds = Bounds { min: 0, max: 100 };
        let backlog = Backlog {
            queue: 2.0,
            jobs: 4.0,
        };
        let wanted = wanted(Some(backlog), bounds);
        let none = Unfinished::default();
        assert_eq!(to_create(JobStrategy::Default, wanted, bounds, none), 2);
        assert_eq!(to_create(JobStrategy::Eager, wanted, bounds, none), 4);
    }

    #[test]
    fn several_triggers_are_joined_over_those_with_work() {
        let of = |queue: f64, jobs: f64| Backlog { queue, jobs };
        // Many small ones, and few that each take a Job.
        let both = [of(100.0, 1.0), of(10.0, 10.0)];
        assert_eq!(join(JobCalculation::Max, &both), (Some(both[1]), Some(1)));
        assert_eq!(join(JobCalculation::Min, &both), (Some(both[0]), Some(0)));
        assert_eq!(
            join(JobCalculation::Avg, &both),
            (Some(of(55.0, 5.5)), None)
        );
        assert_eq!(
            join(JobCalculation::Sum, &both),
            (Some(of(110.0, 11.0)), None)
        );
        assert_eq!(join(JobCalculation::Max, &[]), (None, None));
    }

    fn strategy() -> impl Strategy<Value = JobStrategy> {
        prop_oneof![
            Just(JobStrategy::Default),
            Just(JobStrategy::Accurate),
            Just(JobStrategy::Eager),
            (0_u32..20, 0.0..3.0).prop_map(|(deduction, running_share)| JobStrategy::Custom {
                deduction,
                running_share
            }),
        ]
    }

    proptest! {
        /// Nothing is created above the maximum, and nothing for no work beyond the minimum.
        #[test]
        fn bounds_hold(
            strategy in strategy(),
            queue in 0.0..1e9,
            target in 0.01..1e4,
            min in 0_u32..50,
            max in 1_u32..200,
            running in 0_u32..400,
            share in 0.0..1.0,
        ) {
            let bounds = Bounds { min, max };
            let pending = as_count(f64::from(running) * share);
            let unfinished = Unfinished { running, pending };
            let backlog = Backlog { queue, jobs: queue / target };
            let created = to_create(strategy, wanted(Some(backlog), bounds), bounds, unfinished);
            let is_custom = matches!(strategy, JobStrategy::Custom { .. });
            prop_assert!(created <= max);
            prop_assert!(is_custom || created == 0 || running + created <= max);
            let idle = to_create(strategy, Wanted::default(), bounds, unfinished);
            prop_assert_eq!(idle, min.min(max).saturating_sub(running));
        }

        /// More in the queue never creates fewer; more that is unfinished and pending never creates
        /// more, once the minimum is there.
        #[test]
        fn it_follows_the_queue(
            strategy in strategy(),
            queue in 0.0..1e4,
            more in 0.0..1e4,
            max in 1_u32..200,
            running in 0_u32..100,
            others in 0_u32..100,
        ) {
            let bounds = Bounds { min: 0, max };
            let of = |queue, running, pending| {
                let backlog = Backlog { queue, jobs: queue };
                to_create(strategy, wanted(Some(backlog), bounds), bounds, Unfinished { running, pending })
            };
            prop_assert!(of(queue + more, running, 0) >= of(queue, running, 0));
            let shown = of(queue, running, 0);
            let created = of(queue, running + others, others);
            prop_assert!(created <= shown, "{created} after {shown}");
        }

        /// Evaluated again on the same queue before anything of what was created shows, nothing is
        /// created twice.
        #[test]
        fn what_was_just_created_is_not_created_again(
            queue in 0_u32..300,
            max in 1_u32..200,
            running in 0_u32..100,
        ) {
            for strategy in [JobStrategy::Default, JobStrategy::Accurate] {
                let first = create(strategy, queue, max, running, 0);
                let second = create(strategy, queue, max, running + first, first);
                prop_assert_eq!(second, 0, "{:?} after {}", strategy, first);
            }
        }
    }
}
