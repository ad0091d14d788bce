//! What thousands of functions cost. Times are of a build without optimization: the bounds are wide,
//! and the figures are printed.

use std::time::Instant;

use serde_json::Value;

use super::world::*;

fn objects(count: usize) -> impl Iterator<Item = Value> {
    (0..count).flat_map(|i| {
        let name = format!("function-{i}");
        [
            deployment(&name),
            service(&name, &name),
            scaled(&name, &name),
            http(&name, &name, &format!("{name}.example.com")),
        ]
    })
}

#[test]
fn a_change_costs_the_same_beside_many_functions() {
    let count: usize = std::env::var("ZERON_TEST_FUNCTIONS").map_or(300, |n| n.parse().unwrap());
    let mut world = World::new();
    let all: Vec<Value> = objects(count).collect();
    let began = Instant::now();
    for object in all {
        world.projection.upsert(&kind_of(&object), object).unwrap();
    }
    let read = began.elapsed();
    world.take();
    let whole = began.elapsed();
    assert_eq!(world.last.applied.len(), count);
    let began = Instant::now();
    for max in 1..=100 {
        world.put([with(
            scaled("function-77", "function-77"),
            "spec/maxReplicaCount",
            max,
        )]);
        assert_eq!(world.applied(), ["default/Deployment/function-77"]);
    }
    let change = began.elapsed() / 100;
    let began = Instant::now();
    for replicas in 1..=100 {
        world.put([with(deployment("function-77"), "spec/replicas", replicas)]);
    }
    let scaled = began.elapsed() / 100;
    println!(
        "{count} functions: read {read:?}, compiled after {whole:?}; a change {change:?}, a new count {scaled:?}"
    );
    assert!(world.projection.bytes() / count < 6 << 10);
}

#[test]
fn one_namespace_with_many_services_is_not_searched() {
    let mut world = World::new();
    world.put(objects(200));
    let routes = (0..200).map(|i| {
        interceptor(
            &format!("r-{i}"),
            &format!("function-{i}"),
            &format!("r-{i}.example.com"),
        )
    });
    world.put(routes);
    assert_eq!(world.routes().routes.len(), 400);
    world.put([service("function-9", "function-10")]);
    let mut applied = world.applied();
    applied.sort();
    assert_eq!(
        applied,
        [
            "default/Deployment/function-10",
            "default/Deployment/function-9"
        ]
    );
}
