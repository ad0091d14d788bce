//! What is understood of what the API says.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::custom::paths_of;
use super::lease::{KedaLeases, Record};
use super::raw::Raw;
use super::watch::{Access, Loss};
use crate::projection::KedaLife;

fn lease(holder: &str, renewed: &str) -> Option<Record> {
    Record::read(&json!({
        "spec": { "holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 15 },
    }))
}

fn wall() -> jiff::Timestamp {
    "2026-01-05T00:00:00Z".parse().unwrap()
}

#[test]
fn a_lease_that_is_renewed_is_alive_whatever_its_clock_says() {
    let (mut keda, start) = (KedaLeases::default(), Instant::now());
    let old = lease("a", "2020-01-01T00:00:00.000000Z");
    keda.observe("keda", old, start, wall());
    assert_eq!(keda.life(start), KedaLife::Gone, "an old one says nothing");
    let later = start + Duration::from_secs(2);
    let renewed = lease("a", "2020-01-01T00:00:02.000000Z");
    keda.observe("keda", renewed, later, wall());
    assert_eq!(keda.life(later), KedaLife::Alive);
    assert_eq!(keda.life(later + Duration::from_secs(19)), KedaLife::Alive);
    let end = later + Duration::from_secs(20);
    assert_eq!(keda.expiry(later), Some(end));
    assert_eq!(keda.life(end), KedaLife::Gone);
    assert_eq!(keda.expiry(end), None);
}

#[test]
fn a_lease_of_just_now_is_alive_at_first_sight() {
    let (mut keda, start) = (KedaLeases::default(), Instant::now());
    let now = || lease("a", "2026-01-04T23:59:55.000000Z");
    keda.observe("keda", now(), start, wall());
    assert_eq!(keda.life(start), KedaLife::Alive);
    keda.observe("keda", now(), start + Duration::from_secs(18), wall());
    assert_eq!(
        keda.life(start + Duration::from_secs(21)),
        KedaLife::Gone,
        "listed again is not renewed"
    );
}

#[test]
fn a_lease_that_is_released_or_gone_may_belong_to_a_keda_that_restarts() {
    for released in [lease("", "2026-01-05T00:00:01.000000Z"), None] {
        let (mut keda, start) = (KedaLeases::default(), Instant::now());
        keda.observe("keda", lease("a", "2026-01-05T00:00:00Z"), start, wall());
        let later = start + Duration::from_secs(10);
        keda.observe("keda", released.clone(), later, wall());
        assert_eq!(keda.life(later), KedaLife::LetGo);
        keda.observe("keda", lease("b", "2020-01-05T00:00:00Z"), later, wall());
        assert_eq!(keda.life(later), KedaLife::Alive, "the next one has it");
        keda.observe("keda", released, later, wall());
        let end = later + Duration::from_secs(20);
        assert_eq!(keda.expiry(later), Some(end));
        assert_eq!(keda.life(end), KedaLife::Gone);
    }
}

#[test]
fn a_lease_that_nobody_held_says_nothing() {
    let (mut keda, start) = (KedaLeases::default(), Instant::now());
    keda.observe("keda", None, start, wall());
    assert_eq!(keda.life(start), KedaLife::Gone);
    assert_eq!(keda.expiry(start), None);
}

#[test]
fn leases_of_several_namespaces_are_told_apart_and_any_that_lives_counts() {
    let (mut keda, start) = (KedaLeases::default(), Instant::now());
    let held = || lease("a", "2026-01-05T00:00:00Z");
    keda.observe("keda", held(), start, wall());
    let later = start + Duration::from_secs(10);
    keda.observe("other", held(), later, wall());
    keda.observe("keda", None, later, wall());
    assert_eq!(keda.life(later), KedaLife::Alive, "the other one lives");
    let first = start + Duration::from_secs(20);
    assert_eq!(keda.expiry(later), Some(first), "each runs out by itself");
    assert_eq!(keda.life(first), KedaLife::Alive);
    assert_eq!(keda.life(first + Duration::from_secs(10)), KedaLife::Gone);
}

#[test]
fn a_kind_that_was_read_keeps_its_objects_however_often_it_is_missing() {
    let mut access = Access::default();
    for _ in 0..3 {
        assert_eq!(access.lose(), Loss::Nothing, "it was never read");
    }
    assert!(!access.restore(), "it came for the first time");
    assert_eq!(access.lose(), Loss::Stale);
    assert_eq!(access.lose(), Loss::StillStale);
    assert_eq!(access.lose(), Loss::StillStale);
    assert!(access.restore());
    assert!(!access.restore(), "listed again after it expired");
    assert_eq!(access.lose(), Loss::Stale);
}

#[test]
fn a_definition_says_where_the_count_and_the_selector_are() {
    let definition = json!({ "spec": { "versions": [
        { "name": "v1alpha1" },
        { "name": "v1", "subresources": { "scale": {
            "specReplicasPath": ".spec.size", "labelSelectorPath": ".status.selector",
        } } },
    ] } });
    let found = paths_of(&definition, "v1");
    assert_eq!(
        found,
        (
            Some(".spec.size".to_owned()),
            Some(".status.selector".to_owned())
        )
    );
    assert_eq!(paths_of(&definition, "v1alpha1"), (None, None));
    assert_eq!(paths_of(&Value::Null, "v1"), (None, None));
}

#[test]
fn an_object_is_one_value_without_managed_fields() {
    let object: Raw = serde_json::from_value(json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "name": "x", "namespace": "n", "managedFields": [{ "manager": "m" }] },
        "spec": { "ports": [] },
    }))
    .unwrap();
    let metadata = json!({ "name": "x", "namespace": "n" });
    assert_eq!(
        object.value,
        json!({ "metadata": metadata, "spec": { "ports": [] } })
    );
}
