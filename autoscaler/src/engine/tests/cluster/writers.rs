//! Claims about counts that somebody else writes, or keeps from coming about.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_count_that_somebody_else_raised_is_taken_over_and_goes_back_to_zero() {
    let mut rig = Rig::start();
    rig.apply(hello(10));
    rig.quiet(1).await;
    rig.backend.declare("hello", 1);
    rig.backend.run("hello", 1);
    rig.quiet(9).await;
    assert_eq!(rig.handle.status(&id("hello")).unwrap().desired, 1);
    assert!(rig.backend.asked("hello").is_empty());
    let drain = rig.drain(second() * 2).await;
    rig.drained(&drain).await;
    rig.quiet(2).await;
    assert_eq!(rig.backend.asked("hello"), [0]);
    // The platform still says one for a moment: that was us.
    rig.backend.declare("hello", 1);
    rig.backend.declare("hello", 0);
    rig.quiet(100).await;
    assert_eq!(rig.backend.asked("hello"), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_at_a_count_that_somebody_else_set_to_zero_is_asked_for_at_once() {
    let mut rig = Rig::woken().await;
    rig.backend.declare("hello", 1);
    rig.backend.declare("hello", 0);
    rig.backend.run("hello", 0);
    settle().await;
    assert_eq!(rig.backend.asked("hello"), [1], "nobody waits");
    rig.wake("hello", 0, 1).await;
    settle().await;
    assert_eq!(rig.backend.asked("hello"), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_count_that_does_not_come_about_is_asked_for_again_without_haste() {
    let mut rig = Rig::start();
    rig.registry.answer("t0", Ok(30.0));
    let scaling = MetricScaling {
        polling_interval: second(),
        ..metric(1)
    };
    rig.apply(function(
        "hello",
        vec![group(Scaling::Metric(scaling), None)],
    ));
    rig.quiet(1).await;
    rig.backend.declare("hello", 0);
    rig.quiet(10).await;
    assert_eq!(rig.backend.asked("hello"), [3]);
    rig.quiet(6).await;
    assert_eq!(rig.backend.asked("hello"), [3, 3]);
    rig.quiet(50).await;
    assert_eq!(rig.backend.asked("hello"), [3, 3]);
    rig.backend.declare("hello", 3);
    rig.quiet(600).await;
    assert_eq!(rig.backend.asked("hello"), [3, 3]);
}

#[tokio::test(start_paused = true)]
async fn less_than_was_asked_for_is_neither_asked_for_again_nor_forgotten() {
    let mut rig = Rig::start();
    rig.registry.answer("t0", Ok(100.0));
    let scaling = MetricScaling {
        polling_interval: second(),
        ..metric(1)
    };
    rig.apply(function(
        "hello",
        vec![group(Scaling::Metric(scaling), None)],
    ));
    rig.quiet(1).await;
    rig.backend.declare("hello", 10);
    rig.backend.starve("hello", 7, 3);
    rig.quiet(600).await;
    assert_eq!(rig.backend.asked("hello"), [10]);
    let status = rig.handle.status(&id("hello")).unwrap();
    assert_eq!((status.desired, status.ready, status.starting), (10, 7, 3));
    assert_eq!(status.failure.unwrap().reason, "FailedCreate");
}

#[tokio::test(start_paused = true)]
async fn a_start_that_failed_is_said_until_one_succeeds() {
    let mut rig = Rig::woken().await;
    let reason = |rig: &Rig| {
        let status = rig.handle.status(&id("hello")).unwrap();
        status.failure.map(|failure| failure.reason)
    };
    rig.backend.fail("hello", true);
    rig.quiet(1).await;
    assert_eq!(reason(&rig).unwrap(), "CrashLoopBackOff");
    rig.backend.fail("hello", false);
    rig.quiet(60).await;
    assert_eq!(reason(&rig).unwrap(), "CrashLoopBackOff");
    rig.backend.run("hello", 1);
    rig.quiet(1).await;
    assert_eq!(reason(&rig), None);
}

#[tokio::test(start_paused = true)]
async fn a_frozen_function_follows_whoever_writes_it() {
    let mut rig = Rig::start();
    let mut frozen = hello(10);
    frozen.scale.pause = Pause {
        is_frozen: true,
        ..Pause::default()
    };
    rig.handle.apply_found(
        frozen.into(),
        Found {
            replicas: Some(4),
            ..Found::default()
        },
    );
    rig.quiet(1).await;
    assert_eq!(rig.handle.status(&id("hello")).unwrap().paused_at, Some(4));
    rig.backend.declare("hello", 2);
    rig.quiet(100).await;
    assert!(rig.backend.asked("hello").is_empty());
    assert_eq!(rig.handle.status(&id("hello")).unwrap().paused_at, Some(2));
}

#[tokio::test(start_paused = true)]
async fn an_external_writers_count_is_followed_through_everything() {
    let mut rig = Rig::start();
    rig.registry.answer("t0", Ok(500.0));
    let mut external = hello(1);
    external
        .scale
        .groups
        .push(group(Scaling::Metric(metric(1)), None));
    external.scale.writer = Writer::External;
    rig.handle
        .apply_found(external.clone().into(), Found::default());
    rig.backend.declare("hello", 2);
    rig.quiet(1).await;
    rig.wake("hello", 5, 50).await;
    rig.quiet(60).await;
    rig.backend.declare("hello", 0);
    rig.quiet(60).await;
    rig.backend.declare("hello", 3);
    rig.backend.run("hello", 1);
    external.protocol = Protocol::None;
    rig.apply(external);
    rig.quiet(60).await;
    assert!(rig.backend.asked("hello").is_empty());
    assert_eq!(rig.handle.status(&id("hello")).unwrap().desired, 3);
    assert_eq!(rig.drains(), []);
}

#[tokio::test(start_paused = true)]
async fn a_count_that_is_ours_from_now_on_is_kept_for_one_cooldown() {
    let mut rig = Rig::start();
    let mut external = hello(100);
    external.scale.writer = Writer::External;
    rig.handle.apply_found(external.into(), Found::default());
    rig.backend.declare("hello", 0);
    rig.quiet(1).await;
    // Somebody woke it and has its requests; we never saw any.
    rig.backend.declare("hello", 1);
    rig.backend.run("hello", 1);
    rig.quiet(1).await;
    rig.apply(hello(100));
    rig.quiet(98).await;
    assert!(rig.backend.asked("hello").is_empty());
    let drain = rig.drain(second() * 5).await;
    rig.drained(&drain).await;
    rig.quiet(2).await;
    assert_eq!(rig.backend.asked("hello"), [0]);
}
