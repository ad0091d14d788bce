//! From the KPA's answer to a replica count: bounds, initial scale, and the way to zero.
//!
//! Source: knative/serving `pkg/reconciler/autoscaling/kpa`. The activator never leaves the path,
//! so nothing is probed, and the time in proxy mode counts from the beginning. Where Knative
//! switches the path, [`serverless`](crate::serverless) applies instead.

use std::time::Duration;

use zeron_core::Timestamp;
use zeron_core::decision::{Rule, ZeroWait};
use zeron_core::policy::KnativeScaling;

use crate::state::Start;

/// Added to the progress deadline before an activation counts as failed.
pub(crate) const ACTIVATION_BUFFER: Duration = Duration::from_secs(30);

/// The Active condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Active {
    /// Not enough replicas are ready yet (`Unknown`).
    Activating,
    /// Enough replicas are ready.
    True,
    /// No traffic.
    False,
}

/// What the reconciler knows of one function.
#[derive(Clone, Debug)]
pub(crate) struct ZeroPath {
    active: Active,
    active_since: Timestamp,
    proxied_since: Timestamp,
    /// The initial scale was reached once.
    is_initialized: bool,
}

/// Bounds of one step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) min: u32,
    pub(crate) max: u32,
    pub(crate) is_reachable: bool,
}

/// Replicas now: the asked count and the ready ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Replicas {
    pub(crate) current: u32,
    pub(crate) ready: u32,
}

/// What a step answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Step {
    pub(crate) replicas: u32,
    pub(crate) rules: Vec<Rule>,
    pub(crate) due: Option<Timestamp>,
}

impl Step {
    fn hold(replicas: u32, wait: ZeroWait, until: Timestamp) -> Self {
        Self {
            replicas,
            rules: vec![Rule::ZeroNotBefore { wait, until }],
            due: Some(until),
        }
    }
}

impl ZeroPath {
    /// A function that was just declared, or found.
    pub(crate) fn new(start: Start, now: Timestamp) -> Self {
        let is_at_zero = matches!(start, Start::Found { replicas: 0, .. });
        Self {
            active: if is_at_zero {
                Active::False
            } else {
                Active::Activating
            },
            active_since: now,
            proxied_since: now,
            is_initialized: start != Start::Created,
        }
    }

    /// Until now there may have been traffic that nobody counted: the stable window begins anew.
    pub(crate) fn doubt(&mut self, now: Timestamp) {
        if self.active != Active::Activating {
            self.active = Active::True;
            self.active_since = now;
        }
    }

    /// From the wish of the algorithm (`None` = none yet) to a count.
    pub(crate) fn step(
        &mut self,
        scaling: &KnativeScaling,
        bounds: Bounds,
        want: Option<u32>,
        replicas: Replicas,
        now: Timestamp,
    ) -> Step {
        let mut rules = Vec::new();
        let (step, seen) = match want {
            Some(want) => {
                let bounded = bounded(scaling, bounds, self.is_initialized, want, &mut rules);
                self.towards(scaling, bounds, bounded, replicas.current, now)
            }
            None => (self.before_first(scaling, bounds, replicas), None),
        };
        let step = Step {
            rules: [rules, step.rules].concat(),
            ..step
        };
        let before = self.active;
        self.update_active(scaling, bounds, seen, replicas.ready, now);
        if before == Active::True && self.active == Active::False && step.replicas > 0 {
            // Just became inactive: what an inactive function waits for counts at once.
            return self.step(scaling, bounds, want, replicas, now);
        }
        step
    }

    /// The count before the first decision: the initial scale for what was just declared, else what
    /// runs.
    pub(crate) fn first(
        &self,
        scaling: &KnativeScaling,
        bounds: Bounds,
        replicas: Replicas,
    ) -> u32 {
        let least = if self.is_initialized {
            bounds.min
        } else {
            bounds.min.max(scaling.initial_scale)
        };
        replicas.current.max(least).min(bounds.max)
    }

    fn before_first(&self, scaling: &KnativeScaling, bounds: Bounds, replicas: Replicas) -> Step {
        let initial = scaling.initial_scale;
        let is_initial = !self.is_initialized && initial > 0;
        Step {
            replicas: self.first(scaling, bounds, replicas),
            rules: if is_initial {
                vec![Rule::InitialScale { initial }]
            } else {
                Vec::new()
            },
            due: None,
        }
    }

    /// The count for a bounded wish, and the wish that the Active condition sees.
    fn towards(
        &self,
        scaling: &KnativeScaling,
        bounds: Bounds,
        want: u32,
        current: u32,
        now: Timestamp,
    ) -> (Step, Option<u32>) {
        if want > 0 {
            let step = Step {
                replicas: want,
                ..Step::default()
            };
            return (step, Some(want));
        }
        if !scaling.is_scale_to_zero_enabled {
            let step = Step {
                replicas: 1,
                rules: vec![Rule::ScaleToZeroDisabled],
                due: None,
            };
            return (step, Some(1));
        }
        match self.active {
            Active::Activating => {
                let until = self.active_since + scaling.progress_deadline + ACTIVATION_BUFFER;
                if current == 0 {
                    (Step::default(), None)
                } else if now > until {
                    (Step::default(), Some(0))
                } else {
                    let step = Step::hold(current, ZeroWait::Activating, until);
                    (step, None)
                }
            }
            Active::True => {
                let until = self.active_since + scaling.stable_window;
                if now >= until {
                    // Becomes inactive; the count follows by the rules of an inactive one.
                    (Step::hold(current.min(1), ZeroWait::Grace, now), Some(0))
                } else {
                    (Step::hold(1, ZeroWait::StableWindow, until), Some(1))
                }
            }
            Active::False => (self.inactive(scaling, bounds, current, now), Some(0)),
        }
    }

    /// An inactive function: the user's retention holds while a route leads here; then the grace
    /// period, by the time since the activator is in the path.
    fn inactive(
        &self,
        scaling: &KnativeScaling,
        bounds: Bounds,
        current: u32,
        now: Timestamp,
    ) -> Step {
        let grace = scaling.scale_to_zero_grace;
        let retention = if bounds.is_reachable {
            scaling.retention
        } else {
            Duration::ZERO
        };
        let retained_until = self.active_since + retention;
        let grace_until =
            (self.proxied_since + grace).min(self.active_since + grace.max(retention));
        if now < retained_until {
            Step::hold(current.min(1), ZeroWait::Retention, retained_until)
        } else if now < grace_until {
            Step::hold(current.min(1), ZeroWait::Grace, grace_until)
        } else {
            Step::default()
        }
    }

    fn update_active(
        &mut self,
        scaling: &KnativeScaling,
        bounds: Bounds,
        want: Option<u32>,
        ready: u32,
        now: Timestamp,
    ) {
        let enough = enough(scaling, bounds, self.is_initialized);
        self.is_initialized |= ready >= enough;
        let next = match want {
            Some(0) => Active::False,
            _ if enough == 0 => Active::False,
            None if self.active == Active::False => Active::False,
            _ if ready < enough => Active::Activating,
            Some(_) | None => Active::True,
        };
        if next != self.active {
            self.active = next;
            self.active_since = now;
        }
    }
}

/// Ready replicas that make a function active.
pub(crate) fn enough(scaling: &KnativeScaling, bounds: Bounds, is_initialized: bool) -> u32 {
    let least = if is_initialized {
        1
    } else {
        scaling.initial_scale
    };
    bounds.min.max(least)
}

/// A wish within its bounds; the initial scale is one until it was reached once.
pub(crate) fn bounded(
    scaling: &KnativeScaling,
    bounds: Bounds,
    is_initialized: bool,
    want: u32,
    rules: &mut Vec<Rule>,
) -> u32 {
    let initial = scaling.initial_scale;
    let is_initial = initial > 1 && !is_initialized && bounds.is_reachable;
    let mut bounded = want;
    if bounded < bounds.min {
        rules.push(Rule::Min {
            min: bounds.min,
            from: bounded,
        });
        bounded = bounds.min;
    }
    if is_initial && bounded < initial {
        rules.push(Rule::InitialScale { initial });
        bounded = initial;
    }
    if bounded > bounds.max {
        rules.push(Rule::Max {
            max: bounds.max,
            from: bounded,
        });
        bounded = bounds.max;
    }
    bounded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::knative;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_secs(1_000 + second)
    }

    const BOUNDS: Bounds = Bounds {
        min: 0,
        max: u32::MAX,
        is_reachable: true,
    };

    fn replicas(current: u32, ready: u32) -> Replicas {
        Replicas { current, ready }
    }

    /// Reached its initial scale at 0 and is active since.
    fn active(scaling: &KnativeScaling) -> ZeroPath {
        let mut path = ZeroPath::new(Start::Created, at(0));
        path.step(scaling, BOUNDS, Some(1), replicas(1, 1), at(0));
        path
    }

    #[test]
    fn a_new_function_starts_at_its_initial_scale() {
        let scaling = KnativeScaling {
            initial_scale: 3,
            ..knative()
        };
        let mut path = ZeroPath::new(Start::Created, at(0));
        let step = path.step(&scaling, BOUNDS, None, replicas(0, 0), at(0));
        assert_eq!(step.replicas, 3);
        let step = path.step(&scaling, BOUNDS, Some(0), replicas(3, 2), at(2));
        assert_eq!(step.replicas, 3, "held until three were ready once");
        path.step(&scaling, BOUNDS, Some(0), replicas(3, 3), at(3));
        let step = path.step(&scaling, BOUNDS, Some(0), replicas(3, 3), at(4));
        assert_eq!(step.replicas, 1, "then one, for the stable window");
    }

    #[test]
    fn stays_at_one_for_the_stable_window_then_goes() {
        let scaling = knative();
        let mut path = active(&scaling);
        let step = path.step(&scaling, BOUNDS, Some(0), replicas(1, 1), at(59));
        assert_eq!(step, Step::hold(1, ZeroWait::StableWindow, at(60)));
        let step = path.step(&scaling, BOUNDS, Some(0), replicas(1, 1), at(60));
        assert_eq!(step.replicas, 0, "the activator was in the path all along");
    }

    #[test]
    fn a_young_path_waits_for_the_grace_period() {
        let scaling = KnativeScaling {
            stable_window: Duration::from_secs(6),
            ..knative()
        };
        let mut path = active(&scaling);
        let step = path.step(&scaling, BOUNDS, Some(0), replicas(1, 1), at(6));
        assert_eq!(step, Step::hold(1, ZeroWait::Grace, at(30)));
        let step = path.step(&scaling, BOUNDS, Some(0), replicas(1, 1), at(30));
        assert_eq!(step.replicas, 0);
    }

    #[test]
    fn retention_counts_from_inactivity() {
        let scaling = KnativeScaling {
            retention: Duration::from_secs(100),
            ..knative()
        };
        let mut path = active(&scaling);
        let step = path.step(&scaling, BOUNDS, Some(0), replicas(1, 1), at(60));
        assert_eq!(step, Step::hold(1, ZeroWait::Retention, at(160)));
        let step = path.step(&scaling, BOUNDS, Some(0), replicas(1, 1), at(160));
        assert_eq!(step.replicas, 0);
    }

    #[test]
    fn retention_does_not_hold_what_no_route_leads_to() {
        let scaling = KnativeScaling {
            retention: Duration::from_secs(100),
            ..knative()
        };
        let unreachable = Bounds {
            is_reachable: false,
            ..BOUNDS
        };
        let mut path = active(&scaling);
        let step = path.step(&scaling, unreachable, Some(0), replicas(1, 1), at(60));
        assert_eq!(step.replicas, 0);
    }

    #[test]
    fn an_activation_that_never_succeeds_ends_after_deadline_and_buffer() {
        let scaling = knative();
        let mut path = ZeroPath::new(Start::Created, at(0));
        path.step(&scaling, BOUNDS, None, replicas(0, 0), at(0));
        let step = path.step(&scaling, BOUNDS, Some(0), replicas(1, 0), at(630));
        assert_eq!(step, Step::hold(1, ZeroWait::Activating, at(630)));
        let step = path.step(&scaling, BOUNDS, Some(0), replicas(1, 0), at(631));
        assert_eq!(step.replicas, 0);
    }

    #[test]
    fn zero_needs_permission() {
        let scaling = KnativeScaling {
            is_scale_to_zero_enabled: false,
            ..knative()
        };
        let mut path = active(&scaling);
        let step = path.step(&scaling, BOUNDS, Some(0), replicas(1, 1), at(1_000));
        assert_eq!(
            (step.replicas, step.rules),
            (1, vec![Rule::ScaleToZeroDisabled])
        );
    }
}
