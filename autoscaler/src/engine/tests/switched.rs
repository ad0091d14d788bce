//! Claims about functions whose request path Knative switches: samples instead of counts, a path
//! that is asked for, no drains.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use zeron_core::path::{
    ActivatorProbe, Activity, FoundPath, PathAsk, PathFacts, PathMode, RequestPath,
};
use zeron_core::policy::{KnativeScaling, Scaling};
use zeron_core::{Sample, Timestamp};
use zeron_wire::ToAutoscaler;

use super::fakes::{Rig, function, id, settle};
use super::second;
use crate::engine::{Clock, Found, MonotonicClock};
use crate::testkit::{group, knative};

fn scaling() -> KnativeScaling {
    KnativeScaling {
        total: 10.0,
        target: 7.0,
        path: RequestPath::Serverless {
            is_scraped: true,
            is_always_proxied: false,
        },
        ..knative()
    }
}

fn facts(activity: Activity, since: Timestamp) -> PathFacts {
    PathFacts {
        has_private_service: true,
        has_service: true,
        proxied_since: None,
        probe: None,
        found: Some(FoundPath {
            activity,
            since,
            is_initialized: true,
        }),
    }
}

fn sample(concurrency: f64, at: Timestamp) -> ToAutoscaler {
    said_by("activator", concurrency, 0.0, at)
}

/// Of `concurrency`, so much is said by activators too.
fn scraped(concurrency: f64, proxied: f64, at: Timestamp) -> ToAutoscaler {
    said_by(crate::scrape::REPORTER, concurrency, proxied, at)
}

fn said_by(pod: &str, concurrency: f64, proxied: f64, at: Timestamp) -> ToAutoscaler {
    ToAutoscaler::Samples(vec![Sample {
        function: id("hello"),
        at,
        average_concurrency: concurrency,
        average_proxied_concurrency: proxied,
        request_count: concurrency,
        proxied_request_count: proxied,
        pod: pod.into(),
    }])
}

/// A function that was found, with a path of which `facts` are known.
struct Switched {
    rig: Rig,
    clock: MonotonicClock,
}

impl Switched {
    async fn found(replicas: u32, activity: Activity) -> Self {
        let rig = Rig::start();
        let clock = MonotonicClock::new();
        rig.backend.run("hello", replicas);
        let it = Self { rig, clock };
        it.apply(scaling(), replicas);
        it.observe(facts(activity, it.clock.now()));
        settle().await;
        it
    }

    fn apply(&self, scaling: KnativeScaling, replicas: u32) {
        let function = function("hello", vec![group(Scaling::Knative(scaling), None)]);
        let found = Found {
            replicas: Some(replicas),
            ..Found::default()
        };
        self.rig.handle.apply_found(Arc::new(function), found);
    }

    fn observe(&self, facts: PathFacts) {
        self.rig.handle.observe_path(&id("hello"), facts);
    }

    fn path(&self) -> PathAsk {
        self.rig.handle.status(&id("hello")).unwrap().path.unwrap()
    }

    /// Every second the same concurrency is reported.
    async fn carry(&mut self, concurrency: f64, seconds: u32) {
        for _ in 0..seconds {
            tokio::time::sleep(second()).await;
            self.rig.send(sample(concurrency, self.clock.now())).await;
        }
        settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_sample_of_a_request_wakes_before_any_time_passes() {
    let mut it = Switched::found(0, Activity::NoTraffic).await;
    let before = Instant::now();
    it.rig.send(sample(1.0, it.clock.now())).await;
    settle().await;
    assert_eq!(it.rig.backend.asked("hello"), [1]);
    assert_eq!(Instant::now(), before);
    assert_eq!(it.path().mode, PathMode::Proxy, "one replica is no reserve");
}

#[tokio::test(start_paused = true)]
async fn load_scales_and_reserve_takes_activators_out_of_the_path() {
    let mut it = Switched::found(1, Activity::Active).await;
    it.carry(350.0, 4).await;
    assert_eq!(it.rig.backend.asked("hello").last(), Some(&50));
    it.carry(200.0, 8).await;
    let path = it.path();
    assert_eq!((path.mode, path.activators), (PathMode::Serve, 8));
    assert!(path.excess_burst_capacity >= 0.0, "{path:?}");
}

#[tokio::test(start_paused = true)]
async fn the_way_to_zero_is_proxy_then_probe_then_grace_without_a_drain() {
    let mut it = Switched::found(1, Activity::Active).await;
    it.carry(1.0, 5).await;
    it.carry(0.0, 130).await;
    let path = it.path();
    let seen = (path.activity, path.mode, path.desired);
    assert_eq!(seen, (Activity::NoTraffic, PathMode::Proxy, Some(0)));
    assert!(path.is_probe_wanted);
    assert!(it.rig.backend.asked("hello").is_empty(), "not unprobed");
    let probed = PathFacts {
        proxied_since: Some(it.clock.now()),
        probe: Some(ActivatorProbe {
            at: it.clock.now(),
            is_activator: true,
        }),
        ..facts(Activity::Active, it.clock.now())
    };
    it.observe(probed);
    settle().await;
    assert_eq!(it.rig.backend.asked("hello"), [0]);
    assert!(it.rig.orders().is_empty(), "nobody is told to drain");
}

#[tokio::test(start_paused = true)]
async fn without_data_nothing_is_taken_away() {
    let it = Switched::found(3, Activity::Active).await;
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert!(it.rig.backend.asked("hello").is_empty());
    assert_eq!(it.path().desired, None);
}

#[tokio::test(start_paused = true)]
async fn what_activators_carry_counts_once_and_also_when_they_are_not_heard() {
    let mut it = Switched::found(1, Activity::Active).await;
    for second in 0..120 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if second < 60 {
            it.rig.send(sample(3.0, it.clock.now())).await;
        }
        it.rig.send(scraped(3.0, 3.0, it.clock.now())).await;
        settle().await;
        let stable = it.path().stable;
        assert!(
            second < 3 || (2.5..=3.5).contains(&stable),
            "{second}: {stable}"
        );
    }
    assert_eq!(it.path().activity, Activity::Active);
}

#[tokio::test(start_paused = true)]
async fn what_activators_carry_does_not_count_twice_when_replicas_are_heard_first() {
    let mut it = Switched::found(2, Activity::Active).await;
    for _ in 0..10 {
        tokio::time::sleep(second()).await;
        it.rig.send(scraped(3.0, 3.0, it.clock.now())).await;
        it.rig.send(sample(3.0, it.clock.now())).await;
        settle().await;
        let PathAsk { stable, panic, .. } = it.path();
        assert!(stable <= 3.0 && panic <= 3.0, "{stable}, {panic}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_count_near_its_edge_stays_whenever_in_a_second_its_reporters_speak() {
    for offset in 0..10 {
        let mut it = Switched::found(4, Activity::Active).await;
        // Ten at once are right for four replicas, nine and eleven too; a sixth less is not.
        let short = KnativeScaling {
            target: 2.86,
            stable_window: Duration::from_secs(6),
            panic_window: Duration::from_millis(600),
            ..scaling()
        };
        it.apply(short, 4);
        for tick in 0..300 {
            tokio::time::sleep(second() / 10).await;
            let now = it.clock.now();
            match (tick + offset) % 10 {
                1 => it.rig.send(said_by("one", 1.0, 0.0, now)).await,
                5 => it.rig.send(scraped(10.0, 10.0, now)).await,
                9 => it.rig.send(said_by("other", 9.0, 0.0, now)).await,
                _ => {}
            }
            settle().await;
        }
        let asked = it.rig.backend.asked("hello");
        assert!(asked.is_empty(), "{asked:?}, shifted by {offset}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_takeover_under_load_adds_no_replica_whenever_activators_are_heard() {
    for heard_after in [5, 15, 35, 65, 75] {
        let mut it = Switched::found(4, Activity::Active).await;
        for tick in 0..300 {
            tokio::time::sleep(second() / 10).await;
            let now = it.clock.now();
            // Four replicas take 28.
            match tick % 10 {
                3 => it.rig.send(scraped(27.0, 27.0, now)).await,
                5 if tick >= heard_after => it.rig.send(sample(27.0, now)).await,
                _ => {}
            }
            settle().await;
        }
        let asked = it.rig.backend.asked("hello");
        assert!(asked.is_empty(), "{asked:?}, heard after {heard_after}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_shrinks_nothing_while_it_panics_and_wakes_what_sleeps() {
    let mut it = Switched::found(4, Activity::Active).await;
    it.carry(1.0, 50).await;
    assert!(it.path().is_panicking);
    assert!(it.rig.backend.asked("hello").is_empty());
    it.carry(1.0, 20).await;
    assert!(!it.path().is_panicking);
    assert_eq!(it.rig.backend.asked("hello").first(), Some(&2));
}

#[tokio::test(start_paused = true)]
async fn an_initial_scale_that_was_reached_is_left_at_once() {
    let rig = Rig::start();
    let clock = MonotonicClock::new();
    let mut it = Switched { rig, clock };
    let initial = KnativeScaling {
        initial_scale: 3,
        ..scaling()
    };
    it.apply(initial, 3);
    it.observe(PathFacts {
        found: None,
        ..facts(Activity::Activating, it.clock.now())
    });
    it.carry(0.0, 8).await;
    assert!(it.rig.backend.asked("hello").is_empty(), "not reached yet");
    it.rig.backend.run("hello", 3);
    it.carry(0.0, 3).await;
    assert!(it.path().is_initialized);
    assert_eq!(it.rig.backend.asked("hello"), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_not_ours_loses_no_sample() {
    for shift in [Duration::from_secs(500), Duration::ZERO] {
        let mut it = Switched::found(0, Activity::NoTraffic).await;
        let at = Timestamp::EPOCH + shift;
        it.rig.send(sample(1.0, at)).await;
        settle().await;
        assert_eq!(it.rig.backend.asked("hello"), [1]);
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_matters_of_a_path_is_announced() {
    let mut it = Switched::found(1, Activity::Active).await;
    it.carry(1.0, 5).await;
    let mut changes = it.rig.handle.subscribe();
    it.carry(2.0, 5).await;
    assert!(changes.try_recv().is_err(), "averages alone");
    it.carry(0.0, 130).await;
    assert_eq!(changes.try_recv().unwrap(), id("hello"));
}

#[tokio::test(start_paused = true)]
async fn metrics_have_the_names_of_the_original() {
    let mut it = Switched::found(1, Activity::Active).await;
    it.carry(2.0, 5).await;
    let mut registry = prometheus_client::registry::Registry::default();
    it.rig.handle.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    let labels = "kn_service_name=\"\",kn_configuration_name=\"\",kn_revision_name=\"hello\",k8s_namespace_name=\"default\"";
    for (name, value) in [
        ("kn_revision_pods_desired", "1.0"),
        ("kn_revision_pods_count", "1.0"),
        ("kn_revision_panic_mode", "0.0"),
        ("kn_revision_concurrency_stable", "2.0"),
        ("kn_revision_concurrency_target", "7.0"),
    ] {
        let line = format!("{name}{{{labels}}} {value}\n");
        assert!(text.contains(&line), "{line} in {text}");
    }
    assert!(!text.contains("kn_revision_rps_stable{"), "{text}");
}
