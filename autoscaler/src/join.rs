//! From the asks of all groups to one count.

use zeron_core::decision::{Ask, Rule};
use zeron_core::policy::{Pause, ScalePolicy, Writer};

use crate::group::GroupAsk;
use crate::observation::Observation;
use crate::raise::Raise;

/// One count with its reasons.
#[derive(Clone, Debug, Default)]
pub(crate) struct Joined {
    pub(crate) desired: u32,
    pub(crate) asks: Vec<Ask>,
    pub(crate) winner: Option<usize>,
    pub(crate) rules: Vec<Rule>,
    /// When a raise of the last while leaves.
    pub(crate) held_until: Option<zeron_core::Timestamp>,
}

/// The largest explicit minimum and the smallest explicit maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JoinedBounds {
    pub(crate) min: u32,
    pub(crate) max: Option<u32>,
}

pub(crate) fn bounds(policy: &ScalePolicy) -> JoinedBounds {
    let min = policy.groups.iter().map(|group| group.min).max();
    JoinedBounds {
        min: min.filter(|_| policy.is_reachable).unwrap_or(0),
        max: policy.groups.iter().filter_map(|group| group.max).min(),
    }
}

/// The largest ask, then the rules in the order in which they outrank each other: unknown holds,
/// busy keeps one, the maximum clips, people's pauses win.
pub(crate) fn join(
    policy: &ScalePolicy,
    observation: &Observation,
    groups: Vec<GroupAsk>,
    raise: Raise,
) -> Joined {
    let mut joined = Joined::default();
    let mut unknown = Vec::new();
    if policy.groups.is_empty() {
        joined.desired = policy.replicas;
        joined.rules.push(Rule::Fixed {
            replicas: policy.replicas,
        });
    }
    for group in groups {
        joined.take(group, &mut unknown);
    }
    joined.raise(raise);
    joined.hold(observation, unknown, !policy.groups.is_empty());
    joined.clip(policy, observation.cap);
    joined.pause(policy.pause, observation.current);
    if policy.writer == Writer::External {
        joined.fix(observation.current, Rule::ExternalWriter);
    }
    joined
}

impl Joined {
    fn take(&mut self, group: GroupAsk, unknown: &mut Vec<String>) {
        let offset = self.asks.len();
        if group.replicas > self.desired {
            self.desired = group.replicas;
            self.winner = group.winner.map(|winner| offset + winner);
        }
        self.asks.extend(group.asks);
        self.rules.extend(group.rules);
        unknown.extend(group.unknown);
    }

    /// What requests need now wins over a smaller ask; what they needed a moment ago keeps a
    /// function from shrinking, not from zero.
    fn raise(&mut self, raise: Raise) {
        let offset = self.asks.len();
        self.asks.extend(raise.ask);
        if raise.now > 0 && (raise.now > self.desired || self.winner.is_none()) {
            self.winner = (self.asks.len() > offset && raise.now >= self.desired)
                .then_some(offset)
                .or(self.winner);
            self.desired = self.desired.max(raise.now);
            if let Some(scale) = raise.activation {
                self.rules.push(Rule::ActivationScale { scale });
            }
        }
        if let Some((count, until)) = raise.held
            && count > self.desired
            && self.desired > 0
        {
            self.desired = count;
            self.held_until = Some(until);
            self.rules.push(Rule::Stabilization { count, until });
        }
    }

    fn hold(&mut self, observation: &Observation, unknown: Vec<String>, is_scaled: bool) {
        let current = observation.current;
        if self.desired < current && !unknown.is_empty() {
            self.desired = current;
            self.winner = None;
            self.rules
                .extend(unknown.into_iter().map(|metric| Rule::Unknown { metric }));
        }
        if self.desired > 0 || current == 0 || !is_scaled {
            return;
        }
        if let Some((in_flight, queued)) = observation.load.counted()
            && in_flight.saturating_add(queued) > 0
        {
            self.desired = 1;
            self.winner = None;
            self.rules.push(Rule::Busy { in_flight, queued });
        } else if !observation.load.is_known() {
            // Requests may be at the last replica although no trigger counts them.
            self.desired = 1;
            self.winner = None;
            self.rules.push(Rule::Unknown {
                metric: "load".to_owned(),
            });
        }
    }

    fn clip(&mut self, policy: &ScalePolicy, cap: Option<u32>) {
        let bounds = bounds(policy);
        if let Some(max) = bounds.max
            && max < bounds.min
        {
            self.rules.push(Rule::Conflict {
                min: bounds.min,
                max,
            });
        }
        for max in [bounds.max, cap].into_iter().flatten() {
            if self.desired > max {
                let rule = Rule::Max {
                    max,
                    from: self.desired,
                };
                // A group may have met the same bound with the same count.
                if !self.rules.contains(&rule) {
                    self.rules.push(rule);
                }
                self.desired = max;
            }
        }
    }

    fn pause(&mut self, pause: Pause, current: u32) {
        if let Some(at) = pause.at {
            self.fix(at, Rule::Paused { at });
        } else if pause.is_frozen {
            self.fix(current, Rule::Paused { at: current });
        } else if pause.scale_in && self.desired < current {
            self.fix(current, Rule::ScaleInPaused);
        } else if pause.scale_out && self.desired > current {
            self.fix(current, Rule::ScaleOutPaused);
        }
    }

    fn fix(&mut self, count: u32, rule: Rule) {
        self.desired = count;
        self.winner = None;
        self.rules.push(rule);
    }
}
