#![allow(clippy::unwrap_used)]

mod kept;

use std::time::Duration;

use serde_json::json;
use zeron_core::ObjectRef;
use zeron_core::function::Protocol;

use super::*;
use crate::pods::endpoint_id;
use crate::scale::testing::{FakeScales, Fault, target};
use crate::target::ScaleTarget;

struct Rig {
    scales: Arc<FakeScales>,
    pods: Pods,
    backend: Arc<KubernetesBackend>,
    events: broadcast::Receiver<ScaleEvent>,
}

fn function(name: &str) -> Arc<Function> {
    Arc::new(Function::new(
        target(name).id,
        ObjectRef {
            api_version: "apps/v1".to_owned(),
            kind: "Deployment".to_owned(),
            namespace: "ns".to_owned(),
            name: name.to_owned(),
        },
        Protocol::Http1,
    ))
}

/// Objects of these counts, declared and applied.
fn rig(objects: &[(&str, u32)]) -> Rig {
    let scales = Arc::new(FakeScales::default());
    let pods = Pods::without_watch();
    let config = ScaleConfig::default();
    let counters = Arc::new(Counters::new());
    let backend = KubernetesBackend::start(scales.client(), pods.clone(), config, counters);
    for (name, count) in objects {
        scales.set(name, *count);
        pods.declare(ScaleTarget {
            replicas: Some(*count),
            ..target(name)
        });
        backend.apply(function(name));
    }
    let events = backend.events();
    Rig {
        scales,
        pods,
        backend,
        events,
    }
}

impl Rig {
    fn scale(&self, name: &str, replicas: u32, victims: &[EndpointId]) {
        self.backend.scale(&target(name).id, replicas, victims);
    }

    /// Until nothing waits any more; time is paused and jumps ahead.
    async fn settle(&self) {
        for _ in 0..10_000 {
            if self.backend.waiting() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("still waiting: {:?}", self.scales.log());
    }

    async fn event(&mut self) -> ScaleEvent {
        let event = tokio::time::timeout(Duration::from_secs(60), self.events.recv());
        event.await.expect("an event").unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn from_zero_to_n_is_one_request() {
    let mut rig = rig(&[("a", 0)]);
    rig.scale("a", 7, &[]);
    let event = rig.event().await;
    assert!(
        matches!(event, ScaleEvent::Written { from: 0, to: 7, .. }),
        "{event:?}"
    );
    assert_eq!(rig.scales.log(), ["PATCH a"]);
    assert_eq!(rig.pods.wanted(&target("a").id), Some(7));
}

#[tokio::test(start_paused = true)]
async fn a_wake_up_during_the_write_of_zero_is_written_after_it() {
    let rig = rig(&[("a", 1)]);
    rig.scales.fail([Fault::Slow(Duration::from_secs(1))]);
    rig.scale("a", 0, &[]);
    tokio::time::sleep(Duration::from_millis(100)).await;
    rig.scale("a", 1, &[]);
    rig.settle().await;
    assert_eq!(rig.scales.count("a"), Some(1));
    assert_eq!(rig.scales.patches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_wish_made_during_a_write_that_fails_still_raises() {
    let rig = rig(&[("a", 1)]);
    rig.scales.fail([Fault::Hung]);
    rig.scale("a", 3, &[]);
    tokio::time::sleep(Duration::from_millis(100)).await;
    rig.scale("a", 2, &[]);
    rig.settle().await;
    assert_eq!(rig.scales.count("a"), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_wish_that_is_fulfilled_is_not_written() {
    let rig = rig(&[("a", 3)]);
    rig.scale("a", 3, &[]);
    rig.settle().await;
    assert!(rig.scales.log().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stale_count_is_read_again_and_never_lowered() {
    let rig = rig(&[("a", 0)]);
    // Somebody woke it further than we wish, unseen.
    rig.scales.set("a", 9);
    rig.scale("a", 1, &[]);
    rig.settle().await;
    assert_eq!(rig.scales.log(), ["PATCH a", "GET a"]);
    assert_eq!(rig.scales.count("a"), Some(9));
    // Raised from what is there.
    rig.scale("a", 12, &[]);
    rig.settle().await;
    assert_eq!(rig.scales.count("a"), Some(12));
}

#[tokio::test(start_paused = true)]
async fn scaling_in_reads_first_and_gives_way_to_somebody_who_raised() {
    let rig = rig(&[("a", 4)]);
    rig.scale("a", 1, &[]);
    rig.settle().await;
    assert_eq!(rig.scales.log(), ["GET a", "PATCH a"]);
    assert_eq!(rig.scales.count("a"), Some(1));
    rig.scales.set("a", 6);
    rig.scale("a", 0, &[]);
    rig.settle().await;
    assert_eq!(rig.scales.count("a"), Some(6));
}

#[tokio::test(start_paused = true)]
async fn victims_are_marked_before_the_write() {
    let rig = rig(&[("a", 3)]);
    for name in ["a-1", "a-2", "a-3"] {
        rig.pods.put(json!({
            "metadata": {"namespace": "ns", "name": name, "labels": {"app": "a"}, "uid": name},
            "status": {"phase": "Running", "podIP": "10.0.0.1",
                       "conditions": [{"type": "Ready", "status": "True"}]},
        }));
    }
    rig.scale("a", 2, &[endpoint_id("a-2")]);
    rig.settle().await;
    assert_eq!(rig.scales.log(), ["GET a", "PATCH pods/a-2", "PATCH a"]);
    // To zero all go: no marks.
    rig.scale("a", 0, &[endpoint_id("a-1")]);
    rig.settle().await;
    assert_eq!(rig.scales.log()[3..], ["GET a", "PATCH a"]);
}

#[tokio::test(start_paused = true)]
async fn without_the_right_to_mark_it_is_said_and_scaled_in_all_the_same() {
    let mut rig = rig(&[("a", 2)]);
    rig.pods.put(json!({
        "metadata": {"namespace": "ns", "name": "a-1", "labels": {"app": "a"}, "uid": "a-1"},
        "status": {"phase": "Running", "podIP": "10.0.0.1",
                   "conditions": [{"type": "Ready", "status": "True"}]},
    }));
    rig.scales.fail([Fault::Pass, Fault::Status(403, None)]);
    rig.scale("a", 1, &[endpoint_id("a-1")]);
    let event = rig.event().await;
    assert!(matches!(event, ScaleEvent::Unmarked { .. }), "{event:?}");
    rig.settle().await;
    assert_eq!(rig.scales.count("a"), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_throttles_is_left_alone_as_long_as_it_says() {
    let mut rig = rig(&[("a", 0)]);
    rig.scales.fail([Fault::Status(429, Some(7))]);
    let started = Instant::now();
    rig.scale("a", 1, &[]);
    let ScaleEvent::Failed {
        failure, retry_in, ..
    } = rig.event().await
    else {
        panic!("no failure");
    };
    assert_eq!(
        (failure.status, retry_in),
        (Some(429), Duration::from_secs(7))
    );
    rig.settle().await;
    assert!(started.elapsed() >= Duration::from_secs(7));
    assert_eq!(rig.scales.count("a"), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_dead_server_loses_and_reverses_nothing() {
    let rig = rig(&[("a", 0), ("b", 0), ("c", 5)]);
    rig.scales.fail(vec![Fault::Broken; 20]);
    rig.scale("a", 1, &[]);
    rig.scale("b", 2, &[]);
    rig.scale("c", 1, &[]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    rig.scale("a", 4, &[]);
    // Raised by a person meanwhile: not lowered afterwards.
    rig.scales.set("c", 8);
    rig.settle().await;
    let counts = ["a", "b", "c"].map(|name| rig.scales.count(name));
    assert_eq!(counts, [Some(4), Some(2), Some(8)]);
}

#[tokio::test(start_paused = true)]
async fn after_a_restore_of_the_store_what_is_read_counts() {
    let rig = rig(&[("a", 0)]);
    // Known from before the restore: no replica, at a version that is far ahead.
    rig.pods.declare(ScaleTarget {
        replicas: Some(0),
        resource_version: Some("9000".into()),
        ..target("a")
    });
    rig.scales.set("a", 3);
    rig.scale("a", 1, &[]);
    rig.settle().await;
    assert_eq!(
        rig.scales.count("a"),
        Some(3),
        "a wish to raise never lowers"
    );
    // Now that it is known, one replica less is less.
    rig.scale("a", 1, &[]);
    rig.settle().await;
    assert_eq!(rig.scales.count("a"), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_hung_server_is_given_up_and_asked_again() {
    let mut rig = rig(&[("a", 0)]);
    rig.scales.fail([Fault::Hung]);
    rig.scale("a", 1, &[]);
    let event = rig.event().await;
    assert!(
        matches!(&event, ScaleEvent::Failed { failure, .. } if failure.reason == "Timeout"),
        "{event:?}"
    );
    rig.settle().await;
    assert_eq!(rig.scales.count("a"), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_wish_that_waits_for_a_dead_server_can_be_withdrawn() {
    let rig = rig(&[("a", 5)]);
    rig.scales.fail(vec![Fault::Broken; 20]);
    rig.scale("a", 2, &[]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(rig.backend.withdraw(&target("a").id));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((rig.scales.count("a"), rig.backend.waiting()), (Some(5), 0));
    // Another wish counts from what is there.
    rig.scale("a", 4, &[]);
    rig.settle().await;
    assert_eq!(rig.scales.count("a"), Some(4));
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_cannot_be_withdrawn_and_what_is_not_sent_stays_unsent() {
    let rig = rig(&[("a", 5), ("b", 5)]);
    let second = Duration::from_secs(1);
    rig.scales.fail([Fault::Slow(second)]);
    rig.scale("a", 2, &[]);
    tokio::time::sleep(second / 10).await;
    assert!(rig.backend.withdraw(&target("a").id), "it reads the count");
    rig.settle().await;
    rig.scales.fail([Fault::Pass, Fault::Slow(second)]);
    rig.scale("b", 2, &[]);
    tokio::time::sleep(second / 10).await;
    assert!(!rig.backend.withdraw(&target("b").id), "it writes");
    rig.settle().await;
    let counts = ["a", "b"].map(|name| rig.scales.count(name));
    assert_eq!(counts, [Some(5), Some(2)]);
}

#[tokio::test(start_paused = true)]
async fn of_what_is_removed_only_what_was_sent_is_waited_for() {
    let rig = rig(&[("reads", 5), ("waits", 5), ("writes", 5)]);
    let second = Duration::from_secs(1);
    rig.backend.settled().await;
    rig.scales
        .fail([Fault::Pass, Fault::Slow(second * 2), Fault::Hung]);
    rig.scale("writes", 2, &[]);
    tokio::time::sleep(second / 10).await;
    rig.scale("reads", 2, &[]);
    tokio::time::sleep(second / 10).await;
    let started = Instant::now();
    for name in ["reads", "waits"] {
        rig.scale(name, 2, &[]);
        rig.backend.remove(&target(name).id);
    }
    rig.backend.settled().await;
    assert_eq!(started.elapsed(), Duration::ZERO);
    rig.backend.remove(&target("writes").id);
    rig.backend.settled().await;
    let took = started.elapsed();
    assert!((second..second * 2).contains(&took), "{took:?}");
    rig.settle().await;
    let counts = ["reads", "waits", "writes"].map(|name| rig.scales.count(name));
    assert_eq!(counts, [Some(5), Some(5), Some(2)]);
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_is_lost_is_not_done_twice() {
    let rig = rig(&[("a", 2)]);
    rig.scales.fail([Fault::AnswerLost]);
    rig.scale("a", 5, &[]);
    rig.settle().await;
    assert_eq!(rig.scales.count("a"), Some(5));
    assert_eq!(rig.scales.patches(), 2, "{:?}", rig.scales.log());
}

#[tokio::test(start_paused = true)]
async fn a_wish_waits_for_its_target_and_for_the_one_that_takes_its_place() {
    let rig = rig(&[]);
    rig.backend.apply(function("late"));
    rig.scale("late", 2, &[]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(rig.scales.log().is_empty());
    rig.scales.set("late", 0);
    // Of the object before: nothing is written to another one.
    rig.pods.declare(ScaleTarget {
        uid: Some("gone".into()),
        ..target("late")
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.scales.count("late"), Some(0));
    rig.pods.declare(target("late"));
    rig.settle().await;
    assert_eq!(rig.scales.count("late"), Some(2));
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_count_is_noticed_and_our_own_is_not() {
    let mut rig = rig(&[("a", 0)]);
    let declared = |count: u32, version: &str| ScaleTarget {
        replicas: Some(count),
        resource_version: Some(version.into()),
        ..target("a")
    };
    rig.scale("a", 3, &[]);
    assert!(matches!(rig.event().await, ScaleEvent::Written { .. }));
    rig.pods.declare(declared(3, "11"));
    rig.pods.declare(declared(5, "12"));
    let event = rig.event().await;
    let expected = ScaleEvent::ForeignChange {
        id: target("a").id,
        from: 3,
        to: 5,
    };
    assert_eq!(event, expected);
}

#[tokio::test(start_paused = true)]
async fn a_function_that_somebody_else_scales_is_never_written() {
    let rig = rig(&[("a", 0)]);
    let mut external = (*function("a")).clone();
    external.scale.writer = Scaling::External;
    rig.backend.apply(Arc::new(external));
    rig.scale("a", 3, &[]);
    rig.settle().await;
    assert!(rig.scales.log().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_waker_acts_at_zero_alone() {
    let scales = Arc::new(FakeScales::default());
    let timeout = Duration::from_secs(1);
    let waker = crate::Waker::new(scales.client(), timeout, Arc::new(Counters::new()));
    scales.set("a", 0);
    assert_eq!(
        waker.wake(&target("a"), 2).await.unwrap(),
        crate::WakeOutcome::Woken(2)
    );
    assert_eq!(
        waker.wake(&target("a"), 5).await.unwrap(),
        crate::WakeOutcome::NotAtZero
    );
    assert_eq!(scales.count("a"), Some(2));
    assert!(waker.wake(&target("a"), 0).await.is_err());
    scales.fail([Fault::Status(403, None)]);
    let refused = waker.wake(&target("a"), 1).await.unwrap_err();
    assert_eq!(refused.to_string(), "cannot wake ns/Deployment/a");
}
