//! What becomes of a PodAutoscaler, on an API server in memory and with an engine that is told what to ask.
#![allow(clippy::unwrap_used)]

mod probing;
mod server;
mod world;

use std::time::Duration;

use serde_json::{Value, json};
use zeron_core::path::{Activity, PathAsk, PathFacts, PathMode};
use zeron_frontend_knative::autoscaling::{Collection, MeshCompatibility};

use world::{Told, World, ask, id};

/// Made, ready, served through activators, and at rest.
async fn settled() -> World {
    let mut world = World::new();
    world.start().await;
    world.until("made", |w| w.sks().is_some()).await;
    world.services_ready(Some("2026-01-01T00:00:00Z"));
    world.say(Some(ask(PathMode::Proxy, 3, Activity::Active)), 1);
    world
        .until("ready", |w| {
            w.condition("Ready") == Some(("True".into(), String::new()))
        })
        .await;
    world
        .until("collected", |w| {
            let metric = w.server.object("metrics", "ns", "rev");
            metric.is_some_and(|m| m["status"]["conditions"][0]["status"] == "True")
        })
        .await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_new_autoscaler_gets_its_service_before_the_engine_says_anything() {
    let mut world = World::new();
    world.start().await;
    world.until("made", |w| w.sks().is_some()).await;
    let sks = world.sks().unwrap();
    assert_eq!(
        (&sks["spec"]["mode"], &sks["spec"]["numActivators"]),
        (&json!("Proxy"), &json!(2))
    );
    let owner = &sks["metadata"]["ownerReferences"][0];
    assert_eq!(owner["uid"], world.autoscaler()["metadata"]["uid"]);
    let applied = world.applied();
    assert_eq!(applied.len(), 1);
    assert!(applied[0].is_new);
    assert_eq!(applied[0].function.id, id());
    assert_eq!(&*applied[0].target.name, "rev-deployment");
    assert_eq!(applied[0].target.replicas, Some(1));
    assert_eq!(world.facts(), Some(PathFacts::default()));
    assert_eq!(world.server.writes(), ["POST serverlessservices rev"]);
}

#[tokio::test(start_paused = true)]
async fn what_the_engine_asks_is_written_once_and_then_nothing() {
    let world = settled().await;
    let facts = world.facts().unwrap();
    assert!(facts.has_private_service && facts.has_service && facts.proxied_since.is_some());
    let sks = world.sks().unwrap();
    assert_eq!(sks["spec"]["numActivators"], 3);
    let metric = world.server.object("metrics", "ns", "rev").unwrap();
    assert_eq!(metric["spec"]["scrapeTarget"], "rev-private");
    assert_eq!(metric["spec"]["stableWindow"], json!(60_000_000_000_u64));
    let autoscaler = world.autoscaler();
    assert_eq!(autoscaler["status"]["serviceName"], "rev");
    assert_eq!(autoscaler["status"]["desiredScale"], 1);
    assert_eq!(autoscaler["spec"]["unheardOf"], 1, "other fields stay");
    let scrape = world.applied().last().unwrap().scrape.clone().unwrap();
    assert_eq!(&*scrape.service, "rev-private.ns");
    world.pass(Duration::from_secs(30)).await;
    let written = world.server.writes();
    for _ in 0..100 {
        world.say(Some(ask(PathMode::Proxy, 3, Activity::Active)), 1);
        world.pass(Duration::from_secs(1)).await;
    }
    assert_eq!(world.server.writes(), written, "at rest nothing is written");
}

#[tokio::test(start_paused = true)]
async fn a_restart_changes_nothing_before_the_engine_has_spoken() {
    let world = settled().await;
    world.say(Some(ask(PathMode::Serve, 3, Activity::Active)), 1);
    world
        .until("serves", |w| w.sks().unwrap()["spec"]["mode"] == "Serve")
        .await;
    world.services_ready(None);
    world.pass(Duration::from_secs(20)).await;
    let before = world.server.writes().len();
    // Another process finds all of it.
    let mut next = World::new();
    next.server = world.server.clone();
    drop(world);
    next.start().await;
    next.until("applied", |w| w.facts().is_some_and(|f| f.found.is_some()))
        .await;
    let found = next.facts().unwrap().found.unwrap();
    assert_eq!(
        (found.activity, found.is_initialized),
        (Activity::Active, true)
    );
    assert_eq!(next.server.writes().len(), before);
    // What it does not know yet takes no number's place.
    let unknown = PathAsk {
        desired: None,
        ..ask(PathMode::Serve, 3, Activity::Active)
    };
    next.say(Some(unknown), 1);
    next.pass(Duration::from_secs(20)).await;
    assert_eq!(next.server.writes().len(), before);
    assert_eq!(next.autoscaler()["status"]["desiredScale"], 1);
}

#[tokio::test(start_paused = true)]
async fn the_path_is_switched_and_back() {
    let world = settled().await;
    for (mode, name) in [(PathMode::Serve, "Serve"), (PathMode::Proxy, "Proxy")] {
        world.say(Some(ask(mode, 4, Activity::Active)), 1);
        world
            .until(name, |w| w.sks().unwrap()["spec"]["mode"] == name)
            .await;
        assert_eq!(world.sks().unwrap()["spec"]["numActivators"], 4);
    }
    let patches = world.server.writes();
    let is_status = |line: &&String| *line == "PATCH podautoscalers/status rev";
    let before = patches.iter().filter(is_status).count();
    world.services_ready(None);
    world.pass(Duration::from_secs(10)).await;
    let after = world.server.writes();
    assert_eq!(
        after.iter().filter(is_status).count(),
        before,
        "readiness did not change"
    );
}

#[tokio::test(start_paused = true)]
async fn a_write_that_fails_is_made_in_the_end() {
    let world = settled().await;
    world.pass(Duration::from_secs(20)).await;
    world.server.fail([500, 503, 409, 429]);
    world.say(Some(ask(PathMode::Serve, 5, Activity::Active)), 1);
    world
        .until("serves", |w| w.sks().unwrap()["spec"]["mode"] == "Serve")
        .await;
    let tries = world.server.writes();
    let is_it = |line: &&String| *line == "PATCH serverlessservices rev";
    assert_eq!(
        tries.iter().filter(is_it).count(),
        1 + 4 + 1,
        "the first, four failures, one that worked"
    );
}

#[tokio::test(start_paused = true)]
async fn a_write_without_an_answer_is_made_again_and_nobody_looks_in_between() {
    let world = settled().await;
    world.pass(Duration::from_secs(20)).await;
    let before = world.server.writes().len();
    world.server.fail([500, 0]);
    for _ in 0..5 {
        world.say(Some(ask(PathMode::Serve, 5, Activity::Active)), 1);
        world.pass(Duration::from_secs(1)).await;
    }
    assert_eq!(world.server.writes().len(), before + 2);
    world
        .until("serves", |w| w.sks().unwrap()["spec"]["mode"] == "Serve")
        .await;
    assert_eq!(world.server.writes().len(), before + 3);
}

#[tokio::test(start_paused = true)]
async fn readiness_is_told_within_a_fifth_of_a_second() {
    let mut world = World::new();
    world.start().await;
    world.until("made", |w| w.sks().is_some()).await;
    world.say(Some(ask(PathMode::Proxy, 2, Activity::Active)), 1);
    let not_ready = ("Unknown".to_owned(), "NotReady".to_owned());
    world
        .until("told", |w| w.condition("Ready") == Some(not_ready.clone()))
        .await;
    world.services_ready(None);
    world.pass(Duration::from_millis(250)).await;
    assert_eq!(
        world.condition("Ready"),
        Some(("True".to_owned(), String::new()))
    );
}

#[tokio::test(start_paused = true)]
async fn a_stale_look_overwrites_nothing() {
    let world = settled().await;
    // Somebody changes it, and we ask before we have seen that.
    world.server.put(
        "serverlessservices",
        "ns",
        "rev",
        &json!({"spec": {"somebody": "else"}}),
    );
    world.say(Some(ask(PathMode::Serve, 5, Activity::Active)), 1);
    world
        .until("serves", |w| w.sks().unwrap()["spec"]["mode"] == "Serve")
        .await;
    assert_eq!(world.sks().unwrap()["spec"]["somebody"], "else");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_ours_is_left_alone_and_what_was_ours_is_let_go() {
    let mut world = World::new();
    world.own(false);
    world.start().await;
    world.pass(Duration::from_secs(10)).await;
    assert!(world.server.writes().is_empty() && world.applied().is_empty());
    world.own(true);
    world.until("made", |w| w.sks().is_some()).await;
    world.own(false);
    world
        .until("let go", |w| {
            w.engine.told.lock().last() == Some(&Told::Forget)
        })
        .await;
    let written = world.server.writes();
    world.services_ready(None);
    world.say(Some(ask(PathMode::Serve, 3, Activity::Active)), 1);
    world.pass(Duration::from_secs(10)).await;
    assert_eq!(world.server.writes(), written);
}

#[tokio::test(start_paused = true)]
async fn what_is_ours_for_good_is_looked_after_for_good() {
    let mut world = settled().await;
    world.own_for_good();
    world.pass(Duration::from_secs(1)).await;
    world.say(Some(ask(PathMode::Serve, 3, Activity::Active)), 1);
    world
        .until("serves", |w| w.sks().unwrap()["spec"]["mode"] == "Serve")
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_autoscaler_that_is_deleted_or_changes_its_class_is_let_go() {
    for change in [
        json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
        json!({"metadata": {"annotations": {"autoscaling.knative.dev/class": "hpa.autoscaling.knative.dev"}}}),
        Value::Null,
    ] {
        let world = settled().await;
        match &change {
            Value::Null => world.server.delete("podautoscalers", "ns", "rev"),
            change => world.server.put("podautoscalers", "ns", "rev", change),
        }
        world
            .until("let go", |w| {
                w.engine.told.lock().last() == Some(&Told::Forget)
            })
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_service_is_told_and_left_alone() {
    let mut world = World::new();
    let spec = json!({"mode": "Serve", "objectRef": {"name": "x"}, "numActivators": 7});
    world
        .server
        .put("serverlessservices", "ns", "rev", &json!({"spec": spec}));
    world.start().await;
    world
        .until("told", |w| {
            w.condition("Ready") == Some(("False".into(), "NotOwned".into()))
        })
        .await;
    assert_eq!(world.sks().unwrap()["spec"], spec);
    assert_eq!(
        world.facts(),
        Some(PathFacts::default()),
        "nothing is scaled"
    );
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_metric_is_told_and_nothing_is_scaled() {
    let mut world = World::new();
    let spec = json!({"stableWindow": 1, "panicWindow": 1, "scrapeTarget": "x"});
    world
        .server
        .put("metrics", "ns", "rev", &json!({ "spec": spec }));
    world.start().await;
    world.until("made", |w| w.sks().is_some()).await;
    world.services_ready(Some("2026-01-01T00:00:00Z"));
    world.say(Some(ask(PathMode::Serve, 3, Activity::Active)), 1);
    world
        .until("told", |w| {
            w.condition("Ready") == Some(("False".into(), "NotOwned".into()))
        })
        .await;
    world.pass(Duration::from_secs(5)).await;
    assert_eq!(world.facts(), Some(PathFacts::default()));
    assert_eq!(world.sks().unwrap()["spec"]["mode"], "Proxy");
    let metric = world.server.object("metrics", "ns", "rev").unwrap();
    assert_eq!(metric["spec"], spec);
}

#[tokio::test(start_paused = true)]
async fn config_maps_are_followed_and_a_broken_one_changes_nothing() {
    let world = settled().await;
    let config = |data: Value| {
        let system = "knative-serving";
        world.server.put(
            "configmaps",
            system,
            "config-autoscaler",
            &json!({"data": data}),
        );
    };
    config(json!({"stable-window": "20s"}));
    let window = |w: &World| {
        let metric = w.server.object("metrics", "ns", "rev").unwrap();
        metric["spec"]["stableWindow"].as_u64().unwrap() / 1_000_000_000
    };
    world.until("window", |w| window(w) == 20).await;
    assert!(!world.applied().last().unwrap().is_new);
    config(json!({"stable-window": "1s"}));
    world.pass(Duration::from_secs(5)).await;
    assert_eq!(window(&world), 20);
    world.server.put(
        "configmaps",
        "knative-serving",
        "config-network",
        &json!({"data": {"mesh-compatibility-mode": "disabled"}}),
    );
    world
        .until("mesh", |w| {
            let told = w.engine.told.lock();
            told.iter().any(|told| matches!(told, Told::Configure(c) if c.mesh_compatibility == MeshCompatibility::Disabled))
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_count_that_somebody_wrote_is_told_without_a_new_function() {
    let world = settled().await;
    let applied = world.applied().len();
    world.server.put(
        "deployments",
        "ns",
        "rev-deployment",
        &json!({"spec": {"replicas": 5}}),
    );
    world
        .until("told", |w| {
            w.engine.told.lock().last() == Some(&Told::Retarget(5))
        })
        .await;
    assert_eq!(world.applied().len(), applied);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_no_deployment_is_not_scaled() {
    let mut world = World::new();
    let target = json!({"spec": {"scaleTargetRef": {"kind": "StatefulSet"}}});
    world.server.put("podautoscalers", "ns", "rev", &target);
    world.start().await;
    world.until("made", |w| w.sks().is_some()).await;
    assert_eq!(world.applied(), []);
}

#[tokio::test(start_paused = true)]
async fn writes_and_probes_are_counted() {
    let world = settled().await;
    let figures = world.figures();
    for line in [
        "zeron_knative_podautoscalers 1",
        "zeron_knative_child_writes_total{kind=\"ServerlessService\",outcome=\"written\"} 2",
        "zeron_knative_child_writes_total{kind=\"Metric\",outcome=\"written\"} 1",
        "zeron_knative_status_writes_total{outcome=\"failed\"} 0",
    ] {
        assert!(figures.contains(line), "{line} in {figures}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_metric_says_what_keeps_it_from_being_collected() {
    let world = settled().await;
    *world.engine.collection.lock() = Collection::NoStat;
    world.engine.changes.send(id()).unwrap();
    world
        .until("told", |w| {
            let metric = w.server.object("metrics", "ns", "rev").unwrap();
            metric["status"]["conditions"][0]["reason"] == "DidNotReceiveStat"
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn services_are_probed_each_second_while_the_engine_wants_to_know() {
    let world = settled().await;
    let wanted = |is_probe_wanted| {
        Some(PathAsk {
            is_probe_wanted,
            ..ask(PathMode::Proxy, 3, Activity::NoTraffic)
        })
    };
    world.say(wanted(true), 1);
    world
        .until("asked three times", |w| w.prober.asked.lock().len() == 3)
        .await;
    let first = world.prober.asked.lock()[0].clone();
    assert_eq!(first, ("rev.ns.svc.cluster.local".to_owned(), 80));
    assert!(!world.facts().unwrap().probe.unwrap().is_activator);
    *world.prober.is_activator.lock() = true;
    world
        .until("told", |w| w.facts().unwrap().probe.unwrap().is_activator)
        .await;
    world.say(wanted(false), 1);
    world.pass(Duration::from_secs(2)).await;
    let asked = world.prober.asked.lock().len();
    world.pass(Duration::from_secs(20)).await;
    assert_eq!(
        world.prober.asked.lock().len(),
        asked,
        "nobody wants to know any more"
    );
}
