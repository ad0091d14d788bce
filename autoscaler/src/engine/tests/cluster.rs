//! Claims about an engine that is not alone: several activators, other owners, other writers.

mod writers;

use std::time::Duration;

use zeron_core::Timestamp;
use zeron_core::decision::{Cause, Rule};
use zeron_core::function::Protocol;
use zeron_core::metric::UnknownKind;
use zeron_core::policy::{
    Fallback, FallbackBehavior, HttpScaling, MetricScaling, Pause, Scaling, Writer,
};
use zeron_wire::{Coverage, Drain, ToActivator, ToAutoscaler};

use super::fakes::{Rig, function, id, settle};
use super::second;
use crate::engine::{Clock, Found, MonotonicClock};
use crate::testkit::{group, http, metric};

/// `http(1.0)` with a cooldown of so many seconds and no stabilization to wait for.
fn quick(cooldown: u64) -> Scaling {
    Scaling::Http(HttpScaling {
        cooldown: second() * u32::try_from(cooldown).unwrap(),
        ..http(1.0)
    })
}

fn hello(cooldown: u64) -> zeron_core::Function {
    function("hello", vec![group(quick(cooldown), None)])
}

fn partial() -> ToAutoscaler {
    ToAutoscaler::Coverage(Coverage::Partial {
        message: "not heard: b".to_owned(),
    })
}

fn complete() -> ToAutoscaler {
    ToAutoscaler::Coverage(Coverage::Complete)
}

impl Rig {
    /// Woken by one request, which is over.
    async fn woken() -> Self {
        let mut rig = Self::start();
        rig.apply(hello(10));
        settle().await;
        rig.wake("hello", 0, 1).await;
        rig.report("hello", 1.0, 1, 0, 0).await;
        rig.silence().await;
        settle().await;
        assert_eq!(rig.backend.asked("hello"), [1]);
        rig
    }

    /// Nothing is reported for so many seconds, every second.
    async fn quiet(&mut self, seconds: u32) {
        for _ in 0..seconds {
            tokio::time::sleep(second()).await;
            self.silence().await;
        }
        settle().await;
    }

    fn drains(&mut self) -> Vec<Drain> {
        let orders = self.orders().into_iter();
        orders
            .filter_map(|order| match order {
                ToActivator::Drain(drain) => Some(drain),
                _ => None,
            })
            .collect()
    }
}

// === wake-ups ===

#[tokio::test(start_paused = true)]
async fn a_wake_is_acknowledged_by_its_owner_alone() {
    let mut rig = Rig::start();
    rig.apply(hello(10));
    settle().await;
    rig.wake("hello", 0, 1).await;
    rig.wake("of-somebody-else", 0, 1).await;
    settle().await;
    assert_eq!(rig.backend.asked("hello"), [1]);
    assert_eq!(rig.orders(), [ToActivator::Woken(id("hello"))]);
}

#[tokio::test(start_paused = true)]
async fn a_paused_function_is_acknowledged_so_that_nobody_else_wakes_it() {
    let mut rig = Rig::start();
    let mut paused = hello(10);
    paused.scale.pause.at = Some(0);
    rig.apply(paused);
    settle().await;
    rig.wake("hello", 0, 1).await;
    settle().await;
    assert!(rig.backend.asked("hello").is_empty());
    assert_eq!(rig.orders(), [ToActivator::Woken(id("hello"))]);
}

// === coverage ===

#[tokio::test(start_paused = true)]
async fn while_an_activator_is_not_heard_nothing_goes_down_and_wakes_go_up() {
    let mut rig = Rig::woken().await;
    let mut limited = function("limited", vec![group(quick(10), None)]);
    limited.concurrency_limit = std::num::NonZeroU32::new(1);
    rig.apply(limited);
    rig.send(partial()).await;
    rig.quiet(1_000).await;
    assert_eq!(rig.drains(), []);
    let status = rig.handle.status(&id("hello")).unwrap();
    assert_eq!(status.desired, 1);
    assert!(
        status
            .held
            .iter()
            .any(|rule| matches!(rule, Rule::Unknown { .. }))
    );
    rig.wake("limited", 0, 3).await;
    settle().await;
    assert_eq!(rig.backend.asked("limited"), [3]);
}

#[tokio::test(start_paused = true)]
async fn once_all_are_heard_again_a_full_cooldown_comes_first() {
    let mut rig = Rig::woken().await;
    rig.send(partial()).await;
    rig.quiet(60).await;
    rig.send(complete()).await;
    rig.quiet(9).await;
    assert_eq!(rig.drains(), []);
    rig.quiet(2).await;
    assert_eq!(rig.drains().len(), 1);
}

// === the last drain ===

#[tokio::test(start_paused = true)]
async fn a_request_served_since_the_last_report_takes_the_last_drain_back() {
    let mut rig = Rig::woken().await;
    let drain = rig.drain(second() * 20).await;
    rig.drained(&drain).await;
    settle().await;
    // It came and went before the drain was done: nothing is in flight any more.
    rig.report("hello", 0.1, 1, 0, 0).await;
    settle().await;
    assert_eq!(rig.orders(), [ToActivator::Cancel(drain.id)]);
    rig.silence().await;
    settle().await;
    assert_eq!(rig.backend.asked("hello"), [1]);
}

#[tokio::test(start_paused = true)]
async fn of_merged_reports_two_must_show_that_nothing_arrived() {
    let mut rig = Rig::woken().await;
    rig.send(complete()).await;
    let drain = rig.drain(second() * 20).await;
    rig.drained(&drain).await;
    rig.quiet(1).await;
    assert_eq!(rig.backend.asked("hello"), [1]);
    rig.quiet(1).await;
    assert_eq!(rig.backend.asked("hello"), [1, 0]);
    assert!(rig.orders().contains(&ToActivator::Settled(drain.id)));
}

#[tokio::test(start_paused = true)]
async fn an_activator_that_is_lost_before_the_end_stops_the_last_drain() {
    let mut rig = Rig::woken().await;
    rig.send(complete()).await;
    let drain = rig.drain(second() * 20).await;
    rig.drained(&drain).await;
    settle().await;
    rig.send(partial()).await;
    rig.quiet(60).await;
    assert_eq!(rig.backend.asked("hello"), [1]);
    rig.wake("hello", 0, 1).await;
    settle().await;
    assert!(rig.orders().contains(&ToActivator::Cancel(drain.id)));
    assert_eq!(rig.backend.asked("hello"), [1]);
}

// === owners ===

#[tokio::test(start_paused = true)]
async fn a_function_that_is_removed_keeps_its_replicas_and_gets_its_drains_back() {
    let mut rig = Rig::woken().await;
    let drain = rig.drain(second() * 20).await;
    rig.handle.remove(id("hello"));
    settle().await;
    assert_eq!(rig.orders(), [ToActivator::Cancel(drain.id)]);
    rig.drained(&drain).await;
    rig.quiet(3).await;
    assert_eq!(rig.backend.asked("hello"), [1]);
    // It comes back with what was written down, and one cooldown of our own comes first.
    let found = Found {
        last_active: Some(Timestamp::from_secs(1)),
        replicas: None,
    };
    rig.handle.apply_found(hello(10).into(), found);
    rig.quiet(9).await;
    assert_eq!(rig.drains(), []);
    rig.quiet(2).await;
    assert_eq!(rig.drains().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_written_down_counts_as_evidence() {
    let rig = Rig::start();
    let now = MonotonicClock::new().now();
    let found = Found {
        last_active: Some(now - second()),
        replicas: Some(2),
    };
    rig.handle.apply_found(hello(10).into(), found);
    settle().await;
    let status = rig.handle.status(&id("hello")).unwrap();
    assert_eq!(status.last_active, found.last_active);
    assert_eq!((status.desired, rig.backend.asked("hello").len()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_over_goes_down_on_a_report_only() {
    let mut rig = Rig::start();
    rig.send(complete()).await;
    let found = Found {
        last_active: None,
        replicas: Some(3),
    };
    let mut eager = http(1.0);
    eager.behavior.scale_down.stabilization = Duration::ZERO;
    let group = group(Scaling::Http(eager), None);
    let hello = function("hello", vec![group]);
    rig.handle.apply_found(hello.into(), found);
    tokio::time::sleep(second() * 5).await;
    settle().await;
    assert_eq!(rig.drains(), [], "nobody has said what its load is");
    assert!(rig.backend.asked("hello").is_empty());
    rig.report("hello", 2.0, 0, 2, 0).await;
    settle().await;
    assert_eq!(rig.drains().len(), 1, "two are enough");
    assert_eq!(rig.handle.status(&id("hello")).unwrap().desired, 2);
}

#[tokio::test(start_paused = true)]
async fn a_count_that_is_not_known_is_neither_zero_nor_decided_on() {
    let mut rig = Rig::start();
    rig.registry.answer("t0", Ok(20.0));
    let mut both = hello(10);
    both.scale
        .groups
        .push(group(Scaling::Metric(metric(1)), None));
    rig.handle.apply_found(both.into(), Found::default());
    settle().await;
    rig.wake("hello", 0, 1).await;
    rig.quiet(100).await;
    assert!(rig.backend.asked("hello").is_empty());
    assert_eq!(rig.orders(), [], "somebody else must act");
    assert_eq!(rig.handle.status(&id("hello")), None);
    rig.backend.declare("hello", 5);
    rig.quiet(1).await;
    assert_eq!(rig.handle.status(&id("hello")).unwrap().desired, 5);
    assert!(rig.backend.asked("hello").is_empty());
    rig.wake("hello", 0, 1).await;
    settle().await;
    assert_eq!(rig.orders(), [ToActivator::Woken(id("hello"))]);
}

#[tokio::test(start_paused = true)]
async fn an_empty_snapshot_is_a_count() {
    let mut rig = Rig::start();
    rig.handle.apply_found(hello(10).into(), Found::default());
    rig.backend.run("hello", 0);
    settle().await;
    rig.wake("hello", 0, 1).await;
    settle().await;
    assert_eq!(rig.backend.asked("hello"), [1]);
}

// === status ===

#[tokio::test(start_paused = true)]
async fn failures_are_counted_once_per_poll_and_a_fallback_shows() {
    let mut rig = Rig::start();
    let scaling = MetricScaling {
        polling_interval: second() * 10,
        fallback: Some(Fallback {
            failure_threshold: 2,
            replicas: 4,
            behavior: FallbackBehavior::Static,
        }),
        ..metric(1)
    };
    rig.registry.answer("t0", Ok(10.0));
    rig.apply(function(
        "hello",
        vec![group(Scaling::Metric(scaling), None)],
    ));
    settle().await;
    let health = |rig: &Rig| {
        let status = rig.handle.status(&id("hello")).unwrap();
        assert_eq!(status.triggers.len(), 1);
        assert_eq!(status.triggers[0].metric, "kafka-t0", "it keeps its name");
        status.triggers[0].health
    };
    assert_eq!(health(&rig).failures, 0);
    let message = "connection refused";
    rig.registry
        .answer("t0", Err((UnknownKind::Transport, message)));
    tokio::time::sleep(second() * 20).await;
    let (failures, since) = (health(&rig).failures, health(&rig).failing_since.unwrap());
    assert!((1..=2).contains(&failures) && !health(&rig).is_fallback);
    tokio::time::sleep(second() * 20).await;
    assert_eq!(health(&rig).failures, failures + 2);
    assert_eq!(health(&rig).failing_since, Some(since));
    assert!(health(&rig).is_fallback);
    assert_eq!(rig.backend.asked("hello"), [1, 4]);
    rig.registry.answer("t0", Ok(10.0));
    tokio::time::sleep(second() * 10).await;
    let healed = health(&rig);
    assert_eq!((healed.failures, healed.failing_since), (0, None));
    assert!(!healed.is_fallback);
    assert_eq!(healed.errors, u64::from(failures) + 2, "what failed stays");
}

#[tokio::test(start_paused = true)]
async fn the_status_says_what_holds_the_count() {
    let mut rig = Rig::woken().await;
    rig.quiet(2).await;
    let status = rig.handle.status(&id("hello")).unwrap();
    let is_cooldown = |rule: &Rule| matches!(rule, Rule::ZeroNotBefore { .. });
    assert!(status.held.iter().any(is_cooldown), "{:?}", status.held);
    let json = serde_json::to_value(&status).unwrap();
    assert_eq!(json["held"][0]["rule"], "zeroNotBefore");
    assert_eq!(json.get("pausedAt"), None);
}

// === the grid ===

#[test]
fn functions_that_are_declared_together_decide_apart() {
    use crate::decide::decide;
    use crate::observation::{Load, Observation};
    use crate::state::{DecisionState, Start};
    use crate::testkit::knative;

    let policy = function("a", vec![group(Scaling::Knative(knative()), None)]).scale;
    let now = Timestamp::from_millis(1_000_300);
    let due = |phase: u64| {
        let mut state = DecisionState::new(&policy, Start::Created, now);
        state.set_phase(Duration::from_millis(phase), now);
        let observation = Observation {
            function: id("a"),
            cause: Cause::Applied,
            current: 1,
            ready: 1,
            load: Load::NONE,
            concurrency_limit: None,
            cap: None,
        };
        decide(&policy, &observation, &mut state, now);
        state.due().unwrap().as_millis()
    };
    assert_eq!(
        [due(0), due(300), due(301), due(1_999)],
        [1_002_000, 1_002_300, 1_000_301, 1_001_999]
    );
}
