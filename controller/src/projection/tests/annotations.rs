//! Annotations of KEDA and of ours, and what they do to a function.

use zeron_core::policy::{Pause, Scaling};

use super::world::*;
use crate::projection::{ObjectKind, Outcome};

fn paused(key: &str, value: &str) -> (Pause, bool) {
    let mut world = World::new();
    let so = annotated(
        scaled("so", "w"),
        &format!("autoscaling.keda.sh/{key}"),
        value,
    );
    world.put([
        deployment("w"),
        service("w", "w"),
        http("h", "w", "h.example.com"),
        so,
    ]);
    assert_eq!(*world.so(), Outcome::Ok);
    let declared = world.declared("w");
    (declared.function.scale.pause, declared.is_wake_allowed)
}

#[test]
fn pauses_are_as_in_keda_and_let_nothing_be_woken() {
    let none = Pause::default();
    let frozen = Pause {
        is_frozen: true,
        ..none
    };
    assert_eq!(paused("paused", "true"), (frozen, false));
    assert_eq!(paused("paused", "rubbish"), (frozen, false));
    assert_eq!(paused("paused", "false"), (none, true));
    assert_eq!(
        paused("paused-replicas", "3"),
        (
            Pause {
                at: Some(3),
                ..none
            },
            false
        )
    );
    assert_eq!(paused("paused-replicas", "three"), (frozen, false));
    assert_eq!(
        paused("paused-scale-in", "true"),
        (
            Pause {
                scale_in: true,
                ..none
            },
            true
        )
    );
    assert_eq!(
        paused("paused-scale-out", "true"),
        (
            Pause {
                scale_out: true,
                ..none
            },
            false
        )
    );
}

#[test]
fn activation_can_be_forced() {
    let mut world = World::new();
    world.put([
        deployment("w"),
        annotated(
            scaled("so", "w"),
            "autoscaling.keda.sh/force-activation",
            "true",
        ),
    ]);
    assert!(matches!(&world.groups("w")[0].scaling, Scaling::Metric(m) if m.is_forced_active));
}

#[test]
fn the_smaller_of_several_limits_holds() {
    let mut world = World::new();
    let so = annotated(scaled("so", "w"), "zeron.dev/concurrency-limit", "9");
    let http = annotated(
        http("h", "w", "h.example.com"),
        "zeron.dev/concurrency-limit",
        "2",
    );
    let http = annotated(http, "zeron.dev/max-queued", "50");
    world.put([deployment("w"), service("w", "w"), so, http]);
    let function = world.function("w");
    assert_eq!(function.concurrency_limit.map(|n| n.get()), Some(2));
    assert_eq!(function.admission.max_queued, 50);
}

#[test]
fn annotations_of_ours_are_checked() {
    let mut world = World::new();
    let odd = annotated(scaled("so", "w"), "zeron.dev/concurency-limit", "9");
    world.put([deployment("w"), odd]);
    assert_eq!(*world.so(), Outcome::Ok);
    let warnings = &world.report(ObjectKind::ScaledObject, "so").warnings;
    assert_eq!(
        warnings[..],
        ["metadata.annotations[zeron.dev/concurency-limit]: unknown annotation"]
    );
    world.put([annotated(
        scaled("so", "w"),
        "zeron.dev/concurrency-limit",
        "many",
    )]);
    assert!(matches!(world.so(), Outcome::Invalid { .. }));
}

#[test]
fn a_wake_up_asks_for_the_minimum_and_no_more_than_the_maximum() {
    let mut world = World::new();
    let so = with(scaled("so", "w"), "spec/minReplicaCount", 4);
    world.put([
        deployment("w"),
        service("w", "w"),
        http("h", "w", "h.example.com"),
        so,
    ]);
    assert_eq!(world.declared("w").wake_count, 4);
    world.put([with(
        http("h", "w", "h.example.com"),
        "spec/replicas/max",
        2,
    )]);
    assert_eq!(world.declared("w").wake_count, 2);
}

#[test]
fn a_target_that_is_being_deleted_is_not_woken() {
    let mut world = World::new();
    world.put([
        deployment("w"),
        service("w", "w"),
        http("h", "w", "h.example.com"),
    ]);
    world.put([with(
        deployment("w"),
        "metadata/deletionTimestamp",
        "2026-01-06T00:00:00Z",
    )]);
    let declared = world.declared("w");
    assert!(declared.target.is_deleting && !declared.is_wake_allowed);
}
