//! Shares of two processes over what a real projection declares.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use serde_json::{Value, json};
use zeron_controller::projection::{Manage, ObjectKind, Projection, ProjectionOptions, TargetKind};

use super::*;

const SHARDS: u32 = 2;

fn projection() -> Projection {
    let scalers = Arc::new(zeron_scalers::Registry::builtin(
        zeron_scalers::AddressPolicy::CLUSTER,
    ));
    Projection::new(ProjectionOptions {
        manage: Manage::All,
        ..ProjectionOptions::new(scalers)
    })
}

fn object(spec: &Value, name: &str) -> Value {
    json!({
        "metadata": { "name": name, "namespace": "shop", "uid": name, "generation": 1 },
        "spec": spec,
    })
}

fn declare(projection: &mut Projection, name: &str, max: u32) {
    let labels = json!({ "app": name });
    let deployment = json!({
        "replicas": 0,
        "selector": { "matchLabels": labels },
        "template": {
            "metadata": { "labels": labels },
            "spec": { "containers": [{ "name": "fn", "ports": [{ "containerPort": 8080 }] }] },
        },
    });
    let service = json!({ "selector": labels, "ports": [{ "port": 80, "targetPort": 8080 }] });
    let scaled = json!({
        "hosts": [format!("{name}.example.com")],
        "scaleTargetRef": { "name": name, "kind": "Deployment", "apiVersion": "apps/v1", "service": name, "port": 80 },
        "replicas": { "min": 0, "max": max },
    });
    let target = ObjectKind::Target(Arc::new(TargetKind::deployment()));
    for (kind, spec) in [
        (target, deployment),
        (ObjectKind::Service, service),
        (ObjectKind::HttpScaledObject, scaled),
    ] {
        projection.upsert(&kind, object(&spec, name)).unwrap();
    }
}

fn taken(steps: &[Step]) -> BTreeSet<String> {
    let name = |step: &Step| match step {
        Step::Take(declared) => Some(declared.function.id.name().to_owned()),
        Step::Update(_) | Step::Drop(_) => None,
    };
    steps.iter().filter_map(name).collect()
}

fn names(prefix: &str, count: u32) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}{n}")).collect()
}

#[test]
fn every_function_has_one_owner_whatever_came_first() {
    let mut projection = projection();
    for name in names("fn", 8) {
        declare(&mut projection, &name, 5);
    }
    let changes = projection.take_changes();
    let mut first = Ownership::new(SHARDS);
    let mut second = Ownership::new(SHARDS);
    assert_eq!(first.change(changes.clone()), [], "nothing is held yet");
    let of_first = taken(&first.hold(BTreeSet::from([0])));
    second.hold(BTreeSet::from([1]));
    let of_second = taken(&second.change(changes));
    assert!(of_first.is_disjoint(&of_second));
    assert_eq!(of_first.len() + of_second.len(), 8);
    assert_eq!(first.reported().count(), of_first.len());
}

#[test]
fn a_lost_shard_drops_its_functions_and_a_won_one_takes_them() {
    let mut projection = projection();
    for name in names("fn", 8) {
        declare(&mut projection, &name, 5);
    }
    let mut ownership = Ownership::new(SHARDS);
    ownership.hold(BTreeSet::from([0, 1]));
    assert_eq!(taken(&ownership.change(projection.take_changes())).len(), 8);
    let dropped = ownership.hold(BTreeSet::from([0]));
    assert!(dropped.iter().all(|step| matches!(step, Step::Drop(_))));
    let again = ownership.hold(BTreeSet::from([0, 1]));
    assert_eq!(taken(&again).len(), dropped.len());
}

#[test]
fn an_edit_updates_and_a_deletion_drops_what_is_ours() {
    let mut projection = projection();
    declare(&mut projection, "fn", 5);
    let mut ownership = Ownership::new(1);
    ownership.hold(BTreeSet::from([0]));
    ownership.change(projection.take_changes());
    declare(&mut projection, "fn", 7);
    let edited = ownership.change(projection.take_changes());
    assert!(matches!(edited.as_slice(), [Step::Update(_)]), "{edited:?}");
    let key = ObjectKey::new(ObjectKind::HttpScaledObject, "shop", "fn");
    projection.delete(&key);
    let deleted = ownership.change(projection.take_changes());
    assert!(matches!(deleted.as_slice(), [Step::Drop(_)]), "{deleted:?}");
    assert!(ownership.report(&key).is_none());
}
