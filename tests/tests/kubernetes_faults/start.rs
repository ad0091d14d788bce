//! Pods that cannot start: who waits is told early and why, and the object says it and keeps saying it.

use std::time::{Duration, Instant};

use serde_json::Value;
use zeron_tests::cluster::{Cluster, Namespace, Roles};
use zeron_tests::wait::throughout;
use zeron_tests::{Raw, until};

use super::declare::{DEPLOYMENT, Function, HTTP_SCALED, POD, http_scaled};

/// A start that fails.
struct Case {
    name: &'static str,
    container: &'static str,
    pod: &'static str,
    reason: &'static str,
}

/// From the platform's word to the answer: for `Unschedulable` 5 s are waited, and machines may have much else to do.
const EARLY: Duration = Duration::from_secs(15);

/// What fails by itself, and what the platform calls it.
const CASES: [Case; 3] = [
    Case {
        name: "crashing",
        container: "args: [--exit-at-once, '3', --stderr, 'no such table']",
        pod: "",
        reason: "CrashLoopBackOff",
    },
    Case {
        name: "imageless",
        container: "image: dev.local/zeron-nowhere:1",
        pod: "",
        reason: "ErrImageNeverPull",
    },
    Case {
        name: "homeless",
        container: "",
        pod: "nodeSelector: { zeron.dev/nowhere: 'true' }",
        reason: "Unschedulable",
    },
];

#[test]
fn starts_that_fail_are_answered_early_and_said_for_good() {
    let Some(cluster) = Cluster::get("kubernetes_faults::starts_that_fail") else {
        return;
    };
    cluster.install_crds();
    let namespace = cluster.namespace("faults-start");
    for Case {
        name,
        container,
        pod,
        ..
    } in &CASES
    {
        Function {
            container,
            pod,
            ..Function::new(name, 0)
        }
        .apply(&namespace);
        http_scaled(&namespace, name, "replicas: { min: 0, max: 1 }");
    }
    let roles = Roles::of(&namespace).start();
    for case in &CASES {
        until_declared(&namespace, case.name);
    }
    let mut callers: Vec<Raw> = CASES
        .iter()
        .map(|_| roles.activators[0].connect())
        .collect();
    for (case, caller) in CASES.iter().zip(&mut callers) {
        caller.get(&format!("{}.example", case.name), "/");
    }
    std::thread::scope(|scope| {
        for (case, caller) in CASES.iter().zip(&mut callers) {
            let namespace = &namespace;
            scope.spawn(move || is_refused(namespace, case, caller));
        }
    });
    for case in &CASES {
        keeps_saying(&namespace, case);
    }
}

fn is_refused(namespace: &Namespace, case: &Case, caller: &mut Raw) {
    let (labels, what) = (
        format!("app={}", case.name),
        format!("to be {}", case.reason),
    );
    namespace.wait_list(POD, &labels, &what, |pods| {
        let is_said = |pod: &Value| pod["status"].to_string().contains(case.reason);
        pods.iter().any(is_said).then_some(())
    });
    let said = Instant::now();
    let answer = caller.response();
    let took = said.elapsed();
    println!(
        "{}: {} {took:?} after the platform said it: {}",
        case.name,
        answer.status,
        answer.text().trim()
    );
    assert_eq!(answer.status, 503, "{}", case.name);
    assert!(
        answer.text().contains(case.reason),
        "{}: {}",
        case.name,
        answer.text()
    );
    assert!(answer.header("retry-after").is_some(), "{}", case.name);
    assert!(took < EARLY, "{}: after {took:?}", case.name);
}

/// Also when nobody waits any more and the count is zero again.
fn keeps_saying(namespace: &Namespace, case: &Case) {
    let name = case.name;
    namespace.wait(
        HTTP_SCALED,
        name,
        &format!("to say {}", case.reason),
        |object| says(object, case.reason).then_some(()),
    );
    namespace.wait_replicas(DEPLOYMENT, name, 0);
    throughout(
        Duration::from_secs(3),
        "the condition keeps saying it",
        || {
            let object = namespace.get(HTTP_SCALED, name).unwrap();
            says(&object, case.reason)
        },
    );
}

fn says(object: &Value, reason: &str) -> bool {
    ready(object).is_some_and(|it| it["status"] == "False" && it["reason"] == reason)
}

fn ready(object: &Value) -> Option<&Value> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions
        .iter()
        .find(|condition| condition["type"] == "Ready")
}

fn until_declared(namespace: &Namespace, name: &str) {
    namespace.wait(HTTP_SCALED, name, "to be in force", |object| {
        ready(object)
            .filter(|it| it["status"] == "True")
            .map(|_| ())
    });
}

#[test]
fn a_pod_that_never_becomes_ready_is_answered_and_said() {
    let Some(cluster) = Cluster::get("kubernetes_faults::a_pod_that_never_becomes_ready") else {
        return;
    };
    cluster.install_crds();
    let namespace = cluster.namespace("faults-never");
    let container = "args: [--never-listen], readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1, failureThreshold: 1 }";
    for (name, more) in [
        ("patient", ""),
        ("hasty", "timeouts: { conditionWait: 5s }"),
    ] {
        Function {
            container,
            ..Function::new(name, 0)
        }
        .apply(&namespace);
        http_scaled(
            &namespace,
            name,
            &format!("replicas: {{ min: 0, max: 1 }}\n  {more}"),
        );
    }
    let roles = Roles::of(&namespace).start();
    for name in ["patient", "hasty"] {
        until_declared(&namespace, name);
    }
    let began = Instant::now();
    let mut patient = roles.activators[0].connect();
    patient.get("patient.example", "/");
    let hasty = roles.get("hasty.example", "/");
    let took = began.elapsed();
    println!(
        "never ready: {} after {took:?} of 5 s: {}",
        hasty.status,
        hasty.text().trim()
    );
    assert!(matches!(hasty.status, 502..=504), "{}", hasty.status);
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert!(
        patient.readable_within(Duration::from_secs(90)),
        "nobody answered"
    );
    let answer = patient.response();
    println!(
        "never ready: {} after {:?}: {}",
        answer.status,
        began.elapsed(),
        answer.text().trim()
    );
    assert_eq!(answer.status, 503);
    until("the condition to say it", || {
        let object = namespace.get(HTTP_SCALED, "patient")?;
        ready(&object)
            .filter(|it| it["status"] == "False")
            .map(|it| println!("{it}"))
    });
}
