//! Revisions and plans as pure bookkeeping.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use zeron_core::Workload;
use zeron_core::function::{Protocol, Timeouts};
use zeron_core::workload::{Port, ReadinessProbe, ResourceLimits};
use zeron_frontend_knative::{RevisionTemplate, TrafficTarget};

use super::revisions::{KEPT_WITHOUT_TRAFFIC, RevisionError, Revisions};

fn template(name: Option<&str>, command: &str) -> RevisionTemplate {
    RevisionTemplate {
        name: name.map(str::to_owned),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        workload: Workload {
            command: vec![command.to_owned()],
            args: Vec::new(),
            env: Vec::new(),
            working_dir: None,
            image: None,
            port: Some(Port::Assigned),
            readiness: ReadinessProbe::default(),
            limits: ResourceLimits::default(),
            termination_grace: Duration::from_secs(1),
            start_deadline: Duration::from_secs(1),
        },
        protocol: Protocol::Http1,
        container_concurrency: 0,
        timeouts: Timeouts::default(),
    }
}

fn target(revision: Option<&str>, percent: u32) -> TrafficTarget {
    TrafficTarget {
        revision_name: revision.map(str::to_owned),
        percent,
        tag: None,
    }
}

#[test]
fn an_edit_makes_a_revision_and_the_same_template_none() {
    let mut revisions = Revisions::default();
    assert_eq!(
        revisions.follow("hello", &template(None, "a")),
        Ok(Some("hello-00001".to_owned()))
    );
    assert_eq!(revisions.follow("hello", &template(None, "a")), Ok(None));
    assert_eq!(
        revisions.follow("hello", &template(None, "b")),
        Ok(Some("hello-00002".to_owned()))
    );
    // Going back to an older template is an edit too.
    assert_eq!(
        revisions.follow("hello", &template(None, "a")),
        Ok(Some("hello-00003".to_owned()))
    );
}

#[test]
fn traffic_stays_until_the_newer_revision_is_ready() {
    let mut revisions = Revisions::default();
    revisions.follow("hello", &template(None, "a")).unwrap();
    let first = revisions.resolve(&[target(None, 100)]).unwrap();
    assert_eq!(first[0].revision, "hello-00001", "requests wait for it");
    assert!(revisions.mark_ready("hello-00001"));
    revisions.follow("hello", &template(None, "b")).unwrap();
    let before = revisions.resolve(&[target(None, 100)]).unwrap();
    assert_eq!(before[0].revision, "hello-00001");
    assert!(revisions.mark_ready("hello-00002"));
    let after = revisions.resolve(&[target(None, 100)]).unwrap();
    assert_eq!(after[0].revision, "hello-00002");
}

#[test]
fn an_older_revision_that_becomes_ready_late_takes_no_traffic() {
    let mut revisions = Revisions::default();
    revisions.follow("hello", &template(None, "a")).unwrap();
    revisions.follow("hello", &template(None, "b")).unwrap();
    assert!(revisions.mark_ready("hello-00002"));
    assert!(!revisions.mark_ready("hello-00001"));
    assert_eq!(revisions.latest_ready().unwrap().name, "hello-00002");
}

#[test]
fn a_named_template_keeps_its_meaning() {
    let mut revisions = Revisions::default();
    let named = template(Some("hello-blue"), "a");
    assert_eq!(
        revisions.follow("hello", &named),
        Ok(Some("hello-blue".to_owned()))
    );
    assert_eq!(revisions.follow("hello", &named), Ok(None));
    let changed = template(Some("hello-blue"), "b");
    let taken = RevisionError::NameTaken("hello-blue".to_owned());
    assert_eq!(revisions.follow("hello", &changed), Err(taken));
}

#[test]
fn traffic_to_an_unknown_revision_names_the_known_ones() {
    let mut revisions = Revisions::default();
    revisions.follow("hello", &template(None, "a")).unwrap();
    let error = revisions
        .resolve(&[target(Some("hello-00009"), 100)])
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("hello-00009") && text.contains("hello-00001"),
        "{text}"
    );
}

#[test]
fn revisions_without_traffic_are_kept_up_to_a_number() {
    let mut revisions = Revisions::default();
    for n in 0..KEPT_WITHOUT_TRAFFIC + 5 {
        revisions
            .follow("hello", &template(None, &n.to_string()))
            .unwrap();
    }
    let newest = revisions.latest().unwrap().name.clone();
    revisions.mark_ready(&newest);
    let used = revisions
        .resolve(&[target(Some("hello-00001"), 10), target(None, 90)])
        .unwrap();
    let dropped = revisions.collect(&used);
    assert_eq!(dropped, ["hello-00002", "hello-00003", "hello-00004"]);
    assert!(revisions.get("hello-00001").is_some());
    assert_eq!(revisions.iter().count(), KEPT_WITHOUT_TRAFFIC + 2);
}
