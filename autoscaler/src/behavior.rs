//! Stabilization and scaling limits of `autoscaling/v2` between one and the maximum.
//!
//! Source: Kubernetes `HorizontalPodAutoscaler` v2, `behavior`.

use std::collections::VecDeque;
use std::time::Duration;

use zeron_core::Timestamp;
use zeron_core::decision::Rule;
use zeron_core::policy::{Behavior, MaxChange, ScalingLimit, ScalingRules, SelectPolicy};

use crate::group::earliest;
use crate::sliding::{Extreme, Sliding};

/// Changes remembered for limits; older ones are merged, so that they count longer.
const CHANGES: usize = 256;

/// What a [`Behavior`] remembers of one group.
#[derive(Clone, Debug)]
pub struct BehaviorState {
    highest: Sliding,
    lowest: Sliding,
    /// Replicas added (positive) and removed (negative), oldest first.
    changes: VecDeque<(Timestamp, i64)>,
}

/// A count after stabilization and limits.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounded {
    /// The count.
    pub replicas: u32,
    /// What changed it.
    pub rule: Option<Rule>,
    /// When that ends.
    pub due: Option<Timestamp>,
}

impl Default for BehaviorState {
    fn default() -> Self {
        Self {
            highest: Sliding::new(Extreme::Largest),
            lowest: Sliding::new(Extreme::Smallest),
            changes: VecDeque::new(),
        }
    }
}

impl BehaviorState {
    /// A group that finds `current` replicas: they count as its first recommendation.
    pub fn found(behavior: &Behavior, current: u32, now: Timestamp) -> Self {
        let mut state = Self::default();
        if current > 0 {
            state
                .highest
                .record(now, current, behavior.scale_down.stabilization);
        }
        state
    }

    /// Remembers that the function went from `before` to `after`.
    pub fn changed(&mut self, behavior: &Behavior, before: u32, after: u32, now: Timestamp) {
        let longest = behavior
            .scale_up
            .policies
            .iter()
            .chain(&behavior.scale_down.policies)
            .map(|limit| limit.period)
            .max();
        let Some(longest) = longest else {
            return;
        };
        while self
            .changes
            .front()
            .is_some_and(|&(at, _)| at + longest <= now)
        {
            self.changes.pop_front();
        }
        let change = i64::from(after) - i64::from(before);
        let is_full = self.changes.len() >= CHANGES;
        match self.changes.back_mut() {
            Some(last) if is_full => {
                // Both count together: the older one is forgotten later than it should.
                last.0 = now;
                last.1 += change;
            }
            Some(_) | None => self.changes.push_back((now, change)),
        }
    }

    /// `wanted` from `current`, after stabilization and limits.
    pub fn bound(
        &mut self,
        behavior: &Behavior,
        current: u32,
        wanted: u32,
        now: Timestamp,
    ) -> Bounded {
        let stable = self.stabilize(behavior, current, wanted, now);
        let limited = if stable.replicas > current {
            self.limit_up(&behavior.scale_up, current, stable.replicas, now)
        } else if stable.replicas < current {
            self.limit_down(&behavior.scale_down, current, stable.replicas, now)
        } else {
            None
        };
        match limited {
            Some(limited) => Bounded {
                due: earliest(stable.due, limited.due),
                ..limited
            },
            None => stable,
        }
    }

    fn stabilize(
        &mut self,
        behavior: &Behavior,
        current: u32,
        wanted: u32,
        now: Timestamp,
    ) -> Bounded {
        let (up, down) = (
            behavior.scale_up.stabilization,
            behavior.scale_down.stabilization,
        );
        self.highest.record(now, wanted, down);
        self.lowest.record(now, wanted, up);
        let highest = self.highest.extreme(down).unwrap_or((wanted, now));
        let lowest = self.lowest.extreme(up).unwrap_or((wanted, now));
        let (replicas, until) = if current < lowest.0 {
            lowest
        } else if current > highest.0 {
            highest
        } else if wanted < current {
            (current, highest.1)
        } else {
            (current, lowest.1)
        };
        let is_held = replicas != wanted;
        Bounded {
            replicas,
            rule: is_held.then_some(Rule::Stabilization {
                count: replicas,
                until,
            }),
            due: is_held.then_some(until),
        }
    }

    fn limit_up(
        &self,
        rules: &ScalingRules,
        current: u32,
        wanted: u32,
        now: Timestamp,
    ) -> Option<Bounded> {
        let each = rules.policies.iter().map(|limit| {
            let start = self.count_at_start(current, limit.period, now);
            let most = match limit.change {
                MaxChange::Replicas(count) => start.saturating_add(i64::from(count)),
                MaxChange::Percent(percent) => {
                    let grown = i128::from(start) * (100 + i128::from(percent));
                    // Rounded up: a percentage never stops growth altogether.
                    i64::try_from((grown + 99).div_euclid(100)).unwrap_or(i64::MAX)
                }
            };
            clamp(most)
        });
        let limit = match rules.select {
            SelectPolicy::Disabled => Some(current),
            SelectPolicy::Max => each.max(),
            SelectPolicy::Min => each.min(),
        }?
        .max(current);
        (limit < wanted).then(|| self.limited(limit, &rules.policies, now))
    }

    fn limit_down(
        &self,
        rules: &ScalingRules,
        current: u32,
        wanted: u32,
        now: Timestamp,
    ) -> Option<Bounded> {
        let each = rules.policies.iter().map(|limit| {
            let start = self.count_at_start(current, limit.period, now);
            let least = match limit.change {
                MaxChange::Replicas(count) => start.saturating_sub(i64::from(count)),
                MaxChange::Percent(percent) => {
                    let left = i128::from(start) * (100 - i128::from(percent)).max(0);
                    i64::try_from(left.div_euclid(100)).unwrap_or(i64::MAX)
                }
            };
            clamp(least)
        });
        let limit = match rules.select {
            SelectPolicy::Disabled => Some(current),
            // "Max" is the policy that allows the larger change.
            SelectPolicy::Max => each.min(),
            SelectPolicy::Min => each.max(),
        }?
        .min(current);
        (limit > wanted).then(|| self.limited(limit, &rules.policies, now))
    }

    fn limited(&self, limit: u32, policies: &[ScalingLimit], now: Timestamp) -> Bounded {
        let due = self.changes.iter().find_map(|&(at, _)| {
            policies
                .iter()
                .map(|limit| at + limit.period)
                .filter(|&end| end > now)
                .min()
        });
        Bounded {
            replicas: limit,
            rule: Some(Rule::Behavior { limit }),
            due,
        }
    }

    /// The count before the changes of the last `period`.
    fn count_at_start(&self, current: u32, period: Duration, now: Timestamp) -> i64 {
        let changed: i64 = self
            .changes
            .iter()
            .filter(|&&(at, _)| at + period > now)
            .map(|&(_, change)| change)
            .sum();
        i64::from(current) - changed
    }
}

fn clamp(count: i64) -> u32 {
    u32::try_from(count.max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_secs(1_000 + second)
    }

    fn limit(change: MaxChange, period: u64) -> ScalingLimit {
        ScalingLimit {
            change,
            period: Duration::from_secs(period),
        }
    }

    #[test]
    fn by_default_out_at_once_and_in_after_300_s() {
        let behavior = Behavior::default();
        let mut state = BehaviorState::default();
        assert_eq!(state.bound(&behavior, 1, 50, at(0)).replicas, 50);
        let held = state.bound(&behavior, 50, 2, at(10));
        assert_eq!(held.replicas, 50);
        assert_eq!(held.due, Some(at(300)));
        assert_eq!(state.bound(&behavior, 50, 2, at(300)).replicas, 2);
    }

    #[test]
    fn up_policies_count_what_was_added_in_their_period() {
        let mut behavior = Behavior::default();
        behavior.scale_up.policies = vec![
            limit(MaxChange::Replicas(4), 15),
            limit(MaxChange::Percent(100), 15),
        ];
        let mut state = BehaviorState::default();
        let mut current = 1;
        for (second, want) in [(0, 5), (5, 5), (15, 10), (30, 20)] {
            let next = state.bound(&behavior, current, 100, at(second)).replicas;
            assert_eq!(next, want, "at {second}");
            state.changed(&behavior, current, next, at(second));
            current = next;
        }
    }

    #[test]
    fn down_policies_and_select_min() {
        let scale_down = ScalingRules {
            stabilization: Duration::ZERO,
            policies: vec![
                limit(MaxChange::Replicas(1), 60),
                limit(MaxChange::Percent(50), 60),
            ],
            select: SelectPolicy::Min,
            tolerance: 0.0,
        };
        let mut behavior = Behavior {
            scale_down,
            ..Behavior::default()
        };
        let mut state = BehaviorState::default();
        assert_eq!(state.bound(&behavior, 10, 1, at(0)).replicas, 9);
        behavior.scale_down.select = SelectPolicy::Max;
        assert_eq!(state.bound(&behavior, 10, 1, at(0)).replicas, 5);
        behavior.scale_down.select = SelectPolicy::Disabled;
        assert_eq!(state.bound(&behavior, 10, 1, at(0)).replicas, 10);
    }

    #[test]
    fn up_stabilization_waits_for_the_smallest_wish() {
        let mut behavior = Behavior::default();
        behavior.scale_up.stabilization = Duration::from_secs(30);
        let mut state = BehaviorState::default();
        assert_eq!(state.bound(&behavior, 2, 2, at(0)).replicas, 2);
        assert_eq!(state.bound(&behavior, 2, 9, at(10)).replicas, 2);
        assert_eq!(state.bound(&behavior, 2, 9, at(30)).replicas, 9);
    }
}
