//! Metrics, their failures and their formulas.

use super::*;

#[test]
fn a_backlog_of_messages_goes_from_zero_to_all_in_one_step() {
    let mut sim = Sim::created(Scaling::Metric(metric(1)), Some(100));
    assert_eq!(sim.desired(0), 0);
    sim.read(1, FIRST, 95.0);
    let decision = sim.decide(1);
    assert_eq!(decision.desired, 10);
    assert_eq!(
        decision.asks[decision.winner.unwrap()].metric,
        "kafka-orders"
    );
}

#[test]
fn metrics_go_down_after_stabilization_and_to_zero_after_the_cooldown() {
    let mut sim = Sim::created(Scaling::Metric(metric(1)), None);
    sim.read(0, FIRST, 100.0);
    assert_eq!(sim.desired(0), 10);
    for second in (30..300).step_by(30) {
        sim.read(second, FIRST, 0.0);
        let decision = sim.decide(second);
        assert_eq!(decision.desired, 10);
        let wait = decision.rules.iter().any(|rule| {
            matches!(rule, Rule::ZeroNotBefore { wait: ZeroWait::Cooldown, until } if *until == at(300))
        });
        assert!(wait);
    }
    assert_eq!(sim.state.due(), Some(at(300)));
    assert_eq!(
        sim.desired(300),
        0,
        "ten to zero in one jump, as the original does"
    );
}

#[test]
fn an_unknown_source_holds_and_never_lowers() {
    let mut sim = Sim::created(Scaling::Metric(metric(2)), None);
    let second_key = TriggerKey {
        trigger: 1,
        ..FIRST
    };
    sim.read(0, FIRST, 50.0);
    sim.read(0, second_key, 10.0);
    assert_eq!(sim.desired(0), 5);
    for second in (30..2_000).step_by(30) {
        sim.fail(second, FIRST);
        sim.read(second, second_key, 0.0);
        let decision = sim.decide(second);
        assert_eq!(decision.desired, 5);
        let is_named = decision.rules.contains(&Rule::Unknown {
            metric: "s0-kafka".to_owned(),
        });
        assert_eq!(is_named, second >= 300, "at first the stabilization holds");
    }
    sim.read(2_000, second_key, 90.0);
    assert_eq!(sim.desired(2_000), 9, "the other trigger still raises");
}

#[test]
fn a_value_that_is_too_old_is_unknown() {
    let mut sim = Sim::created(Scaling::Metric(metric(1)), None);
    sim.read(0, FIRST, 50.0);
    assert_eq!(sim.desired(0), 5);
    sim.read(1, FIRST, 0.0);
    assert_eq!(sim.desired(64), 5, "60 s + 3 s + 1 s");
    let decision = sim.decide(900);
    assert_eq!(decision.desired, 5);
    assert_eq!(decision.asks[0].replicas, None);
}

#[test]
fn a_fallback_comes_after_more_failures_than_its_threshold_counted_once_per_poll() {
    let fallback = |behavior| {
        let scaling = MetricScaling {
            fallback: Some(Fallback {
                failure_threshold: 3,
                replicas: 6,
                behavior,
            }),
            ..metric(1)
        };
        let mut sim = Sim::created(Scaling::Metric(scaling), None);
        sim.read(0, FIRST, 20.0);
        assert_eq!(sim.desired(0), 2);
        for second in 1..=3 {
            sim.fail(second, FIRST);
            for _ in 0..5 {
                assert_eq!(sim.desired(second), 2);
            }
        }
        sim.fail(4, FIRST);
        sim.desired(4)
    };
    assert_eq!(fallback(FallbackBehavior::Static), 6);
    assert_eq!(fallback(FallbackBehavior::CurrentReplicas), 2);
    assert_eq!(fallback(FallbackBehavior::CurrentReplicasIfHigher), 6);
    assert_eq!(fallback(FallbackBehavior::CurrentReplicasIfLower), 2);
}

#[test]
fn a_formula_replaces_the_maximum_and_its_failure_holds() {
    let mut scaling = MetricScaling {
        formula: Some(Formula {
            expression: "(a + b) / 2".to_owned(),
            target: 5.0,
            activation_target: 0.0,
            metric_type: MetricType::AverageValue,
        }),
        ..metric(2)
    };
    scaling.triggers[0].name = Some("a".to_owned());
    scaling.triggers[1].name = Some("b".to_owned());
    let mut sim = Sim::created(Scaling::Metric(scaling), None);
    let second_key = TriggerKey {
        trigger: 1,
        ..FIRST
    };
    sim.read(0, FIRST, 30.0);
    sim.read(0, second_key, 10.0);
    let decision = sim.decide(0);
    assert_eq!(decision.desired, 4);
    assert!(decision.rules.contains(&Rule::Formula { result: 20.0 }));
    assert_eq!(
        decision.asks[decision.winner.unwrap()].metric,
        "composite-metric"
    );
    sim.fail(1, FIRST);
    assert_eq!(sim.desired(1_000), 4);
}

#[test]
fn scaling_modifiers_fallback_makes_failed_triggers_nil() {
    let mut scaling = MetricScaling {
        formula: Some(Formula {
            expression: "(a ?? 100) + (b ?? 100)".to_owned(),
            target: 10.0,
            activation_target: 0.0,
            metric_type: MetricType::AverageValue,
        }),
        fallback: Some(Fallback {
            failure_threshold: 0,
            replicas: 7,
            behavior: FallbackBehavior::ScalingModifiers,
        }),
        ..metric(2)
    };
    scaling.triggers[0].name = Some("a".to_owned());
    scaling.triggers[1].name = Some("b".to_owned());
    let mut sim = Sim::created(Scaling::Metric(scaling), None);
    let second_key = TriggerKey {
        trigger: 1,
        ..FIRST
    };
    sim.fail(0, FIRST);
    sim.read(0, second_key, 20.0);
    assert_eq!(sim.desired(0), 12);
    sim.fail(1, second_key);
    assert_eq!(sim.desired(400), 7, "all are nil: the fallback's own count");
}

#[test]
fn value_targets_count_ready_replicas() {
    let mut scaling = metric(1);
    scaling.triggers[0].metric_type = MetricType::Value;
    let mut sim = Sim::created(Scaling::Metric(scaling), None);
    sim.read(0, FIRST, 20.0);
    assert_eq!(sim.desired(0), 2);
    assert_eq!(sim.desired(1), 4);
}

#[test]
fn idle_replicas_are_kept_below_the_minimum() {
    let scaling = MetricScaling {
        idle: Some(0),
        cooldown: Duration::from_secs(10),
        ..metric(1)
    };
    let groups = vec![TriggerGroup {
        min: 2,
        ..group(Scaling::Metric(scaling), None)
    }];
    let mut sim = Sim::new(groups, Start::Created);
    sim.read(0, FIRST, 1.0);
    assert_eq!(sim.desired(0), 2);
    sim.read(5, FIRST, 0.0);
    assert_eq!(sim.desired(5), 2);
    let decision = sim.decide(10);
    assert_eq!(decision.desired, 0);
    assert!(decision.rules.contains(&Rule::Idle { replicas: 0 }));
}

#[test]
fn a_push_activates_before_the_next_reading() {
    let mut sim = Sim::created(Scaling::Metric(metric(1)), None);
    sim.read(0, FIRST, 0.0);
    assert_eq!(sim.desired(0), 0);
    sim.state.observe_push(FIRST);
    assert_eq!(sim.desired(1), 1);
}
