//! What is understood of what the API says.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::custom::paths_of;
use super::lease::{KedaLease, Record};
use super::raw::Raw;

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
    let (mut keda, start) = (KedaLease::default(), Instant::now());
    keda.observe(lease("a", "2020-01-01T00:00:00.000000Z"), start, wall());
    assert!(!keda.is_alive(start), "an old one says nothing");
    let later = start + Duration::from_secs(2);
    keda.observe(lease("a", "2020-01-01T00:00:02.000000Z"), later, wall());
    assert!(keda.is_alive(later));
    assert!(keda.is_alive(later + Duration::from_secs(19)));
    assert!(!keda.is_alive(later + Duration::from_secs(20)));
    assert_eq!(keda.expiry(later + Duration::from_secs(20)), None);
}

#[test]
fn a_lease_of_just_now_is_alive_at_first_sight() {
    let (mut keda, start) = (KedaLease::default(), Instant::now());
    keda.observe(lease("a", "2026-01-04T23:59:55.000000Z"), start, wall());
    assert!(keda.is_alive(start));
    let same = start + Duration::from_secs(18);
    keda.observe(lease("a", "2026-01-04T23:59:55.000000Z"), same, wall());
    assert!(
        !keda.is_alive(start + Duration::from_secs(21)),
        "listed again is not renewed"
    );
}

#[test]
fn a_lease_that_is_released_or_gone_is_not_alive() {
    let (mut keda, start) = (KedaLease::default(), Instant::now());
    keda.observe(lease("a", "2026-01-05T00:00:00.000000Z"), start, wall());
    keda.observe(lease("", "2026-01-05T00:00:01.000000Z"), start, wall());
    assert!(!keda.is_alive(start));
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
