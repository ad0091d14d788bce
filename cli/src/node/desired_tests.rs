//! Files, applied objects and the store together, and the revisions that follow.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::desired::{Desired, FirstReadError};
use super::services::Services;
use crate::control::{ApplyAction, ApplyRequest, ChangeError, ObjectName, SourceText};
use crate::store::Store;
use zeron_catalog::CompileOptions;

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: work}
spec:
  selector: {matchLabels: {app: work}}
  template:
    metadata: {labels: {app: work}}
    spec: {containers: [{name: c, command: [sleep, '9']}]}
";
const SCALED_OBJECT: &str = "
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: work}
spec:
  scaleTargetRef: {name: work}
  triggers:
    - type: kafka
      metadata: {bootstrapServers: '127.0.0.1:1', consumerGroup: g, topic: t}
";

fn service(message: &str) -> String {
    format!(
        "
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {{name: hello}}
spec:
  template:
    spec:
      containers: [{{command: [run], args: [{message}]}}]
"
    )
}

fn read(paths: &[PathBuf], store: &Arc<Store>) -> Result<Desired, FirstReadError> {
    let scalers = Arc::new(zeron_scalers::Registry::builtin(
        zeron_scalers::AddressPolicy::MACHINE,
    ));
    Desired::read(paths, CompileOptions::default(), scalers, store.clone())
}

fn request(texts: &[&str]) -> ApplyRequest {
    ApplyRequest {
        sources: vec![SourceText {
            name: "stdin".to_owned(),
            folder: PathBuf::from("/"),
            text: texts.join("---"),
        }],
        is_strict: false,
    }
}

fn named(kind: &str, name: &str) -> ObjectName {
    ObjectName {
        kind: kind.to_owned(),
        namespace: "default".to_owned(),
        name: name.to_owned(),
    }
}

fn store(folder: &Path) -> Arc<Store> {
    Arc::new(Store::open(folder).unwrap())
}

#[test]
fn an_object_that_another_needs_is_deleted_after_it() {
    let folder = TempDir::new().unwrap();
    let mut desired = read(&[], &store(folder.path())).unwrap();
    desired
        .apply(&request(&[DEPLOYMENT, SCALED_OBJECT]))
        .unwrap();
    let refused = desired.delete(&named("Deployment", "work"));
    assert!(matches!(refused, Err(ChangeError::Invalid(_))));
    desired.delete(&named("ScaledObject", "work")).unwrap();
    desired.delete(&named("Deployment", "work")).unwrap();
    assert!(desired.catalog().functions.is_empty());
}

#[test]
fn applied_objects_that_lost_their_target_keep_no_start_and_can_be_deleted() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("work.yaml");
    std::fs::write(&file, DEPLOYMENT).unwrap();
    let store = store(folder.path());
    let mut desired = read(std::slice::from_ref(&file), &store).unwrap();
    desired.apply(&request(&[SCALED_OBJECT])).unwrap();
    drop(desired);
    let mut desired = read(&[], &store).unwrap();
    assert!(desired.problems()[0].message.contains("work"));
    desired.delete(&named("ScaledObject", "work")).unwrap();
    assert!(desired.problems().is_empty());
    assert!(store.manifests().unwrap().is_empty());
}

#[test]
fn a_broken_file_keeps_from_starting_whatever_was_applied() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("broken.yaml");
    std::fs::write(&file, "kind: [").unwrap();
    let store = store(folder.path());
    let mut desired = read(&[], &store).unwrap();
    desired.apply(&request(&[DEPLOYMENT])).unwrap();
    let refused = read(&[file], &store);
    assert!(matches!(refused, Err(FirstReadError::Invalid(_))));
}

#[test]
fn a_file_wins_over_what_was_applied_and_says_so() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("work.yaml");
    std::fs::write(&file, DEPLOYMENT.replace("'9'", "'1'")).unwrap();
    let store = store(folder.path());
    let mut desired = read(&[], &store).unwrap();
    desired.apply(&request(&[DEPLOYMENT])).unwrap();
    let mut desired = read(&[file], &store).unwrap();
    let [function] = desired.catalog().functions.as_slice() else {
        panic!("one function");
    };
    assert_eq!(function.workload.command, ["sleep", "1"]);
    let told = desired.problems();
    assert!(told[0].message.contains("zeron delete deployment work"));
    desired.delete(&named("Deployment", "work")).unwrap();
    assert!(desired.problems().is_empty());
    assert_eq!(desired.catalog().functions.len(), 1);
}

#[test]
fn versions_applied_at_once_are_revisions_in_their_order() {
    let folder = TempDir::new().unwrap();
    let store = store(folder.path());
    let mut desired = read(&[], &store).unwrap();
    let mut services = Services::load(store).unwrap();
    let report = desired.apply(&request(&[&service("a"), &service("b")]));
    let actions: Vec<_> = report.unwrap().objects.iter().map(|o| o.action).collect();
    assert_eq!(actions, [ApplyAction::Created, ApplyAction::Configured]);
    for past in desired.take_past() {
        services.plan(&past);
    }
    for _ in 0..2 {
        let planned = services.plan(desired.catalog());
        let names: Vec<_> = planned
            .plan
            .functions
            .keys()
            .map(|id| id.name().to_owned())
            .collect();
        assert_eq!(names, ["hello-00001", "hello-00002"]);
    }
}

#[test]
fn two_services_cannot_have_one_revision() {
    let folder = TempDir::new().unwrap();
    let store = Arc::new(Store::open(&folder.path().join("state")).unwrap());
    let named = |service: &str| service_named(service, "hello-a-b");
    let file = folder.path().join("two.yaml");
    std::fs::write(&file, format!("{}---{}", named("hello"), named("hello-a"))).unwrap();
    let desired = read(&[file], &store).unwrap();
    let planned = Services::load(store).unwrap().plan(desired.catalog());
    let messages: Vec<&str> = planned
        .problems
        .iter()
        .map(|p| p.message.as_str())
        .collect();
    assert!(
        messages[0].contains("\"hello-a-b\" belongs to Service hello"),
        "{messages:?}"
    );
    assert_eq!(planned.plan.functions.len(), 1);
}

fn service_named(service: &str, revision: &str) -> String {
    format!(
        "
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {{name: {service}}}
spec:
  template:
    metadata: {{name: {revision}}}
    spec:
      containers: [{{command: [run]}}]
"
    )
}
