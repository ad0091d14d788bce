//! What `kubectl get` and `kubectl wait` see.

use std::collections::BTreeMap;

use serde_json::Value;
use zeron_tests::cluster::Namespace;

use super::declare::{Scaled, function, http_scaled};
use super::site::{DEPLOYMENT, HTTP_SCALED, SCALED, Site, topic};

/// The row of `kubectl get KIND NAME`, by its columns' titles.
fn row(namespace: &Namespace, kind: &str, name: &str) -> BTreeMap<String, String> {
    let table = namespace.kubectl(&["get", kind, name]);
    let mut lines = table.lines();
    let (titles, cells) = (lines.next().unwrap(), lines.next().unwrap());
    // Columns are three spaces apart at least; where a cell is empty its place is blank.
    let starts: Vec<usize> = titles
        .char_indices()
        .filter(|&(i, c)| c != ' ' && (i == 0 || titles[..i].ends_with(' ')))
        .map(|(i, _)| i)
        .collect();
    let cell = |line: &str, nth: usize| {
        let end = starts
            .get(nth + 1)
            .copied()
            .unwrap_or(line.len())
            .min(line.len());
        line.get(starts[nth]..end)
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    (0..starts.len())
        .map(|nth| (cell(titles, nth), cell(cells, nth)))
        .collect()
}

/// `(column, cell)` pairs are all in the row.
fn assert_shows(row: &BTreeMap<String, String>, expected: &[(&str, &str)]) {
    for (title, cell) in expected {
        assert_eq!(
            row.get(*title).map(String::as_str),
            Some(*cell),
            "{title} of {row:?}"
        );
    }
}

#[test]
fn kubectl_shows_a_scaled_object_as_keda_has_it() {
    let Some((site, broker)) = Site::with_kafka("kubectl_shows_a_scaled_object") else {
        return;
    };
    let namespace = &site.namespace;
    let _topic = topic(broker, "shown", 1);
    function(namespace, "shown", 0);
    namespace.apply(
        &Scaled::new("shown", broker)
            .with("minReplicaCount: 0")
            .yaml(),
    );
    namespace.wait_condition(SCALED, "shown", "Ready", "True");
    namespace.wait_condition(SCALED, "shown", "Active", "False");
    let row = row(namespace, "so", "shown");
    assert_shows(
        &row,
        &[
            ("NAME", "shown"),
            ("SCALETARGETKIND", "apps/v1.Deployment"),
            ("SCALETARGETNAME", "shown"),
            ("MIN", "0"),
            ("MAX", "20"),
            ("READY", "True"),
            ("ACTIVE", "False"),
            ("FALLBACK", "False"),
            ("PAUSED", "False"),
            ("TRIGGERS", "kafka"),
        ],
    );
}

#[test]
fn kubectl_shows_an_http_scaled_object_as_the_add_on_has_it() {
    let Some(site) = Site::get("kubectl_shows_an_http_scaled_object") else {
        return;
    };
    let namespace = &site.namespace;
    function(namespace, "listed", 0);
    namespace.apply(&http_scaled("listed", "", "replicas: { min: 0, max: 5 }"));
    namespace.wait_reason(HTTP_SCALED, "listed", ["Ready", "True", "Reconciled"]);
    let row = row(namespace, "httpso", "listed");
    assert_shows(
        &row,
        &[
            ("TARGETWORKLOAD", "apps/v1/Deployment/listed"),
            ("TARGETSERVICE", "listed:80"),
            ("MINREPLICAS", "0"),
            ("MAXREPLICAS", "5"),
        ],
    );
}

#[test]
fn conditions_follow_the_work_with_kedas_reasons() {
    let Some((site, broker)) = Site::with_kafka("conditions_follow_the_work") else {
        return;
    };
    let namespace = &site.namespace;
    let topic = topic(broker, "told", 1);
    function(namespace, "told", 0);
    namespace.apply(&Scaled::new("told", broker).cooldown(5).yaml());
    namespace.wait_reason(SCALED, "told", ["Ready", "True", "ScaledObjectReady"]);
    until_active(namespace, "ScalerNotActive");
    topic.produce(20);
    until_active(namespace, "ScalerActive");
    namespace.wait_replicas(DEPLOYMENT, "told", 2);
    topic.consume_but("told", 0);
    until_active(namespace, "ScalerCooldown");
    until_active(namespace, "ScalerNotActive");
    let status = namespace.get(SCALED, "told").unwrap()["status"].clone();
    assert_eq!(status["externalMetricNames"][0], "s0-kafka-told");
    assert_eq!(status["scaleTargetKind"], "apps/v1.Deployment");
    assert!(status["lastActiveTime"].is_string(), "{status:#}");
}

/// Waits until the condition Active has a reason.
fn until_active(namespace: &Namespace, reason: &str) {
    namespace.wait(
        SCALED,
        "told",
        &format!("to be {reason}"),
        |object: &Value| {
            let conditions = object["status"]["conditions"].as_array()?;
            let active = conditions.iter().find(|c| c["type"] == "Active")?;
            (active["reason"] == reason).then_some(())
        },
    );
}

#[test]
fn a_target_that_is_not_there_is_said_and_found_when_it_comes() {
    let Some((site, broker)) = Site::with_kafka("a_target_that_is_not_there_is_said") else {
        return;
    };
    let namespace = &site.namespace;
    topic(broker, "later", 1).produce(20);
    namespace.apply(&Scaled::new("later", broker).yaml());
    let ready = namespace.wait_reason(
        SCALED,
        "later",
        ["Ready", "False", "ScaledObjectCheckFailed"],
    );
    assert!(
        ready["message"].as_str().unwrap().contains("later"),
        "{ready}"
    );
    function(namespace, "later", 0);
    namespace.wait_replicas(DEPLOYMENT, "later", 2);
    namespace.wait_condition(SCALED, "later", "Ready", "True");
}

#[test]
fn the_second_scaled_object_of_a_target_names_the_first_and_does_nothing() {
    let Some((site, broker)) = Site::with_kafka("the_second_scaled_object_of_a_target") else {
        return;
    };
    let namespace = &site.namespace;
    let _first = topic(broker, "contested", 1);
    topic(broker, "contested-too", 1).produce(20);
    function(namespace, "contested", 0);
    namespace.apply(&Scaled::new("contested", broker).yaml());
    namespace.wait_condition(SCALED, "contested", "Ready", "True");
    let second = Scaled::new("contested-too", broker).target("name: contested");
    namespace.apply(&second.yaml());
    let ready = namespace.wait_reason(
        SCALED,
        "contested-too",
        ["Ready", "False", "ScaledObjectCheckFailed"],
    );
    let message = ready["message"].as_str().unwrap();
    assert!(message.contains("contested is older"), "{message}");
    assert_eq!(namespace.replicas(DEPLOYMENT, "contested"), 0);
}

#[test]
fn a_host_that_is_taken_is_said_with_its_owner() {
    let Some(site) = Site::get("a_host_that_is_taken_is_said_with_its_owner") else {
        return;
    };
    let namespace = &site.namespace;
    for name in ["owner", "squatter"] {
        function(namespace, name, 0);
    }
    namespace.apply(&http_scaled("owner", "", ""));
    namespace.wait_condition(HTTP_SCALED, "owner", "Ready", "True");
    let squatter = http_scaled("squatter", "", "").replace("squatter.example", "owner.example");
    namespace.apply(&squatter);
    let ready = namespace.wait_reason(HTTP_SCALED, "squatter", ["Ready", "False", "HostConflict"]);
    assert!(
        ready["message"].as_str().unwrap().contains("owner"),
        "{ready}"
    );
}
