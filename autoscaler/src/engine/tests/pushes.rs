//! Pushes: the triggers of a source that they ask for are read together, at most once a second.

use std::time::Duration;

use zeron_core::function::Protocol;
use zeron_core::job::JobScaling;
use zeron_core::metric::UnknownKind;
use zeron_core::policy::{MetricScaling, Scaling};
use zeron_core::status::Phase;

use super::fakes::{Rig, function, id, settle};
use super::second;
use crate::engine::*;
use crate::testkit::{group, metric};

const NAMES: [&str; 3] = ["a", "b", "c"];
const MOMENT: Duration = Duration::from_millis(1);

fn consumer(name: &str) -> Function {
    let scaling = MetricScaling {
        polling_interval: second() * 300,
        ..metric(1)
    };
    function(name, vec![group(Scaling::Metric(scaling), Some(20))])
}

/// Three functions with a trigger of one source each, none of which has work.
async fn three() -> Rig {
    let mut rig = Rig::start();
    rig.registry.share_source();
    rig.registry.answer("t0", Ok(0.0));
    for name in NAMES {
        rig.apply(consumer(name));
    }
    settle().await;
    assert_eq!(rig.registry.batches(), [3]);
    rig
}

#[tokio::test(start_paused = true)]
async fn all_that_are_pushed_together_are_read_in_one_batch_and_go_to_their_number() {
    let rig = three().await;
    rig.registry.answer("t0", Ok(50.0));
    rig.registry.push("t0");
    settle().await;
    assert_eq!(rig.registry.batches(), [3, 3]);
    for name in NAMES {
        assert_eq!(rig.backend.asked(name), [1, 5], "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_pushed_too_soon_is_read_together_a_second_after_the_last() {
    let rig = three().await;
    rig.registry.answer("t0", Ok(50.0));
    rig.registry.push("t0");
    settle().await;
    rig.registry.answer("t0", Ok(90.0));
    rig.registry.push("t0");
    rig.registry.push("t0");
    settle().await;
    assert_eq!(rig.registry.batches(), [3, 3], "not yet");
    tokio::time::sleep(second() + MOMENT).await;
    settle().await;
    assert_eq!(rig.registry.batches(), [3, 3, 3], "in one batch");
    for name in NAMES {
        assert_eq!(rig.backend.asked(name).last(), Some(&9), "{name}");
    }
    tokio::time::sleep(second() * 3).await;
    assert_eq!(rig.registry.batches(), [3, 3, 3], "nothing waits any more");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_hangs_has_one_pushed_read_under_way() {
    let rig = three().await;
    rig.registry.hang("t0");
    for _ in 0..5 {
        rig.registry.push("t0");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(rig.registry.batches(), [3, 3]);
    rig.registry.answer("t0", Ok(70.0));
    // It is given three seconds, then the waiting ones are read.
    tokio::time::sleep(second()).await;
    settle().await;
    assert_eq!(rig.registry.batches(), [3, 3, 3]);
    assert_eq!(rig.backend.asked("a").last(), Some(&7));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_cannot_push_says_so_from_one_poll_to_another() {
    let rig = three().await;
    let status = || rig.handle.status(&id("a")).unwrap();
    assert_eq!(status().message, None);
    rig.registry.trouble(Some("nobody may listen"));
    tokio::time::sleep(second() * 301).await;
    let told = status();
    let trouble = told.triggers[0].push_trouble.as_deref();
    assert_eq!(trouble, Some("nobody may listen"));
    let message = told.message.unwrap();
    assert!(
        message.contains("polled alone: nobody may listen"),
        "{message}"
    );
    // It is read as ever.
    assert_eq!(told.phase, Phase::Cold);
    rig.registry.trouble(None);
    tokio::time::sleep(second() * 301).await;
    assert_eq!(
        (status().message, status().triggers[0].push_trouble.clone()),
        (None, None)
    );
}

#[tokio::test(start_paused = true)]
async fn functions_with_jobs_are_read_in_one_batch_too() {
    let mut rig = Rig::start();
    rig.registry.share_source();
    rig.registry
        .answer("t0", Err((UnknownKind::Transport, "later")));
    for name in NAMES {
        let mut work = consumer(name);
        work.protocol = Protocol::None;
        work.scale.jobs = Some(JobScaling::default());
        rig.apply(work);
    }
    settle().await;
    assert_eq!(rig.registry.batches(), [3]);
    for _ in 0..2 {
        rig.registry.push("t0");
        settle().await;
    }
    assert_eq!(rig.registry.batches(), [3, 3]);
    tokio::time::sleep(second() + MOMENT).await;
    assert_eq!(rig.registry.batches(), [3, 3, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_function_that_is_removed_is_not_read_and_leaves_no_timer() {
    let rig = Rig::idle();
    let mut task = rig.task;
    rig.registry.share_source();
    rig.handle.apply(Arc::new(consumer("a")));
    task.open(rig.handle.inbox.take());
    let mut timers = [0; 2];
    for count in &mut timers {
        rig.registry.push("t0");
        task.open(rig.handle.inbox.take());
        *count = task.timers().len();
    }
    assert_eq!(timers[1], timers[0] + 1, "the second waits");
    rig.handle.remove(id("a"));
    task.open(rig.handle.inbox.take());
    assert_eq!(task.timers().len(), 0);
}
