//! Whole evaluations: triggers that answer, fail and join, Jobs that come and go meanwhile.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use zeron_core::FunctionId;
use zeron_core::decision::Cause;
use zeron_core::job::{JobCounts, JobStrategy};
use zeron_core::metric::{Activity, MetricReading, Unknown, UnknownKind};

use super::*;
use crate::observation::Load;
use crate::state::{Start, TriggerKey};
use crate::testkit::{group, metric};

struct World {
    policy: ScalePolicy,
    state: DecisionState,
    now: Timestamp,
    counts: JobCounts,
}

impl World {
    fn new(jobs: JobScaling, triggers: usize) -> Self {
        let policy = ScalePolicy {
            groups: vec![group(Scaling::Metric(metric(triggers)), Some(10))],
            jobs: Some(jobs),
            ..ScalePolicy::default()
        };
        let now = Timestamp::from_secs(1_000);
        let start = Start::Found {
            replicas: 0,
            last_active: None,
        };
        let state = DecisionState::new(&policy, start, now);
        let mut world = Self {
            policy,
            state,
            now,
            counts: JobCounts::default(),
        };
        world.jobs(0, 0);
        world
    }

    fn pass(&mut self, secs: u64) {
        self.now = self.now + Duration::from_secs(secs);
    }

    fn jobs(&mut self, running: u32, pending: u32) {
        self.counts = JobCounts {
            running,
            pending,
            begun: self.counts.begun,
        };
        self.state.observe_jobs(self.counts, self.now);
    }

    fn answer(&mut self, trigger: usize, result: Result<f64, UnknownKind>) {
        let reading = |value| {
            vec![MetricReading {
                metric: format!("kafka-t{trigger}"),
                value,
                target: 1.0,
                activity: Activity::Above {
                    value,
                    threshold: 0.0,
                },
            }]
        };
        let unknown = |kind| Unknown {
            kind,
            message: "it does not answer".to_owned(),
        };
        let key = TriggerKey { group: 0, trigger };
        let result = result.map(reading).map_err(unknown);
        self.state.observe_metric(key, result, self.now);
    }

    fn is_due(&self) -> bool {
        self.state.is_job_round_complete(&self.policy)
    }

    fn decide(&mut self) -> Decision {
        assert!(self.is_due(), "not every trigger has answered");
        let observation = Observation {
            function: FunctionId::new("default", "ScaledJob.keda.sh", "work"),
            cause: Cause::Poll,
            current: self.counts.running,
            ready: self.counts.running - self.counts.pending,
            load: Load::NONE,
            concurrency_limit: None,
            cap: None,
        };
        crate::decide(&self.policy, &observation, &mut self.state, self.now)
    }

    fn created(&mut self) -> u32 {
        let decision = self.decide();
        decision.desired - decision.current
    }
}

fn joined(calculation: JobCalculation) -> JobScaling {
    JobScaling {
        calculation,
        ..JobScaling::default()
    }
}

#[test]
fn an_answer_is_used_once() {
    let mut world = World::new(JobScaling::default(), 1);
    assert!(!world.is_due());
    world.answer(0, Ok(4.0));
    assert_eq!(world.created(), 4);
    assert!(!world.is_due());
    // The Jobs took their messages and are gone; the source was not asked again.
    world.jobs(4, 0);
    world.pass(2);
    world.jobs(0, 0);
    assert!(!world.is_due());
    world.answer(0, Ok(1.0));
    assert_eq!(world.created(), 1);
}

#[test]
fn nothing_is_created_before_every_trigger_has_answered() {
    let mut world = World::new(joined(JobCalculation::Sum), 2);
    world.answer(0, Ok(4.0));
    assert!(!world.is_due());
    world.answer(1, Ok(2.0));
    assert_eq!(world.created(), 6);
}

#[test]
fn a_job_that_finished_since_its_source_was_asked_was_in_the_answer() {
    let mut world = World::new(joined(JobCalculation::Sum), 2);
    world.jobs(3, 0);
    world.pass(1);
    // Three messages, all being worked on.
    world.answer(0, Ok(3.0));
    world.pass(5);
    world.jobs(0, 0);
    world.answer(1, Ok(0.0));
    assert_eq!(world.created(), 0);
    world.pass(30);
    world.answer(0, Ok(0.0));
    world.answer(1, Ok(2.0));
    assert_eq!(world.created(), 2);
}

#[test]
fn accurate_counts_a_job_as_pending_as_long_as_the_answer_may_hold_its_message() {
    let accurate = JobScaling {
        strategy: JobStrategy::Accurate,
        calculation: JobCalculation::Sum,
    };
    let mut world = World::new(accurate, 2);
    world.jobs(2, 2);
    world.answer(0, Ok(2.0));
    world.pass(3);
    // They took their messages.
    world.jobs(2, 0);
    world.answer(1, Ok(0.0));
    assert_eq!(world.created(), 0);
}

#[test]
fn an_unknown_trigger_asks_for_nothing_and_is_named() {
    for (calculation, expected) in [
        (JobCalculation::Max, 5),
        (JobCalculation::Min, 5),
        (JobCalculation::Avg, 5),
        (JobCalculation::Sum, 5),
    ] {
        let mut world = World::new(joined(calculation), 2);
        world.answer(0, Err(UnknownKind::Transport));
        world.answer(1, Ok(5.0));
        let decision = world.decide();
        assert_eq!(decision.desired, expected, "{calculation:?}");
        let unknown = Rule::UnknownJobs {
            metric: "s0-kafka".to_owned(),
        };
        assert!(decision.rules.contains(&unknown), "{:?}", decision.rules);
    }
}

#[test]
fn nothing_is_created_when_nothing_is_known() {
    let mut world = World::new(JobScaling::default(), 2);
    world.answer(0, Err(UnknownKind::Timeout));
    world.answer(1, Err(UnknownKind::Authentication));
    assert_eq!(world.created(), 0);
}

#[test]
fn the_minimum_does_not_depend_on_what_sources_say() {
    let mut world = World::new(JobScaling::default(), 1);
    world.policy.groups[0].min = 2;
    world.answer(0, Err(UnknownKind::Timeout));
    assert_eq!(world.created(), 2);
}

#[test]
fn a_pause_creates_nothing_and_says_so() {
    let mut world = World::new(JobScaling::default(), 1);
    world.policy.pause.is_frozen = true;
    world.jobs(3, 0);
    world.answer(0, Ok(9.0));
    let decision = world.decide();
    assert_eq!(decision.desired, 3);
    assert!(decision.rules.contains(&Rule::Paused { at: 3 }));
}

#[test]
fn the_decision_says_how_it_came_about() {
    let mut world = World::new(JobScaling::default(), 2);
    world.jobs(4, 1);
    world.answer(0, Ok(3.0));
    world.answer(1, Ok(30.0));
    let decision = world.decide();
    assert_eq!((decision.current, decision.desired), (4, 10));
    assert_eq!(decision.winner, Some(1));
    assert_eq!(decision.asks.len(), 2);
    let rules = [
        Rule::Max { max: 10, from: 30 },
        Rule::Jobs {
            wanted: 10,
            unfinished: 4,
            pending: 1,
            created: 6,
        },
    ];
    assert_eq!(decision.rules, rules);
}
