#![allow(clippy::needless_pass_by_value, clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;

fn trouble(status: Value) -> Option<Trouble> {
    trouble_of(&serde_json::from_value(json!({ "status": status })).unwrap())
}

fn waits(reason: &str, message: &str) -> Trouble {
    trouble(json!({"phase": "Pending", "containerStatuses": [
        {"name": "app", "state": {"waiting": {"reason": reason, "message": message}}},
    ]}))
    .unwrap()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

/// When a trouble first seen at 100 s is final, seconds after.
fn final_after(trouble: Trouble) -> Option<u64> {
    let case = Case::follow(None, trouble, at(100));
    let declared = Duration::ZERO;
    let when = case.final_at(&Patience::default(), declared)?;
    Some(when.since(at(100)).as_secs())
}

#[test]
fn the_table_of_reasons_holds() {
    let unschedulable = |nominated: &str| {
        trouble(
            json!({"phase": "Pending", "nominatedNodeName": nominated, "conditions": [
                {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                 "message": "0/1 nodes are available: 1 Insufficient cpu."},
            ]}),
        )
        .unwrap()
    };
    let table = [
        (
            waits("ErrImageNeverPull", "not present with pull policy of Never"),
            Some(0),
        ),
        (waits("InvalidImageName", ""), Some(0)),
        (
            waits("ErrImagePull", "failed to resolve: x: not found"),
            Some(0),
        ),
        (
            waits("ImagePullBackOff", "Back-off: pull access denied"),
            Some(0),
        ),
        (waits("ErrImagePull", "dial tcp: i/o timeout"), None),
        (waits("ImagePullBackOff", "Back-off pulling image"), None),
        (
            waits("CrashLoopBackOff", "back-off 10s restarting"),
            Some(0),
        ),
        (
            waits("CreateContainerConfigError", "secret \"x\" not found"),
            Some(5),
        ),
        (waits("RunContainerError", "exec: no such file"), Some(5)),
        (unschedulable(""), Some(5)),
        (unschedulable("node-2"), None),
    ];
    for (trouble, expected) in table {
        let shown = format!("{trouble:?}");
        assert_eq!(final_after(trouble), expected, "{shown}");
    }
}

#[test]
fn a_second_failed_pull_is_final_and_news() {
    let pull = || waits("ErrImagePull", "i/o timeout");
    let first = Case::follow(None, pull(), at(1));
    let again = Case::follow(Some(&first), pull(), at(2));
    assert_eq!(
        again.final_at(&Patience::default(), Duration::ZERO),
        None,
        "seen twice"
    );
    let back_off = Case::follow(Some(&again), waits("ImagePullBackOff", "Back-off"), at(3));
    assert_eq!(
        back_off.final_at(&Patience::default(), Duration::ZERO),
        None
    );
    let second = Case::follow(Some(&back_off), pull(), at(20));
    let when = second.final_at(&Patience::default(), Duration::ZERO);
    assert!(when.is_some());
    let (before, after) = (back_off.failure(None, at(19)), second.failure(when, at(20)));
    assert!(!before.is_final && after.is_final);
    assert_ne!(before.at, after.at);
}

#[test]
fn a_crash_loop_says_how_the_container_ended_and_when_it_is_tried_again() {
    let trouble = trouble(json!({"phase": "Running", "containerStatuses": [{
        "name": "app", "restartCount": 3,
        "state": {"waiting": {"reason": "CrashLoopBackOff",
            "message": "back-off 40s restarting failed container=app pod=a_b(c)"}},
        "lastState": {"terminated": {"exitCode": 3, "reason": "Error",
            "message": "no database\n", "finishedAt": "2026-01-02T03:04:05Z"}},
    }]}))
    .unwrap();
    assert_eq!(&*trouble.reason, "CrashLoopBackOff");
    assert!(
        trouble
            .message
            .starts_with("container app: exit code 3 (Error): no database; back-off 40s"),
        "{}",
        trouble.message
    );
    let seen = Case::follow(None, trouble, at(1_767_323_050));
    let failure = seen.failure(None, at(1_767_323_050));
    assert_eq!(failure.retry_at, Some(at(1_767_323_045 + 40)));
    assert_eq!(go_duration("2m40s"), Some(Duration::from_secs(160)));
    assert_eq!(go_duration("5m0s"), Some(Duration::from_secs(300)));
}

fn crash_loop(pause: &str, finished: &str) -> Trouble {
    let message = format!("back-off {pause} restarting failed container=app pod=a_b(c)");
    let status = json!({"phase": "Running", "containerStatuses": [{
        "name": "app", "restartCount": 3,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": message}},
        "lastState": {"terminated": {"exitCode": 3, "finishedAt": finished}},
    }]});
    trouble(status).unwrap()
}

#[test]
fn a_node_whose_clock_is_ahead_does_not_prolong_the_pause() {
    let now = at(1_767_323_050);
    let retry = |case: &Case, now| case.failure(None, now).retry_at;
    let ahead = || crash_loop("40s", "2027-01-02T03:04:05Z");
    let case = Case::follow(None, ahead(), now);
    assert_eq!(retry(&case, now), Some(at(1_767_323_050 + 40)));
    // Told again of the same pause, its end stays.
    let later = at(1_767_323_060);
    let case = Case::follow(Some(&case), ahead(), later);
    assert_eq!(retry(&case, later), Some(at(1_767_323_050 + 40)));
    // The next pause is another one.
    let next = crash_loop("1m20s", "2027-01-02T03:05:05Z");
    let case = Case::follow(Some(&case), next, at(1_767_323_100));
    let end = Some(at(1_767_323_100 + 80));
    assert_eq!(retry(&case, at(1_767_323_100)), end);
}

#[test]
fn no_pause_is_longer_than_a_kubelet_makes_one() {
    let now = at(1_767_323_045);
    let case = Case::follow(None, crash_loop("600000m0s", "2026-01-02T03:04:05Z"), now);
    let end = Some(at(1_767_323_045 + 300));
    assert_eq!(case.failure(None, now).retry_at, end);
}

#[test]
fn the_first_end_of_a_container_is_said_at_once_and_final_when_it_stays_unready() {
    let first = trouble(json!({"phase": "Running", "containerStatuses": [{
        "name": "app", "restartCount": 1, "state": {"running": {}},
        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
    }]}))
    .unwrap();
    assert_eq!(&*first.reason, "OOMKilled");
    assert_eq!(final_after(first), Some(60));
    let plain = trouble(json!({"phase": "Running", "containerStatuses": [
        {"name": "app", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}},
    ]}))
    .unwrap();
    assert_eq!(&*plain.reason, "ExitCode1");
}

#[test]
fn a_pod_that_runs_and_never_gets_ready_is_final_after_its_patience() {
    let trouble = trouble(json!({"phase": "Running", "conditions": [
        {"type": "Ready", "status": "False", "reason": "ContainersNotReady",
         "message": "containers with unready status: [app]"},
    ], "containerStatuses": [{"name": "app", "state": {"running": {}}}]}))
    .unwrap();
    let case = Case::follow(None, trouble, at(0));
    let when = case.final_at(&Patience::default(), Duration::from_secs(20));
    assert_eq!(when, Some(at(80)));
    assert!(!case.is_told(when, at(79)) && case.is_told(when, at(80)));
    assert!(case.failure(when, at(80)).is_final);
}

#[test]
fn an_eviction_is_said_in_the_nodes_words() {
    let trouble = trouble(json!({"phase": "Failed", "reason": "Evicted",
        "message": "The node was low on resource: memory."}))
    .unwrap();
    assert_eq!((&*trouble.reason, trouble.kind), ("Evicted", Kind::Over));
    assert!(trouble.message.contains("memory"));
}

#[test]
fn a_pod_on_its_way_has_no_trouble() {
    assert!(trouble(json!({"phase": "Pending"})).is_none());
    assert!(
        trouble(json!({"phase": "Pending", "containerStatuses": [
            {"name": "app", "state": {"waiting": {"reason": "ContainerCreating"}}},
        ]}))
        .is_none()
    );
    assert!(
        trouble(json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"},
        ]}))
        .is_none()
    );
}

#[test]
fn long_messages_are_cut_at_a_character() {
    let long = "ü".repeat(MESSAGE_LIMIT);
    assert_eq!(clip(&long).len(), MESSAGE_LIMIT);
    assert_eq!(clip(&format!("a{long}")).len(), MESSAGE_LIMIT - 1);
}
