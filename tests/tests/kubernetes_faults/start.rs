//! Pods that cannot start: who waits is told early and why, and the object says it and keeps saying it.

use std::time::{Duration, Instant};

use serde_json::Value;
use zeron_tests::Raw;
use zeron_tests::cluster::{Cluster, Namespace, Roles};
use zeron_tests::servers::api::{Api, Reply};
use zeron_tests::wait::throughout;

use super::declare::{DEPLOYMENT, Function, HTTP_SCALED, POD, http_scaled, until_served};

/// A start that fails.
struct Case {
    name: &'static str,
    container: String,
    pod: &'static str,
    /// What it may be called: some change from one to the other and back.
    reasons: &'static [&'static str],
    /// From the platform's first word to the answer.
    within: Duration,
}

/// For `Unschedulable` 5 s are waited, and machines may have much else to do.
const EARLY: Duration = Duration::from_secs(15);

/// A registry that does not answer may do so soon: the kubelet's second pull counts, some 20 s later.
const SECOND_PULL: Duration = Duration::from_secs(45);

impl Case {
    fn new(name: &'static str, container: &str, reasons: &'static [&'static str]) -> Self {
        Self {
            name,
            container: container.to_owned(),
            pod: "",
            reasons,
            within: EARLY,
        }
    }

    /// Of an image that is to be pulled.
    fn pulled(name: &'static str, image: &str, within: Duration) -> Self {
        let container = format!("image: '{image}', imagePullPolicy: IfNotPresent");
        Self {
            within,
            ..Self::new(name, &container, &["ErrImagePull", "ImagePullBackOff"])
        }
    }

    /// Whether the text names one of the reasons.
    fn is_named_in(&self, text: &str) -> bool {
        self.reasons.iter().any(|reason| text.contains(reason))
    }
}

/// What fails by itself, and what the platform calls it.
fn cases(empty_registry: &Api) -> [Case; 5] {
    // Without a probe a container that runs for a moment counts as ready, and as a start that went well.
    let crashing = "args: [--exit-at-once, '3', --stderr, 'no such table'], readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 }";
    let absent = "image: dev.local/zeron-nowhere:1";
    let unknown = format!("{}/zeron-nowhere:1", empty_registry.address());
    [
        Case::new("crashing", crashing, &["CrashLoopBackOff"]),
        Case::new("imageless", absent, &["ErrImageNeverPull"]),
        Case::pulled("unknown", &unknown, EARLY),
        // Nobody listens there.
        Case::pulled("unpulled", "127.0.0.1:1/zeron-nowhere:1", SECOND_PULL),
        Case {
            pod: "nodeSelector: { zeron.dev/nowhere: 'true' }",
            ..Case::new("homeless", "", &["Unschedulable"])
        },
    ]
}

#[test]
fn starts_that_fail_are_answered_early_and_said_for_good() {
    let Some(cluster) = Cluster::get("kubernetes_faults::starts_that_fail") else {
        return;
    };
    cluster.install_crds();
    let namespace = cluster.namespace("faults-start");
    // What a registry says of an image that it does not have.
    let registry = Api::start(|_, _| Reply::status(404, ""));
    let cases = cases(&registry);
    for Case {
        name,
        container,
        pod,
        ..
    } in &cases
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
    for case in &cases {
        until_declared(&namespace, case.name);
    }
    let mut callers: Vec<Raw> = cases
        .iter()
        .map(|_| roles.activators[0].connect())
        .collect();
    for (case, caller) in cases.iter().zip(&mut callers) {
        caller.get(&format!("{}.example", case.name), "/");
    }
    std::thread::scope(|scope| {
        for (case, caller) in cases.iter().zip(&mut callers) {
            let namespace = &namespace;
            scope.spawn(move || is_refused(namespace, case, caller));
        }
    });
    for case in &cases {
        keeps_saying(&namespace, case);
    }
}

fn is_refused(namespace: &Namespace, case: &Case, caller: &mut Raw) {
    let (labels, what) = (
        format!("app={}", case.name),
        format!("to be {:?}", case.reasons),
    );
    namespace.wait_list(POD, &labels, &what, |pods| {
        let is_said = |pod: &Value| case.is_named_in(&pod["status"].to_string());
        pods.iter().any(is_said).then_some(())
    });
    let said = Instant::now();
    let is_answered = caller.readable_within(case.within);
    assert!(is_answered, "{}: not within {:?}", case.name, case.within);
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
        case.is_named_in(&answer.text()),
        "{}: {}",
        case.name,
        answer.text()
    );
    assert!(answer.header("retry-after").is_some(), "{}", case.name);
}

/// Also when nobody waits any more and the count is zero again.
fn keeps_saying(namespace: &Namespace, case: &Case) {
    let name = case.name;
    namespace.wait(
        HTTP_SCALED,
        name,
        &format!("to say {:?}", case.reasons),
        |object| says(object, case).then_some(()),
    );
    namespace.wait_replicas(DEPLOYMENT, name, 0);
    throughout(
        Duration::from_secs(3),
        "the condition keeps saying it",
        || {
            let object = namespace.get(HTTP_SCALED, name).unwrap();
            says(&object, case)
        },
    );
}

fn says(object: &Value, case: &Case) -> bool {
    let is_one = |reason: &Value| case.reasons.iter().any(|it| reason == it);
    ready(object).is_some_and(|it| it["status"] == "False" && is_one(&it["reason"]))
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
    let never = Case::new("patient", container, &["ContainersNotReady"]);
    assert!(never.is_named_in(&answer.text()), "{}", answer.text());
    keeps_saying(&namespace, &never);
}

#[test]
fn a_start_that_is_mended_is_served_and_no_longer_said() {
    let Some(cluster) = Cluster::get("kubernetes_faults::a_start_that_is_mended") else {
        return;
    };
    cluster.install_crds();
    let namespace = cluster.namespace("faults-mended");
    Function {
        container: "image: dev.local/zeron-nowhere:1",
        ..Function::new("mended", 0)
    }
    .apply(&namespace);
    http_scaled(&namespace, "mended", "replicas: { min: 0, max: 1 }");
    let roles = Roles::of(&namespace).start();
    until_declared(&namespace, "mended");
    assert_eq!(roles.get("mended.example", "/").status, 503);
    namespace.wait_condition(HTTP_SCALED, "mended", "Ready", "False");
    Function::new("mended", 0).apply(&namespace);
    until_served(&roles, "mended.example");
    until_declared(&namespace, "mended");
}

#[test]
fn a_quota_that_allows_no_pod_is_told_to_who_waits_and_made_good_when_lifted() {
    let Some(cluster) = Cluster::get("kubernetes_faults::a_quota_that_allows_no_pod") else {
        return;
    };
    cluster.install_crds();
    let namespace = cluster.namespace("faults-quota");
    let quota = |pods: &str| {
        namespace.apply(&format!(
            "{{ apiVersion: v1, kind: ResourceQuota, metadata: {{ name: pods }}, spec: {{ hard: {{ pods: {pods} }} }} }}"
        ));
        namespace.wait("v1/ResourceQuota", "pods", "to be in force", |quota| {
            (quota["status"]["hard"]["pods"] == pods).then_some(())
        });
    };
    quota("0");
    Function::new("poor", 0).apply(&namespace);
    http_scaled(&namespace, "poor", "replicas: { min: 0, max: 1 }");
    let roles = Roles::of(&namespace).start();
    until_declared(&namespace, "poor");
    let began = Instant::now();
    let answer = roles.get("poor.example", "/");
    let (took, text) = (began.elapsed(), answer.text());
    println!("quota: {} after {took:?}: {}", answer.status, text.trim());
    assert_eq!(answer.status, 503, "{text}");
    assert!(text.contains("FailedCreate"), "{text}");
    assert!(took < EARLY, "{took:?}");
    let ready = namespace.wait_reason(HTTP_SCALED, "poor", ["Ready", "False", "FailedCreate"]);
    let message = ready["message"].as_str().unwrap();
    assert!(message.contains("exceeded quota"), "{ready}");
    quota("2");
    until_served(&roles, "poor.example");
    until_declared(&namespace, "poor");
}
