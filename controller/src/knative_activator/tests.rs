#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use zeron_backend_kubernetes::MeshCompatibility;
use zeron_core::FunctionId;
use zeron_core::function::Protocol;

use super::revision::RawRevision;
use super::settings::{Bundles, Network, RequestLog};
use super::table::Table;

fn revision(name: &str, spec: &Value) -> RawRevision {
    serde_json::from_value(json!({
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Revision",
        "metadata": {
            "namespace": "ns",
            "name": name,
            "resourceVersion": "7",
            "labels": {
                "serving.knative.dev/service": "hello",
                "serving.knative.dev/configuration": "hello",
            },
        },
        "spec": spec,
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }))
    .unwrap()
}

fn plain() -> Value {
    json!({"containers": [{"name": "user-container", "ports": [{"containerPort": 8080}]}]})
}

#[test]
fn what_a_revision_declares_is_what_a_data_plane_goes_by() {
    let raw = revision(
        "rev",
        &json!({
            "containerConcurrency": 7,
            "timeoutSeconds": 60,
            "responseStartTimeoutSeconds": 10,
            "idleTimeoutSeconds": 0,
            "containers": [
                {"name": "sidecar"},
                {"name": "main", "ports": [{"name": "h2c", "containerPort": 8080}]},
            ],
        }),
    );
    let function = raw.routed().unwrap().function;
    assert_eq!(function.id, FunctionId::new("ns", "Revision", "rev"));
    let owner = (function.owner.kind.as_str(), function.owner.name.as_str());
    assert_eq!(owner, ("Service", "hello"));
    assert_eq!(function.protocol, Protocol::H2c);
    assert_eq!(function.concurrency_limit.map(u32::from), Some(7));
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let timeouts = function.timeouts;
    assert_eq!(timeouts.request, seconds(60));
    assert_eq!(
        (timeouts.response_start, timeouts.idle),
        (seconds(10), None)
    );
    let target = raw.target().unwrap();
    assert!(target.is_http2 && target.has_limit && target.is_probe_enough);
}

#[test]
fn what_was_not_said_is_as_knative_has_it() {
    let raw = revision("rev", &plain());
    let function = raw.routed().unwrap().function;
    assert_eq!(function.concurrency_limit, None);
    assert_eq!(function.timeouts.request, Some(Duration::from_secs(300)));
    let target = raw.target().unwrap();
    assert!(!target.is_http2 && !target.has_limit && target.is_probe_enough);
}

#[test]
fn what_only_the_platform_runs_its_queue_proxy_does_not_know() {
    let exec = json!({"exec": {"command": ["true"]}});
    for spec in [
        json!({"containers": [{"readinessProbe": exec}]}),
        json!({"containers": [{"startupProbe": {"tcpSocket": {"port": 1}}}]}),
        json!({"containers": [
            {"ports": [{"containerPort": 1}]},
            {"startupProbe": exec},
        ]}),
    ] {
        assert!(
            !revision("rev", &spec).target().unwrap().is_probe_enough,
            "{spec}"
        );
    }
}

#[test]
fn a_change_of_its_status_is_no_news() {
    let mut table = Table::default();
    table.apply(&revision("a", &plain()), 1);
    table.apply(&revision("b", &plain()), 1);
    let news = table.take_news();
    assert_eq!(news.routes.functions.len(), 2);
    assert_eq!(news.declared.len(), 2);
    table.apply(&revision("a", &plain()), 1);
    assert!(!table.has_news());
    table.delete(&revision("a", &plain()));
    let news = table.take_news();
    assert_eq!(news.gone, [FunctionId::new("ns", "Revision", "a")]);
    assert_eq!(news.routes.functions.len(), 1);
    // A new list without the other one.
    table.sweep(2);
    assert_eq!(table.take_news().gone.len(), 1);
}

fn data(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn settings_are_read_as_knative_writes_them() {
    assert_eq!(Network::parse(&data(&[])), Network::default());
    let network = Network::parse(&data(&[
        ("mesh-compatibility-mode", "Enabled"),
        ("enable-mesh-pod-addressability", "true"),
        ("system-internal-tls", "enabled"),
        ("_example", "mesh-compatibility-mode: disabled"),
    ]));
    let wanted = Network {
        mesh: MeshCompatibility::Enabled,
        has_passthrough: true,
        has_internal_tls: true,
    };
    assert_eq!(network, wanted);
    let template = ("logging.request-log-template", "{{.Request.Method}}");
    assert_eq!(RequestLog::parse(&data(&[template])), None);
    let on = ("logging.enable-request-log", "true");
    let log = RequestLog::parse(&data(&[template, on])).unwrap();
    assert_eq!(log.template, "{{.Request.Method}}");
}

#[test]
fn bundles_to_trust_come_and_go_and_none_is_lost_while_they_are_listed() {
    let map = |name: &str, bundle: &str| -> ConfigMap {
        serde_json::from_value(json!({"metadata": {"name": name}, "data": {"ca.pem": bundle}}))
            .unwrap()
    };
    let mut bundles = Bundles::default();
    bundles.take(Event::Apply(map("a", "A")));
    assert_eq!(bundles.beside(Some(b"own")), b"own\nA");
    bundles.take(Event::Init);
    bundles.take(Event::InitApply(map("b", "B")));
    assert_eq!(bundles.beside(None), b"A");
    bundles.take(Event::InitDone);
    assert_eq!(bundles.beside(None), b"B");
    bundles.take(Event::Delete(map("b", "B")));
    assert!(bundles.beside(None).is_empty());
}
