//! Properties of every decision, for any policy and any course of things.
#![allow(clippy::unwrap_used)]

use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;
use zeron_core::FunctionId;
use zeron_core::decision::{Cause, Decision};
use zeron_core::invariants::{Facts, violations};
use zeron_core::metric::{Activity, MetricReading, Unknown, UnknownKind};
use zeron_core::policy::{
    Behavior, HttpScaling, KnativeScaling, MetricScaling, RequestRate, ScalingRules,
};

use super::*;
use crate::collector::LoadSample;
use crate::observation::Load;
use crate::state::{Start, TriggerKey};
use crate::testkit::{group, http, knative, metric};

const CASES: u32 = 96;

// === what may happen ===

#[derive(Clone, Debug)]
enum Event {
    Pass(u64),
    Requests { in_flight: u32, queued: u32 },
    Sample(f64),
    Read { trigger: usize, value: f64 },
    Fail { trigger: usize },
    LoseActivator,
    Ready(u32),
    JumpBack(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0_u64..400).prop_map(Event::Pass),
        3 => (0_u32..40, 0_u32..40).prop_map(|(in_flight, queued)| Event::Requests { in_flight, queued }),
        3 => Just(Event::Requests { in_flight: 0, queued: 0 }),
        3 => (0.0..400.0).prop_map(Event::Sample),
        4 => (0_usize..2, 0.0..300.0).prop_map(|(trigger, value)| Event::Read { trigger, value }),
        3 => (0_usize..2).prop_map(|trigger| Event::Read { trigger, value: 0.0 }),
        2 => (0_usize..2).prop_map(|trigger| Event::Fail { trigger }),
        1 => Just(Event::LoseActivator),
        2 => (0_u32..20).prop_map(Event::Ready),
        1 => (0_u64..5_000).prop_map(Event::JumpBack),
    ]
}

fn seconds() -> impl Strategy<Value = Duration> {
    prop_oneof![Just(0), Just(30), Just(300), 0_u64..600].prop_map(Duration::from_secs)
}

fn behavior() -> impl Strategy<Value = Behavior> {
    (seconds(), seconds()).prop_map(|(up, down)| Behavior {
        scale_up: ScalingRules::unlimited(up / 10),
        scale_down: ScalingRules::unlimited(down),
    })
}

fn knative_scaling() -> impl Strategy<Value = Scaling> {
    (0_u32..4, 0_u32..4, seconds(), 1.0..50.0).prop_map(|(initial, activation, delay, target)| {
        Scaling::Knative(KnativeScaling {
            initial_scale: initial,
            activation_scale: activation,
            scale_down_delay: delay,
            target,
            ..knative()
        })
    })
}

fn http_scaling() -> impl Strategy<Value = Scaling> {
    (seconds(), seconds(), behavior(), 1.0..20.0, any::<bool>()).prop_map(
        |(cooldown, initial_cooldown, behavior, target, has_rate)| {
            let rate = RequestRate {
                target: 5.0,
                window: Duration::from_secs(60),
                granularity: Duration::from_secs(1),
            };
            Scaling::Http(HttpScaling {
                cooldown,
                initial_cooldown,
                behavior,
                request_rate: has_rate.then_some(rate),
                ..http(target)
            })
        },
    )
}

fn metric_scaling() -> impl Strategy<Value = Scaling> {
    (seconds(), seconds(), behavior()).prop_map(|(cooldown, initial_cooldown, behavior)| {
        Scaling::Metric(MetricScaling {
            cooldown,
            initial_cooldown,
            behavior,
            ..metric(2)
        })
    })
}

fn bounded(scaling: impl Strategy<Value = Scaling>) -> impl Strategy<Value = TriggerGroup> {
    (scaling, 0_u32..3, prop::option::of(1_u32..30)).prop_map(|(scaling, min, max)| TriggerGroup {
        min,
        ..group(scaling, max)
    })
}

fn any_group() -> impl Strategy<Value = TriggerGroup> {
    bounded(prop_oneof![
        knative_scaling(),
        http_scaling(),
        metric_scaling()
    ])
}

fn any_policy() -> impl Strategy<Value = ScalePolicy> {
    (prop::collection::vec(any_group(), 1..4), any::<bool>()).prop_map(|(groups, is_reachable)| {
        ScalePolicy {
            groups,
            is_reachable,
            ..ScalePolicy::default()
        }
    })
}

// === a function to which it happens ===

#[derive(Clone)]
struct Course {
    policy: ScalePolicy,
    state: DecisionState,
    observation: Observation,
    now: Timestamp,
}

impl Course {
    fn new(policy: ScalePolicy, found: u32, limit: Option<u32>) -> Self {
        let now = Timestamp::from_secs(1_000_000);
        let start = match found {
            0 => Start::Created,
            replicas => Start::Found {
                replicas,
                last_active: None,
            },
        };
        Self {
            state: DecisionState::new(&policy, start, now),
            policy,
            observation: Observation {
                function: FunctionId::new("default", "Deployment", "any"),
                cause: Cause::Timer,
                current: found,
                ready: found,
                load: Load::NONE,
                concurrency_limit: limit.and_then(NonZeroU32::new),
                cap: Some(1_000),
            },
            now,
        }
    }

    fn happen(&mut self, event: &Event) {
        match *event {
            Event::Pass(seconds) => self.now = self.now + Duration::from_secs(seconds),
            Event::JumpBack(seconds) => self.now = self.now - Duration::from_secs(seconds),
            Event::Requests { in_flight, queued } => {
                self.observation.load = Load::Known { in_flight, queued };
            }
            Event::Sample(concurrency) => {
                let sample = LoadSample {
                    concurrency,
                    requests: concurrency,
                    ..LoadSample::default()
                };
                self.state.observe_load(self.now, &sample);
            }
            Event::Read { trigger, value } => self.read(trigger, value),
            Event::Fail { trigger } => self.tell(trigger, &Err(broken())),
            Event::LoseActivator => {
                self.observation.load = Load::Unknown {
                    reason: broken(),
                    since: self.now,
                };
            }
            Event::Ready(ready) => self.observation.ready = ready,
        }
    }

    fn read(&mut self, trigger: usize, value: f64) {
        let reading = MetricReading {
            metric: format!("kafka-t{trigger}"),
            value,
            target: 10.0,
            activity: Activity::Above {
                value,
                threshold: 1.0,
            },
        };
        self.tell(trigger, &Ok(vec![reading]));
    }

    fn tell(&mut self, trigger: usize, result: &Result<Vec<MetricReading>, Unknown>) {
        for group in 0..self.policy.groups.len() {
            let key = TriggerKey { group, trigger };
            self.state.observe_metric(key, result.clone(), self.now);
        }
    }

    fn decide(&mut self) -> Decision {
        let decision = decide(&self.policy, &self.observation, &mut self.state, self.now);
        self.observation.current = decision.desired;
        decision
    }

    fn assert_invariants(&self, decision: &Decision) {
        let facts = Facts {
            requests: self.observation.load.total(),
            is_any_unknown: decision.asks.iter().any(|ask| ask.replicas.is_none()),
            cap: self.observation.cap,
        };
        let broken = violations(&self.policy, facts, decision);
        assert!(broken.is_empty(), "{broken:?} by {decision:#?}");
    }
}

fn broken() -> Unknown {
    Unknown {
        kind: UnknownKind::Transport,
        message: "connection refused".to_owned(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    /// Bounds hold, unknown never lowers, nothing goes to zero while busy, every winner explains;
    /// also when the clock is set back.
    #[test]
    fn no_course_of_things_breaks_an_invariant(
        policy in any_policy(),
        found in 0_u32..6,
        limit in prop::option::of(1_u32..5),
        events in prop::collection::vec(event(), 1..60),
    ) {
        let mut course = Course::new(policy, found, limit);
        for event in &events {
            course.happen(event);
            let decision = course.decide();
            course.assert_invariants(&decision);
        }
    }

    /// More requests never make it fewer replicas.
    #[test]
    fn more_requests_never_ask_for_less(
        policy in any_policy(),
        limit in prop::option::of(1_u32..5),
        events in prop::collection::vec(event(), 1..30),
        (few, more) in (0_u32..50, 0_u32..50),
    ) {
        let mut course = Course::new(policy, 0, limit);
        for event in &events {
            course.happen(event);
            course.decide();
        }
        let mut busier = course.clone();
        course.observation.load = Load::Known { in_flight: 0, queued: few };
        busier.observation.load = Load::Known { in_flight: 0, queued: few + more };
        let (fewer, larger) = (course.decide().desired, busier.decide().desired);
        prop_assert!(larger >= fewer, "{fewer} for {few}, {larger} for {}", few + more);
    }

    /// A waiting request at zero gets a replica by the next decision, wherever it is counted.
    #[test]
    fn a_waiting_request_is_never_left_at_zero(
        scaling in bounded(prop_oneof![knative_scaling(), http_scaling()]),
        events in prop::collection::vec(event(), 0..30),
    ) {
        let policy = ScalePolicy { groups: vec![scaling], ..ScalePolicy::default() };
        let mut course = Course::new(policy, 0, None);
        for event in &events {
            course.happen(event);
            course.decide();
        }
        course.observation.load = Load::Known { in_flight: 0, queued: 1 };
        prop_assert!(course.decide().desired >= 1);
    }

    /// With a constant load the count stops changing within the longest period of the policy.
    #[test]
    fn a_constant_load_settles(
        group in any_group(),
        in_flight in 0_u32..200,
        value in 0.0..200.0,
        found in 0_u32..6,
    ) {
        let policy = ScalePolicy { groups: vec![group], ..ScalePolicy::default() };
        let mut course = Course::new(policy, found, None);
        course.observation.load = Load::Known { in_flight, queued: 0 };
        let mut last_change = 0;
        for second in 0..3_000_u64 {
            course.happen(&Event::Pass(1));
            course.happen(&Event::Sample(f64::from(in_flight)));
            if second % 30 == 0 {
                course.read(0, value);
                course.read(1, value);
            }
            let decision = course.decide();
            course.observation.ready = decision.desired;
            course.assert_invariants(&decision);
            if decision.desired != decision.current {
                last_change = second;
            }
        }
        // Panic, and at most three halvings from six, each held by a delay window of up to 600 s.
        prop_assert!(last_change <= 1_900, "still changing at {last_change} s");
    }

    /// A function is the largest of what its groups would ask for alone.
    #[test]
    fn joined_groups_are_the_maximum_of_each(
        a in http_scaling(),
        b in metric_scaling(),
        events in prop::collection::vec(event(), 1..40),
    ) {
        let (a, b) = (group(a, None), group(b, None));
        let alone = |group: &TriggerGroup| ScalePolicy {
            groups: vec![group.clone()],
            ..ScalePolicy::default()
        };
        let both = ScalePolicy { groups: vec![a.clone(), b.clone()], ..ScalePolicy::default() };
        let mut joined = Course::new(both, 0, None);
        let mut each = [Course::new(alone(&a), 0, None), Course::new(alone(&b), 0, None)];
        for event in &events {
            let current = joined.observation.current;
            joined.happen(event);
            let desired = joined.decide().desired;
            let asks = each.each_mut().map(|course| {
                course.happen(event);
                course.observation.current = current;
                course.decide().desired
            });
            prop_assert_eq!(desired, asks[0].max(asks[1]), "{:?}", asks);
        }
    }

    /// A clock that was set back lowers no count by itself.
    #[test]
    fn a_clock_set_back_lowers_nothing(
        groups in prop::collection::vec(
            bounded(prop_oneof![knative_scaling(), http_scaling()]), 1..3),
        events in prop::collection::vec(event(), 1..30),
        back in 1_u64..100_000,
    ) {
        let policy = ScalePolicy { groups, ..ScalePolicy::default() };
        let mut course = Course::new(policy, 0, None);
        for event in &events {
            course.happen(event);
            course.decide();
        }
        let before = course.decide().desired;
        course.happen(&Event::JumpBack(back));
        let after = course.decide();
        prop_assert!(after.desired >= before, "{before} to {}", after.desired);
        course.assert_invariants(&after);
    }
}
