//! What a formula joins beside event sources: our own requests, cpu, and triggers without a target.

use zeron_core::policy::{HttpTargets, Trigger, TriggerSource};

use super::*;

fn formula(expression: &str) -> Option<Formula> {
    Some(Formula {
        expression: expression.to_owned(),
        target: 10.0,
        activation_target: 0.0,
        metric_type: MetricType::AverageValue,
    })
}

fn named(mut trigger: Trigger, name: &str) -> Trigger {
    trigger.name = Some(name.to_owned());
    trigger
}

fn queue(name: &str) -> Trigger {
    named(metric(1).triggers.remove(0), name)
}

fn web(name: &str) -> Trigger {
    let targets = HttpTargets {
        concurrency: Some(1.0),
        request_rate: None,
    };
    Trigger {
        source: TriggerSource::Http(targets),
        ..queue(name)
    }
}

fn cpu(name: &str) -> Trigger {
    let mut trigger = queue(name);
    if let TriggerSource::Scaler(spec) = &mut trigger.source {
        "cpu".clone_into(&mut spec.kind);
    }
    trigger
}

fn scaling(expression: &str, triggers: [Trigger; 2]) -> Scaling {
    Scaling::Metric(MetricScaling {
        formula: formula(expression),
        triggers: triggers.into(),
        ..metric(0)
    })
}

const SECOND: TriggerKey = TriggerKey {
    group: 0,
    trigger: 1,
};

#[test]
fn requests_are_variables_like_any_other() {
    let joined = scaling("web * 5 + jobs", [web("web"), queue("jobs")]);
    let mut sim = Sim::created(joined, None);
    sim.read(0, SECOND, 0.0);
    assert_eq!(sim.desired(0), 0);
    sim.load(4, 2);
    let decision = sim.decide(1);
    assert!(decision.rules.contains(&Rule::Formula { result: 30.0 }));
    assert_eq!(decision.desired, 3, "of 6 requests one replica each is 6");
    sim.read(2, SECOND, 25.0);
    assert_eq!(sim.desired(2), 6);
}

#[test]
fn requests_that_nobody_counts_hold_a_formula() {
    let joined = scaling("web + jobs", [web("web"), queue("jobs")]);
    let mut sim = Sim::found(joined, 3);
    sim.read(0, SECOND, 0.0);
    sim.observation.load = Load::Unknown {
        reason: Unknown {
            kind: UnknownKind::Transport,
            message: "the activator is gone".to_owned(),
        },
        since: at(0),
    };
    let decision = sim.decide(0);
    assert_eq!(decision.desired, 3);
    let formula = |rule: &Rule| matches!(rule, Rule::Formula { .. });
    assert!(!decision.rules.iter().any(formula), "{:?}", decision.rules);
}

#[test]
fn cpu_that_a_formula_uses_is_nothing_while_nobody_runs() {
    let joined = scaling("jobs + cpu", [queue("jobs"), cpu("cpu")]);
    let mut sim = Sim::created(joined, None);
    sim.fail(0, SECOND);
    sim.read(0, FIRST, 20.0);
    assert_eq!(
        sim.desired(0),
        2,
        "it wakes though there is nothing to measure"
    );
    sim.fail(1, SECOND);
    sim.read(1, FIRST, 0.0);
    assert_eq!(
        sim.desired(1_000),
        2,
        "with replicas it is unknown, and holds"
    );
    sim.read(1_001, FIRST, 10.0);
    sim.read(1_001, SECOND, 40.0);
    assert_eq!(sim.desired(1_001), 5);
}

#[test]
fn cpu_that_a_formula_does_not_use_counts_beside_it() {
    let joined = scaling("jobs * 2", [queue("jobs"), cpu("load")]);
    let mut sim = Sim::created(joined, None);
    sim.fail(0, SECOND);
    sim.read(0, FIRST, 10.0);
    assert_eq!(sim.desired(0), 2);
    sim.read(1, SECOND, 70.0);
    let decision = sim.decide(1);
    assert_eq!(decision.desired, 7);
    let winner = decision.winner.unwrap();
    assert_ne!(decision.asks[winner].metric, "composite-metric");
    sim.read(2, FIRST, 90.0);
    let decision = sim.decide(2);
    assert_eq!(decision.desired, 18);
    let winner = decision.winner.unwrap();
    assert_eq!(decision.asks[winner].metric, "composite-metric");
}
