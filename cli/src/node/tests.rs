//! Revisions and plans as pure bookkeeping.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use zeron_core::function::{Protocol, Timeouts};
use zeron_core::workload::{Port, ResourceAmounts};
use zeron_core::{Endpoint, EndpointId, EndpointSink, EndpointSnapshot, FunctionId, Workload};
use zeron_frontend_knative::{RevisionTemplate, TrafficTarget};

use super::ready::ReadyWatch;
use super::reconcile::Command;
use super::revisions::{KEPT_WITHOUT_TRAFFIC, RevisionError, Revisions};

fn template(name: Option<&str>, command: &str) -> RevisionTemplate {
    RevisionTemplate {
        name: name.map(str::to_owned),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        workload: Workload {
            command: vec![command.to_owned()],
            port: Some(Port::Assigned),
            termination_grace: Duration::from_secs(1),
            start_deadline: Duration::from_secs(1),
            ..Workload::default()
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
fn what_was_stored_without_requests_is_the_same_revision() {
    let requesting = |name, cpu_millis| {
        let mut template = template(name, "a");
        template.workload.requests = ResourceAmounts {
            cpu_millis: Some(cpu_millis),
            memory_bytes: None,
        };
        template
    };
    for name in [None, Some("hello-blue")] {
        let mut revisions = Revisions::default();
        assert_eq!(revisions.follow_all("hello", &[&template(name, "a")]), []);
        let [now, edited] = [100, 200].map(|cpu| requesting(name, cpu));
        assert_eq!(revisions.follow_all("hello", &[&now]), []);
        let templates: Vec<_> = revisions.iter().map(|it| &it.template).collect();
        assert_eq!(templates, [&now]);
        // From then on requests are a part of it like others.
        let errors = revisions.follow_all("hello", &[&edited]);
        assert_eq!(errors.len(), usize::from(name.is_some()));
        assert_eq!(revisions.iter().count(), 2 - errors.len());
    }
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

#[test]
fn versions_of_one_service_are_followed_once() {
    let mut revisions = Revisions::default();
    let (a, b, c) = (
        template(None, "a"),
        template(None, "b"),
        template(None, "c"),
    );
    assert!(revisions.follow_all("hello", &[&a, &b]).is_empty());
    let names = |r: &Revisions| r.iter().map(|r| r.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&revisions), ["hello-00001", "hello-00002"]);
    let before = revisions.clone();
    revisions.follow_all("hello", &[&a, &b]);
    assert_eq!(revisions, before, "the same manifests make nothing");
    revisions.follow_all("hello", &[&a, &b, &c]);
    assert_eq!(revisions.iter().count(), 3, "only the new one is an edit");
    revisions.follow_all("hello", &[&a]);
    assert_eq!(revisions.latest().unwrap().template, a, "going back is one");
    assert_eq!(revisions.iter().count(), 4);
}

#[test]
fn a_taken_name_is_told_each_time_and_makes_nothing() {
    let mut revisions = Revisions::default();
    let (named, other) = (template(Some("hello-v1"), "a"), template(None, "b"));
    revisions.follow_all("hello", &[&named, &other]);
    let changed = template(Some("hello-v1"), "c");
    let taken = [RevisionError::NameTaken("hello-v1".to_owned())];
    assert_eq!(revisions.follow_all("hello", &[&changed, &other]), taken);
    let before = revisions.clone();
    assert_eq!(revisions.follow_all("hello", &[&changed, &other]), taken);
    assert_eq!(revisions, before);
}

#[test]
fn a_generated_name_is_never_one_that_a_template_gave() {
    let mut revisions = Revisions::default();
    revisions
        .follow("hello", &template(Some("hello-00002"), "a"))
        .unwrap();
    let next = revisions.follow("hello", &template(None, "b")).unwrap();
    assert_eq!(next.as_deref(), Some("hello-00003"));
}

#[test]
fn traffic_to_an_unknown_revision_leaves_traffic_as_it_was() {
    let mut revisions = Revisions::default();
    let both = [&template(Some("hello-a"), "a"), &template(None, "b")];
    revisions.follow_all("hello", &both);
    let good = [target(Some("hello-a"), 90), target(None, 10)];
    let (before, none) = revisions.direct(&good);
    assert_eq!(none, None);
    let (after, error) = revisions.direct(&[target(Some("hello-x"), 100)]);
    assert_eq!(after, before);
    assert!(matches!(error, Some(RevisionError::Missing(..))));
}

#[test]
fn traffic_that_was_never_right_goes_to_the_latest() {
    let mut revisions = Revisions::default();
    revisions.follow("hello", &template(None, "a")).unwrap();
    let (targets, error) = revisions.direct(&[target(Some("hello-x"), 100)]);
    assert_eq!(targets[0].revision, "hello-00001");
    assert!(error.is_some());
}

fn snapshot(ready: usize) -> Option<Arc<EndpointSnapshot>> {
    let endpoint = |n: usize| Endpoint {
        id: EndpointId(n as u64),
        address: None,
        is_ready: true,
        is_draining: false,
        probe: None,
        is_probe_needed: false,
        replicas: 1,
        shared_by: 1,
    };
    Some(Arc::new(EndpointSnapshot {
        endpoints: (0..ready).map(endpoint).collect(),
        ..EndpointSnapshot::default()
    }))
}

#[test]
fn readiness_counts_what_was_seen_before_fewer_were_needed() {
    let (commands, mut queue) = mpsc::channel(4);
    let watch = ReadyWatch::new(commands);
    let id = FunctionId::new("default", "Revision", "hello-00002");
    watch.expect(&[(id.clone(), 2)]);
    watch.publish(&id, snapshot(1));
    assert!(queue.try_recv().is_err());
    watch.expect(&[(id.clone(), 1)]);
    assert!(matches!(queue.try_recv(), Ok(Command::Ready(f)) if f == id));
}

#[test]
fn readiness_of_a_function_nobody_waits_for_is_not_told() {
    let (commands, mut queue) = mpsc::channel(4);
    let watch = ReadyWatch::new(commands);
    let id = FunctionId::new("default", "Revision", "hello-00002");
    watch.expect(&[(id.clone(), 1)]);
    watch.expect(&[]);
    watch.publish(&id, snapshot(1));
    assert!(queue.try_recv().is_err());
}

#[test]
fn a_full_queue_delays_readiness_and_loses_none() {
    let (commands, mut queue) = mpsc::channel(1);
    commands.try_send(Command::Reload).unwrap();
    let watch = ReadyWatch::new(commands);
    let id = FunctionId::new("default", "Revision", "hello-00002");
    watch.expect(&[(id.clone(), 1)]);
    watch.publish(&id, snapshot(1));
    assert!(matches!(queue.try_recv(), Ok(Command::Reload)));
    watch.expect(&[(id.clone(), 1)]);
    assert!(matches!(queue.try_recv(), Ok(Command::Ready(_))));
}
