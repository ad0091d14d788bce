//! Claims about whole decisions, dialect by dialect and joined.
#![allow(clippy::unwrap_used)]

use std::num::NonZeroU32;
use std::time::Duration;

use zeron_core::decision::{Cause, Rule, ZeroWait};
use zeron_core::metric::{Activity, MetricReading, Unknown, UnknownKind};
use zeron_core::policy::{
    Fallback, FallbackBehavior, Formula, HttpScaling, MetricScaling, MetricType, Pause,
    RequestRate, Writer,
};
use zeron_core::{Decision, FunctionId};

use super::*;
use crate::collector::LoadSample;
use crate::observation::Load;
use crate::state::{Start, TriggerKey};
use crate::testkit::{group, http, knative, metric};

mod formula;
mod metrics;

const FIRST: TriggerKey = TriggerKey {
    group: 0,
    trigger: 0,
};

fn at(second: u64) -> Timestamp {
    Timestamp::from_secs(1_000_000 + second)
}

/// A function whose replicas follow every decision at once.
struct Sim {
    policy: ScalePolicy,
    state: DecisionState,
    observation: Observation,
}

impl Sim {
    fn new(groups: Vec<TriggerGroup>, start: Start) -> Self {
        let policy = ScalePolicy {
            groups,
            ..ScalePolicy::default()
        };
        Self {
            state: DecisionState::new(&policy, start, at(0)),
            policy,
            observation: Observation {
                function: FunctionId::new("default", "Deployment", "hello"),
                cause: Cause::Grid,
                current: start.replicas(),
                ready: start.replicas(),
                load: Load::NONE,
                concurrency_limit: None,
                cap: None,
            },
        }
    }

    fn created(scaling: Scaling, max: Option<u32>) -> Self {
        Self::new(vec![group(scaling, max)], Start::Created)
    }

    fn found(scaling: Scaling, replicas: u32) -> Self {
        let start = Start::Found {
            replicas,
            last_active: None,
        };
        Self::new(vec![group(scaling, None)], start)
    }

    fn load(&mut self, in_flight: u32, queued: u32) {
        self.observation.load = Load::Known { in_flight, queued };
    }

    fn read(&mut self, second: u64, key: TriggerKey, value: f64) {
        let reading = MetricReading {
            metric: "kafka-orders".to_owned(),
            value,
            target: 10.0,
            activity: Activity::Above {
                value,
                threshold: 0.0,
            },
        };
        self.state
            .observe_metric(key, Ok(vec![reading]), at(second));
    }

    fn fail(&mut self, second: u64, key: TriggerKey) {
        let unknown = Unknown {
            kind: UnknownKind::Transport,
            message: "waiting for broker 127.0.0.1:9092".to_owned(),
        };
        self.state.observe_metric(key, Err(unknown), at(second));
    }

    fn decide(&mut self, second: u64) -> Decision {
        let decision = decide(&self.policy, &self.observation, &mut self.state, at(second));
        self.observation.current = decision.desired;
        self.observation.ready = decision.desired;
        decision
    }

    fn desired(&mut self, second: u64) -> u32 {
        self.decide(second).desired
    }
}

// === requests ===

#[test]
fn the_first_waiter_gets_a_replica_at_once_and_the_reason_is_its_own() {
    let scaling = zeron_core::policy::KnativeScaling {
        initial_scale: 0,
        ..knative()
    };
    let mut sim = Sim::created(Scaling::Knative(scaling), None);
    assert_eq!(sim.desired(0), 0);
    sim.load(0, 1);
    let decision = sim.decide(100);
    assert_eq!(decision.desired, 1);
    assert_eq!(decision.asks[decision.winner.unwrap()].metric, "backlog");
}

#[test]
fn a_backlog_above_the_hard_limit_asks_for_all_it_needs() {
    let mut sim = Sim::created(Scaling::Knative(knative()), Some(10));
    sim.observation.concurrency_limit = NonZeroU32::new(1);
    sim.load(0, 500);
    let decision = sim.decide(0);
    assert_eq!(decision.desired, 10);
    assert!(decision.rules.contains(&Rule::Max { max: 10, from: 500 }));
    sim.load(2, 0);
    assert_eq!(sim.desired(1), 10, "kept for the panic window");
}

#[test]
fn activation_scale_applies_to_the_first_waiter() {
    let scaling = zeron_core::policy::KnativeScaling {
        initial_scale: 0,
        activation_scale: 3,
        ..knative()
    };
    let mut sim = Sim::created(Scaling::Knative(scaling), None);
    sim.load(0, 1);
    assert_eq!(sim.desired(10), 3);
}

#[test]
fn a_knative_function_goes_to_zero_a_stable_window_after_the_last_request() {
    let mut sim = Sim::created(Scaling::Knative(knative()), None);
    assert_eq!(sim.desired(0), 1, "initial scale");
    sim.load(1, 0);
    for second in 1..=40 {
        let sample = LoadSample {
            concurrency: 1.0,
            requests: 1.0,
            ..LoadSample::default()
        };
        sim.state.observe_load(at(second), &sample);
        assert_eq!(sim.desired(second), 1);
    }
    sim.load(0, 0);
    let zero = (41..300).find(|&second| sim.desired(second) == 0);
    assert_eq!(zero, Some(100), "the last record leaves the window");
    assert_eq!(sim.desired(102), 0);
    assert_eq!(sim.state.due(), None, "and then it rests");
}

#[test]
fn http_scales_by_the_sum_and_goes_to_zero_after_its_cooldown() {
    let mut sim = Sim::created(Scaling::Http(http(10.0)), None);
    assert_eq!(sim.desired(0), 0);
    sim.load(20, 5);
    assert_eq!(sim.desired(1), 3);
    sim.load(1, 0);
    assert_eq!(sim.desired(10), 3, "stabilization of 300 s");
    assert_eq!(sim.desired(301), 1);
    sim.load(0, 0);
    assert_eq!(sim.desired(400), 1);
    assert_eq!(sim.desired(601), 0, "300 s after the last active decision");
}

#[test]
fn a_rate_is_averaged_over_its_own_window() {
    let rate = RequestRate {
        target: 10.0,
        window: Duration::from_secs(60),
        granularity: Duration::from_secs(1),
    };
    let scaling = HttpScaling {
        concurrency: None,
        request_rate: Some(rate),
        ..http(1.0)
    };
    let mut sim = Sim::created(Scaling::Http(scaling), None);
    for second in 0..10 {
        let sample = LoadSample {
            requests: 45.0,
            ..LoadSample::default()
        };
        sim.state.observe_load(at(second), &sample);
    }
    assert_eq!(sim.desired(9), 5);
}

#[test]
fn nothing_goes_to_zero_while_a_request_is_there() {
    let scaling = HttpScaling {
        cooldown: Duration::ZERO,
        ..http(10.0)
    };
    let kafka = MetricScaling {
        cooldown: Duration::ZERO,
        ..metric(1)
    };
    let groups = vec![
        group(Scaling::Http(scaling), None),
        group(Scaling::Metric(kafka), None),
    ];
    let mut sim = Sim::new(groups, Start::Created);
    let key = TriggerKey {
        group: 1,
        trigger: 0,
    };
    sim.read(0, key, 0.0);
    sim.load(1, 0);
    assert_eq!(sim.desired(1), 1);
    assert_eq!(sim.desired(2), 1);
    sim.load(0, 0);
    sim.read(3, key, 0.0);
    assert_eq!(sim.desired(3), 0);
}

// === joined ===

#[test]
fn a_new_owner_waits_for_a_cooldown_of_its_own_evidence() {
    let mut sim = Sim::found(Scaling::Metric(metric(1)), 4);
    assert_eq!(sim.desired(0), 4, "not read yet");
    sim.read(1, FIRST, 0.0);
    let decision = sim.decide(1);
    assert_eq!(decision.desired, 4);
    assert!(decision.rules.contains(&Rule::ZeroNotBefore {
        wait: ZeroWait::NewOwner,
        until: at(300)
    }));
    sim.read(300, FIRST, 0.0);
    assert_eq!(sim.desired(300), 0);
}

#[test]
fn zero_needs_every_group() {
    let kafka = MetricScaling {
        cooldown: Duration::from_secs(30),
        ..metric(1)
    };
    let groups = vec![
        group(Scaling::Metric(kafka), None),
        group(Scaling::Http(http(1.0)), None),
    ];
    let mut sim = Sim::new(groups, Start::Created);
    sim.read(0, FIRST, 0.0);
    sim.load(1, 0);
    assert_eq!(sim.desired(0), 1);
    sim.load(0, 0);
    for second in (30..300).step_by(30) {
        sim.read(second, FIRST, 0.0);
        assert_eq!(
            sim.desired(second),
            1,
            "the http group's cooldown is longer"
        );
    }
    sim.read(300, FIRST, 0.0);
    assert_eq!(sim.desired(300), 0);
}

#[test]
fn the_smallest_maximum_caps_and_a_conflict_is_named() {
    let groups = vec![
        group(Scaling::Http(http(1.0)), Some(4)),
        TriggerGroup {
            min: 6,
            ..group(Scaling::Metric(metric(1)), None)
        },
    ];
    let mut sim = Sim::new(groups, Start::Created);
    let decision = sim.decide(0);
    assert_eq!(decision.desired, 4);
    assert!(decision.rules.contains(&Rule::Conflict { min: 6, max: 4 }));
}

#[test]
fn pauses_win() {
    let mut sim = Sim::found(Scaling::Http(http(1.0)), 3);
    sim.load(9, 0);
    sim.policy.pause.scale_out = true;
    assert_eq!(sim.desired(0), 3);
    sim.policy.pause = Pause {
        at: Some(5),
        ..Pause::default()
    };
    assert_eq!(sim.desired(1), 5);
    sim.policy.pause = Pause {
        is_frozen: true,
        ..Pause::default()
    };
    assert_eq!(sim.desired(2), 5);
    sim.policy.pause = Pause::default();
    sim.policy.writer = Writer::External;
    assert_eq!(sim.desired(3), 5);
    sim.policy.writer = Writer::Zeron;
    assert_eq!(sim.desired(4), 9);
}

#[test]
fn a_lost_link_to_the_activator_holds() {
    let mut sim = Sim::found(Scaling::Knative(knative()), 3);
    sim.observation.load = Load::Unknown {
        reason: Unknown {
            kind: UnknownKind::Transport,
            message: "activator is gone".to_owned(),
        },
        since: at(0),
    };
    for second in (0..1_000).step_by(2) {
        assert_eq!(sim.desired(second), 3);
    }
}

#[test]
fn a_function_without_triggers_keeps_its_declared_count() {
    let mut sim = Sim::new(Vec::new(), Start::Created);
    sim.policy.replicas = 2;
    assert_eq!(sim.desired(0), 2);
    assert_eq!(sim.state.due(), None);
}

#[test]
fn a_changed_policy_keeps_windows_and_readings() {
    let mut sim = Sim::created(Scaling::Metric(metric(1)), None);
    sim.read(0, FIRST, 50.0);
    assert_eq!(sim.desired(0), 5);
    let old = sim.policy.clone();
    sim.policy.groups[0].max = Some(3);
    sim.state.update(&old, &sim.policy, 5, at(1));
    assert_eq!(sim.desired(1), 3);
}
