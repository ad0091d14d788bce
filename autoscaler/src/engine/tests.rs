//! Claims about the engine, with a fake back end and fake sources, on a paused clock.
#![allow(clippy::unwrap_used)]

mod cluster;
mod errors;
mod fakes;
mod jobs;
mod pushes;
mod switched;
mod withdrawal;

use std::time::Duration;

use tokio::time::Instant;
use zeron_core::function::Protocol;
use zeron_core::metric::{Unknown, UnknownKind};
use zeron_core::policy::{KnativeScaling, MetricScaling, Scaling, Writer};
use zeron_core::roles::TriggerHandle;
use zeron_core::status::Phase;
use zeron_wire::{Drained, ToActivator, ToAutoscaler};

use super::*;
use crate::engine::poll::{Answer, Member, PollKey, Reading};
use crate::engine::timers::TimerKey;
use crate::state::TriggerKey;
use crate::testkit::{group, http, knative, metric};
use fakes::{Rig, function, id, settle};

fn from_zero() -> Scaling {
    Scaling::Knative(KnativeScaling {
        initial_scale: 0,
        ..knative()
    })
}

fn second() -> Duration {
    Duration::from_secs(1)
}

#[tokio::test(start_paused = true)]
async fn a_wake_is_answered_before_any_time_passes() {
    let mut rig = Rig::start();
    rig.apply(function("hello", vec![group(from_zero(), None)]));
    settle().await;
    let before = Instant::now();
    rig.wake("hello", 0, 1).await;
    settle().await;
    assert_eq!(rig.backend.asked("hello"), [1]);
    assert_eq!(Instant::now(), before);
    let status = rig.handle.status(&id("hello")).unwrap();
    assert_eq!(
        (status.phase, status.desired, status.queued),
        (Phase::Active, 1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_burst_goes_to_the_maximum_in_one_step() {
    let mut rig = Rig::start();
    let mut burst = function("burst", vec![group(from_zero(), Some(10))]);
    burst.concurrency_limit = std::num::NonZeroU32::new(1);
    rig.apply(burst);
    settle().await;
    rig.wake("burst", 0, 500).await;
    settle().await;
    assert_eq!(rig.backend.asked("burst"), [10]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_function_is_drained_then_stopped_and_rests_without_a_timer() {
    let mut rig = Rig::start();
    rig.apply(function("hello", vec![group(from_zero(), None)]));
    settle().await;
    rig.wake("hello", 0, 1).await;
    rig.report("hello", 1.0, 1, 1, 0).await;
    rig.silence().await;
    let drain = rig.drain(Duration::from_secs(200)).await;
    assert_eq!(drain.count, 1);
    assert_eq!(
        rig.handle.status(&drain.function).unwrap().phase,
        Phase::Draining
    );
    assert_eq!(rig.backend.asked("hello"), [1], "not before it is drained");
    rig.drained(&drain).await;
    settle().await;
    assert_eq!(
        rig.backend.asked("hello"),
        [1],
        "not before a report says that nothing arrived"
    );
    rig.silence().await;
    settle().await;
    assert_eq!(rig.backend.asked("hello"), [1, 0]);
    assert_eq!(
        rig.handle.status(&drain.function).unwrap().phase,
        Phase::Cold
    );
}

#[tokio::test(start_paused = true)]
async fn replicas_that_the_platform_chooses_are_the_ones_that_are_drained() {
    let mut rig = Rig::start();
    rig.backend.order("set");
    rig.apply(function("set", vec![group(from_zero(), None)]));
    settle().await;
    rig.wake("set", 0, 1).await;
    rig.report("set", 1.0, 1, 1, 0).await;
    rig.silence().await;
    let drain = rig.drain(Duration::from_secs(200)).await;
    assert_eq!(drain.victims.map(|it| it.len()), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_wake_during_the_last_drain_takes_it_back() {
    let mut rig = Rig::start();
    rig.apply(function("hello", vec![group(from_zero(), None)]));
    settle().await;
    rig.wake("hello", 0, 1).await;
    rig.report("hello", 1.0, 1, 1, 0).await;
    rig.silence().await;
    let drain = rig.drain(Duration::from_secs(200)).await;
    // The answer and the wake-up arrive together: the wake-up counts.
    rig.send(ToAutoscaler::Drained(Drained {
        id: drain.id,
        function: drain.function.clone(),
        endpoints: Vec::new(),
    }))
    .await;
    rig.wake("hello", 0, 1).await;
    settle().await;
    assert_eq!(rig.order().await, ToActivator::Cancel(drain.id));
    assert_eq!(
        rig.backend.asked("hello"),
        [1],
        "neither stopped nor started again"
    );
}

#[tokio::test(start_paused = true)]
async fn a_wake_after_the_stop_starts_again_at_once() {
    let mut rig = Rig::start();
    rig.apply(function("hello", vec![group(from_zero(), None)]));
    settle().await;
    rig.wake("hello", 0, 1).await;
    rig.report("hello", 1.0, 1, 1, 0).await;
    rig.silence().await;
    let drain = rig.drain(Duration::from_secs(200)).await;
    rig.drained(&drain).await;
    settle().await;
    rig.silence().await;
    settle().await;
    rig.wake("hello", 0, 1).await;
    settle().await;
    assert_eq!(rig.backend.asked("hello"), [1, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn functions_at_rest_have_no_timer() {
    let rig = Rig::idle();
    let mut task = rig.task;
    for name in ["a", "b", "c"] {
        rig.handle
            .apply(Arc::new(function(name, vec![group(from_zero(), None)])));
    }
    let http_function = function("d", vec![group(Scaling::Http(http(1.0)), None)]);
    rig.handle.apply(Arc::new(http_function));
    task.open(rig.handle.inbox.take());
    assert_eq!(task.timers().len(), 0);
    assert_eq!(rig.handle.list().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn messages_wake_from_zero_to_all_and_a_portless_function_is_stopped_directly() {
    let mut rig = Rig::start();
    let scaling = MetricScaling {
        polling_interval: second(),
        cooldown: Duration::from_secs(10),
        ..metric(1)
    };
    let mut consumer = function("consumer", vec![group(Scaling::Metric(scaling), Some(20))]);
    consumer.protocol = Protocol::None;
    rig.registry.answer("t0", Ok(0.0));
    rig.apply(consumer);
    tokio::time::sleep(second() * 3).await;
    assert!(rig.backend.asked("consumer").is_empty());
    rig.registry.answer("t0", Ok(95.0));
    tokio::time::sleep(second() + Duration::from_millis(1)).await;
    assert_eq!(rig.backend.asked("consumer"), [10]);
    rig.registry.answer("t0", Ok(0.0));
    tokio::time::sleep(second() * 12).await;
    assert_eq!(rig.backend.asked("consumer"), [10, 0]);
}

#[tokio::test(start_paused = true)]
async fn the_reason_of_an_unknown_source_is_what_people_see() {
    let mut rig = Rig::start();
    let message = "waiting for broker 127.0.0.1:9092";
    rig.registry
        .answer("t0", Err((UnknownKind::Transport, message)));
    rig.apply(function(
        "consumer",
        vec![group(Scaling::Metric(metric(1)), None)],
    ));
    settle().await;
    let status = rig.handle.status(&id("consumer")).unwrap();
    assert_eq!(status.message.as_deref(), Some(message));
    assert_eq!(status.phase, Phase::Degraded);
    assert_eq!(status.desired, 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_source_delays_nobody_else_and_becomes_unknown() {
    let mut rig = Rig::start();
    rig.registry.hang("t0");
    rig.registry.answer("t1", Ok(30.0));
    let scaling = MetricScaling {
        polling_interval: second(),
        ..metric(2)
    };
    rig.apply(function(
        "consumer",
        vec![group(Scaling::Metric(scaling), None)],
    ));
    settle().await;
    assert_eq!(rig.backend.asked("consumer"), [3]);
    tokio::time::sleep(second() * 5).await;
    let status = rig.handle.status(&id("consumer")).unwrap();
    let message = status.message.unwrap();
    assert!(message.contains("did not answer within 500ms"), "{message}");
    assert_eq!(status.triggers.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn triggers_of_one_source_are_read_in_one_batch() {
    let mut rig = Rig::start();
    rig.registry.share_source();
    for name in ["a", "b", "c"] {
        rig.apply(function(
            name,
            vec![group(Scaling::Metric(metric(2)), None)],
        ));
    }
    settle().await;
    assert_eq!(
        rig.registry.batches(),
        [6],
        "the first read is at once, and one"
    );
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(rig.registry.batches(), [6, 6]);
}

#[tokio::test(start_paused = true)]
async fn a_push_decides_at_once() {
    let mut rig = Rig::start();
    rig.registry.answer("t0", Ok(0.0));
    rig.apply(function(
        "consumer",
        vec![group(Scaling::Metric(metric(1)), None)],
    ));
    settle().await;
    let before = Instant::now();
    rig.registry.answer("t0", Ok(25.0));
    rig.registry.push("t0");
    settle().await;
    assert_eq!(rig.backend.asked("consumer"), [1, 3]);
    assert_eq!(Instant::now(), before);
}

#[tokio::test(start_paused = true)]
async fn a_trigger_that_cannot_be_bound_is_unknown_and_tried_again() {
    let mut rig = Rig::start();
    rig.registry.refuse(true);
    rig.registry.answer("t0", Ok(40.0));
    rig.apply(function(
        "consumer",
        vec![group(Scaling::Metric(metric(1)), None)],
    ));
    settle().await;
    let status = rig.handle.status(&id("consumer")).unwrap();
    assert_eq!(status.message.as_deref(), Some("not built in"));
    rig.registry.refuse(false);
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(rig.backend.asked("consumer"), [4]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_activator_keeps_what_runs() {
    let mut rig = Rig::start();
    rig.apply(function("hello", vec![group(from_zero(), None)]));
    settle().await;
    rig.wake("hello", 0, 1).await;
    settle().await;
    rig.disconnect();
    tokio::time::sleep(Duration::from_secs(10_000)).await;
    assert_eq!(rig.backend.asked("hello"), [1]);
}

#[tokio::test(start_paused = true)]
async fn what_is_found_running_is_taken_over() {
    let mut rig = Rig::start();
    rig.backend.run("hello", 3);
    rig.apply(function(
        "hello",
        vec![group(Scaling::Http(http(1.0)), None)],
    ));
    rig.silence().await;
    tokio::time::sleep(Duration::from_secs(299)).await;
    assert!(rig.backend.asked("hello").is_empty());
    assert_eq!(rig.handle.status(&id("hello")).unwrap().desired, 3);
    let drain = rig.drain(second() * 2).await;
    assert_eq!(drain.count, 3);
}

#[tokio::test(start_paused = true)]
async fn an_external_writer_is_never_overruled() {
    let mut rig = Rig::start();
    rig.backend.run("hello", 2);
    let mut external = function("hello", vec![group(from_zero(), None)]);
    external.scale.writer = Writer::External;
    rig.apply(external);
    settle().await;
    rig.wake("hello", 0, 50).await;
    tokio::time::sleep(Duration::from_secs(1_000)).await;
    assert!(rig.backend.asked("hello").is_empty());
    rig.backend.run("hello", 5);
    settle().await;
    assert_eq!(rig.handle.status(&id("hello")).unwrap().desired, 5);
}

#[tokio::test(start_paused = true)]
async fn a_changed_maximum_applies_at_once_and_knowledge_stays() {
    let mut rig = Rig::start();
    rig.registry.answer("t0", Ok(90.0));
    let mut consumer = function("consumer", vec![group(Scaling::Metric(metric(1)), None)]);
    consumer.protocol = Protocol::None;
    rig.apply(consumer.clone());
    settle().await;
    rig.registry.hang("t0");
    consumer.scale.groups[0].max = Some(4);
    rig.apply(consumer);
    settle().await;
    assert_eq!(rig.backend.asked("consumer"), [9, 4]);
    assert_eq!(rig.registry.released(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_function_that_is_removed_and_declared_again_starts_afresh() {
    let mut rig = Rig::start();
    rig.apply(function("hello", vec![group(from_zero(), None)]));
    settle().await;
    rig.wake("hello", 0, 1).await;
    settle().await;
    rig.handle.remove(id("hello"));
    rig.backend.run("hello", 0);
    rig.apply(function("hello", vec![group(from_zero(), None)]));
    settle().await;
    assert_eq!(rig.handle.status(&id("hello")).unwrap().desired, 0);
    rig.wake("hello", 0, 1).await;
    settle().await;
    assert_eq!(rig.backend.asked("hello"), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_removed_function_leaves_nothing() {
    let rig = Rig::idle();
    let mut task = rig.task;
    let scaling = Scaling::Metric(metric(1));
    rig.handle
        .apply(Arc::new(function("consumer", vec![group(scaling, None)])));
    task.open(rig.handle.inbox.take());
    assert!(task.timers().next().is_some());
    rig.handle.remove(id("consumer"));
    task.open(rig.handle.inbox.take());
    assert_eq!((task.timers().len(), rig.handle.list().len()), (0, 0));
    assert_eq!(rig.registry.released(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_the_source_that_a_trigger_had_before_is_not_its_own() {
    let rig = Rig::idle();
    let mut task = rig.task;
    let interval = metric(1).polling_interval;
    let scaling = Scaling::Metric(metric(1));
    rig.handle
        .apply(Arc::new(function("consumer", vec![group(scaling, None)])));
    task.open(rig.handle.inbox.take());
    let mut learn = |source: &str| {
        // Every source counts its triggers from zero.
        let (key, handle) = (
            TriggerKey {
                group: 0,
                trigger: 0,
            },
            TriggerHandle(0),
        );
        let member = Member {
            function: id("consumer"),
            key,
            handle,
        };
        let gone = Unknown {
            kind: UnknownKind::Missing,
            message: format!("{source} is gone"),
        };
        task.take_answer(Answer {
            poll: PollKey {
                source: source.into(),
                interval,
            },
            asked: Instant::now(),
            reading: Reading::Fresh,
            results: vec![(member, Err(gone))],
        });
        task.learn(1);
        rig.handle.status(&id("consumer")).unwrap().message
    };
    assert_ne!(learn("before").as_deref(), Some("before is gone"));
    assert_eq!(learn("t0").as_deref(), Some("t0 is gone"));
}

#[tokio::test(start_paused = true)]
async fn history_is_bounded_and_keeps_when_a_state_began() {
    let mut rig = Rig::start();
    rig.apply(function("hello", vec![group(from_zero(), None)]));
    settle().await;
    for _ in 0..50 {
        rig.wake("hello", 1, 0).await;
        rig.report("hello", 1.0, 1, 1, 0).await;
        tokio::time::sleep(second()).await;
    }
    let history = rig.handle.history(&id("hello"));
    assert!(history.len() <= 12, "{} decisions", history.len());
    assert!(
        history
            .iter()
            .any(|decision| decision.current == 0 && decision.desired == 1)
    );
}

#[tokio::test(start_paused = true)]
async fn changes_are_announced_and_metrics_name_functions() {
    let mut rig = Rig::start();
    let mut changes = rig.handle.subscribe();
    rig.registry.answer("t0", Ok(12.0));
    rig.apply(function(
        "consumer",
        vec![group(Scaling::Metric(metric(1)), None)],
    ));
    settle().await;
    assert_eq!(changes.recv().await.unwrap(), id("consumer"));
    let mut registry = prometheus_client::registry::Registry::default();
    rig.handle.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let desired = "zeron_autoscaler_desired_replicas{namespace=\"default\",kind=\"Deployment\",function=\"consumer\"} 2";
    assert!(text.contains(desired), "{text}");
    assert!(text.contains("keda_scaler_metrics_value{"), "{text}");
}

#[test]
fn timers_of_a_function_are_one() {
    let mut timers = timers::Timers::default();
    for second in 0..100 {
        timers.set(
            TimerKey::Decide(id("hello")),
            Some(zeron_core::Timestamp::from_secs(second)),
        );
    }
    assert_eq!(timers.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_clock_follows_no_jump_of_the_wall() {
    let clock = MonotonicClock::new();
    let before = clock.now();
    tokio::time::sleep(second() * 90).await;
    assert_eq!(clock.now().since(before), second() * 90);
}

#[test]
fn an_engine_runs_on_its_own_thread() {
    let (handle, backend, link) = fakes::start_threaded();
    handle.apply(Arc::new(function("hello", vec![group(from_zero(), None)])));
    let wake = zeron_wire::Wake {
        function: id("hello"),
        in_flight: 0,
        queued: 1,
    };
    link.sender.blocking_send(ToAutoscaler::Wake(wake)).unwrap();
    assert_eq!(
        backend.wait_asked("hello", Duration::from_secs(10)),
        Some(1)
    );
    handle.stop();
}
