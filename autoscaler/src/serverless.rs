//! From the KPA's answer to a replica count where Knative switches activators in and out of the
//! path: bounds, initial scale, the way to zero, and what is asked of the path meanwhile.
//!
//! Source: knative/serving `pkg/reconciler/autoscaling/kpa`, checked against recorded answers.

#[cfg(test)]
mod tests;

use std::time::Duration;

use zeron_core::Timestamp;
use zeron_core::decision::{Rule, ZeroWait};
use zeron_core::path::{Activity, PathFacts, PathMode, RequestPath};
use zeron_core::policy::KnativeScaling;

use crate::kpa::{Status, as_count};
use crate::kpa_zero::{ACTIVATION_BUFFER, Bounds, Replicas, Step, bounded, enough};

/// Fewest activators in front of one function.
const MIN_ACTIVATORS: u32 = 2;
/// How long an answer to an activator probe counts. The original asks and acts in one breath.
const PROBE_COUNTS_FOR: Duration = Duration::from_secs(5);

/// What the reconciler knows of one function with a switched path.
#[derive(Clone, Debug)]
pub(crate) struct ServerlessPath {
    activity: Activity,
    since: Timestamp,
    /// The initial scale was reached once.
    is_initialized: bool,
    facts: PathFacts,
    /// Whether facts have come: what was found counts only with the first.
    is_begun: bool,
    /// When the newest answer to a probe was heard, by our clock; one that was there before us
    /// does not count.
    probed_at: Option<Timestamp>,
    /// Since when load is counted here, where somebody else counted before.
    counted_since: Option<Timestamp>,
    plan: Plan,
}

/// What the newest step asks of the path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Replicas wanted, applied or not; `None` = -1.
    pub(crate) desired: Option<u32>,
    pub(crate) mode: PathMode,
    pub(crate) activators: u32,
    pub(crate) is_probe_wanted: bool,
}

/// An answer of the scaler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Scaled {
    /// Replicas wanted; `None` = unknown.
    want: Option<u32>,
    /// Whether the count is written now.
    is_applied: bool,
    /// Why it is not zero yet, and until when.
    wait: Option<(ZeroWait, Timestamp)>,
    is_probe_wanted: bool,
}

impl Scaled {
    fn applied(want: u32) -> Self {
        Self {
            want: Some(want),
            is_applied: true,
            wait: None,
            is_probe_wanted: false,
        }
    }

    fn kept(want: Option<u32>) -> Self {
        Self {
            want,
            is_applied: false,
            wait: None,
            is_probe_wanted: false,
        }
    }

    fn until(self, wait: ZeroWait, until: Timestamp) -> Self {
        Self {
            wait: Some((wait, until)),
            ..self
        }
    }
}

impl ServerlessPath {
    /// A path of which nothing is known yet.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            activity: Activity::Activating,
            since: now,
            is_initialized: false,
            facts: PathFacts::default(),
            is_begun: false,
            probed_at: None,
            counted_since: None,
            plan: Plan {
                activators: MIN_ACTIVATORS,
                ..Plan::default()
            },
        }
    }

    /// Takes in what is seen; what was written down before counts once.
    pub(crate) fn observe(&mut self, facts: PathFacts, now: Timestamp) {
        if let (false, Some(found)) = (self.is_begun, facts.found) {
            self.activity = found.activity;
            self.since = found.since.min(now);
            self.is_initialized = found.is_initialized;
        }
        if self.is_begun && facts.probe != self.facts.probe {
            self.probed_at = Some(now);
        }
        self.is_begun = true;
        self.facts = facts;
    }

    /// Load is counted here from `now` on. What somebody else did not count before says nothing
    /// of it: activators may not have reported to us yet, and what they carry is taken off what is
    /// scraped. The original goes by the times that it finds alone.
    pub(crate) fn count_from(&mut self, now: Timestamp) {
        self.counted_since = Some(now);
    }

    /// `at`, or since when load is counted here if that is later.
    fn counted(&self, at: Timestamp) -> Timestamp {
        self.counted_since.map_or(at, |counted| counted.max(at))
    }

    /// Whether anything is known of the path: before, nothing is asked of it.
    pub(crate) fn is_begun(&self) -> bool {
        self.is_begun
    }

    pub(crate) fn activity(&self) -> (Activity, Timestamp) {
        (self.activity, self.since)
    }

    pub(crate) fn is_initialized(&self) -> bool {
        self.is_initialized
    }

    pub(crate) fn plan(&self) -> Plan {
        self.plan
    }

    /// From the newest answer of the algorithm to a count and a path.
    pub(crate) fn step(
        &mut self,
        scaling: &KnativeScaling,
        bounds: Bounds,
        status: Status,
        replicas: Replicas,
        now: Timestamp,
    ) -> Step {
        let mut rules = Vec::new();
        let (scaled, ready) = if self.facts.has_private_service {
            let desired = status.desired;
            let scaled = self.scale(scaling, bounds, desired, replicas, now, &mut rules);
            (scaled, replicas.ready)
        } else {
            // No way leads to any replica, ready or not.
            (Scaled::kept(None), 0)
        };
        self.plan = self.planned(scaling, status, scaled, replicas.ready);
        self.update_activity(scaling, bounds, scaled.want, ready, now);
        let kept = scaled.want.filter(|_| scaled.is_applied);
        let wait = scaled.wait.filter(|_| replicas.current > 0);
        rules.extend(wait.map(|(wait, until)| Rule::ZeroNotBefore { wait, until }));
        Step {
            replicas: kept.unwrap_or(replicas.current),
            rules,
            due: scaled.wait.map(|(_, until)| until),
        }
    }

    fn scale(
        &self,
        scaling: &KnativeScaling,
        bounds: Bounds,
        desired: Option<u32>,
        replicas: Replicas,
        now: Timestamp,
        rules: &mut Vec<Rule>,
    ) -> Scaled {
        if desired.is_none() && self.activity != Activity::Activating {
            return Scaled::kept(None);
        }
        let want = desired.unwrap_or(0);
        let want = bounded(scaling, bounds, self.is_initialized, want, rules);
        if want > 0 {
            return Scaled::applied(want);
        }
        if !scaling.is_scale_to_zero_enabled {
            rules.push(Rule::ScaleToZeroDisabled);
            return Scaled::applied(1);
        }
        match self.activity {
            Activity::Activating => {
                let until = self.since + scaling.progress_deadline + ACTIVATION_BUFFER;
                if now > until {
                    Scaled::applied(0)
                } else {
                    Scaled::kept(None).until(ZeroWait::Activating, until)
                }
            }
            Activity::Active => {
                let until = self.counted(self.since) + scaling.stable_window;
                if now >= until {
                    // Becomes inactive, which brings the activators into the path.
                    Scaled::kept(Some(0))
                } else {
                    Scaled::applied(1).until(ZeroWait::StableWindow, until)
                }
            }
            Activity::NoTraffic | Activity::TimedOut => {
                self.inactive(scaling, bounds, replicas.current, now)
            }
        }
    }

    /// The last replica of an inactive function: an activator must stand in its place, and have
    /// stood there for the grace period; the user's retention holds while a route leads here.
    fn inactive(
        &self,
        scaling: &KnativeScaling,
        bounds: Bounds,
        current: u32,
        now: Timestamp,
    ) -> Scaled {
        if current == 0 {
            return Scaled::applied(0);
        }
        if scaling.target_burst_capacity >= 0.0 && !self.is_probed(now) {
            return Scaled {
                is_probe_wanted: true,
                ..Scaled::kept(Some(0))
            };
        }
        let retention = if bounds.is_reachable {
            scaling.retention
        } else {
            Duration::ZERO
        };
        let grace = scaling.scale_to_zero_grace;
        let since = self.counted(self.since);
        let latest = since + grace.max(retention);
        let proxied = self.counted(self.facts.proxied_since.unwrap_or(now)) + grace;
        if now >= latest {
            Scaled::applied(0)
        } else if now < since + retention {
            Scaled::kept(Some(0)).until(ZeroWait::Retention, since + retention)
        } else if now >= proxied {
            Scaled::applied(0)
        } else {
            Scaled::kept(Some(0)).until(ZeroWait::Grace, proxied.min(latest))
        }
    }

    /// Whether an activator answered, after the function became inactive and a moment ago.
    fn is_probed(&self, now: Timestamp) -> bool {
        let is_activator = self.facts.probe.is_some_and(|probe| probe.is_activator);
        let is_new = |at| at >= self.since && now.since(at) <= PROBE_COUNTS_FOR;
        is_activator && self.probed_at.is_some_and(is_new)
    }

    fn planned(
        &self,
        scaling: &KnativeScaling,
        status: Status,
        scaled: Scaled,
        ready: u32,
    ) -> Plan {
        let is_wanted = scaled.want.is_some_and(|want| want > 0);
        let is_always_proxied = matches!(
            scaling.path,
            RequestPath::Serverless {
                is_always_proxied: true,
                ..
            }
        );
        let is_served = is_wanted && status.excess_burst_capacity >= 0.0 && !is_always_proxied;
        Plan {
            desired: scaled.want,
            mode: if is_served {
                PathMode::Serve
            } else {
                PathMode::Proxy
            },
            activators: if self.facts.has_private_service {
                activators(scaling, ready)
            } else {
                MIN_ACTIVATORS
            },
            is_probe_wanted: scaled.is_probe_wanted,
        }
    }

    fn update_activity(
        &mut self,
        scaling: &KnativeScaling,
        bounds: Bounds,
        want: Option<u32>,
        ready: u32,
        now: Timestamp,
    ) {
        let enough = enough(scaling, bounds, self.is_initialized);
        self.is_initialized |= ready >= enough && self.facts.has_service;
        let is_inactive = matches!(self.activity, Activity::NoTraffic | Activity::TimedOut);
        let is_kept_inactive = is_inactive && want.is_none_or(|want| want == 0);
        let next = if want == Some(0) || enough == 0 {
            if self.activity == Activity::Activating && enough > 0 {
                Activity::TimedOut
            } else {
                Activity::NoTraffic
            }
        } else if is_kept_inactive {
            Activity::NoTraffic
        } else if ready < enough {
            Activity::Activating
        } else {
            Activity::Active
        };
        if next != self.activity {
            self.activity = next;
            self.since = now;
        }
    }
}

/// How many activators stand in front of a function with `ready` replicas: enough to take what its
/// replicas take and the burst.
fn activators(scaling: &KnativeScaling, ready: u32) -> u32 {
    let burst = scaling.target_burst_capacity;
    if burst == 0.0 {
        return MIN_ACTIVATORS;
    }
    let capacity = f64::from(ready) * scaling.total + burst.max(0.0);
    as_count((capacity / scaling.activator_capacity).ceil()).max(MIN_ACTIVATORS)
}
