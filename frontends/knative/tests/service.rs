//! Services as they are written: what is read, refused, warned of.
#![allow(clippy::unwrap_used)]

#[path = "service/annotations.rs"]
mod annotations;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use zeron_core::function::Protocol;
use zeron_core::route::{HostPattern, RouteAction};
use zeron_core::workload::Port;
use zeron_frontend_knative::{AutoscalerConfig, RevisionTarget, Service, TrafficTarget};
use zeron_manifest::{ConfigSet, Header, Problems, Scope, parse};

fn read_with(
    text: &str,
    config: &AutoscalerConfig,
    strict: bool,
) -> (Option<Service>, Vec<String>) {
    let (documents, faults) = parse(
        &Arc::from("a.yaml"),
        &Arc::new(PathBuf::from("/folder")),
        text,
    );
    assert_eq!(faults, []);
    let problems = Problems::new(strict);
    let service = Header::read(&documents[0], &problems).and_then(|header| {
        let scope = Scope::new(&documents[0], &problems, Some(header.object.clone()));
        Service::read(&scope, &header, &ConfigSet::default(), config)
    });
    (
        service,
        problems
            .into_sorted()
            .iter()
            .map(ToString::to_string)
            .collect(),
    )
}

fn read(text: &str) -> (Option<Service>, Vec<String>) {
    read_with(text, &AutoscalerConfig::default(), false)
}

/// A Service with these lines in its parts.
fn text(metadata: &str, annotations: &str, container: &str, spec: &str) -> String {
    format!(
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {{name: hello, {metadata}}}\nspec:\n  template:\n    \
         metadata: {{annotations: {{{annotations}}}}}\n    spec:\n      containers:\n      - {{command: [./run], {container}}}\n{spec}"
    )
}

#[test]
fn a_service_becomes_a_function() {
    let manifest = text(
        "namespace: shop",
        "autoscaling.knative.dev/min-scale: '1', autoscaling.knative.dev/maxScale: '5'",
        "ports: [{name: h2c, containerPort: 9000}], env: [{name: A, value: b}]",
        "      containerConcurrency: 3\n      timeoutSeconds: 60\n      responseStartTimeoutSeconds: 10\n      idleTimeoutSeconds: 20\n",
    );
    let (service, problems) = read(&manifest);
    assert_eq!(problems, Vec::<String>::new());
    let function = service
        .unwrap()
        .function("hello-00001", &AutoscalerConfig::default());
    assert_eq!(function.id.to_string(), "shop/Revision/hello-00001");
    assert_eq!(function.owner.to_string(), "Service shop/hello");
    assert_eq!(function.protocol, Protocol::H2c);
    assert_eq!(function.concurrency_limit.unwrap().get(), 3);
    assert_eq!(function.timeouts.request, Some(Duration::from_secs(60)));
    assert_eq!(
        function.timeouts.response_start,
        Some(Duration::from_secs(10))
    );
    assert_eq!(function.timeouts.idle, Some(Duration::from_secs(20)));
    assert_eq!(function.workload.port, Some(Port::Assigned));
    assert_eq!(function.workload.termination_grace, Duration::from_secs(60));
    let group = &function.scale.groups[0];
    assert_eq!((group.min, group.max), (1, Some(5)));
    let env: Vec<String> = function
        .workload
        .env
        .iter()
        .map(|e| format!("{}={}", e.name, e.value))
        .collect();
    assert_eq!(
        env,
        [
            "A=b",
            "K_SERVICE=hello",
            "K_CONFIGURATION=hello",
            "K_REVISION=hello-00001"
        ]
    );
}

#[test]
fn traffic_is_checked() {
    let cases = [
        (
            "[{percent: 50}]",
            vec!["spec.traffic: percents sum to 50: must sum to 100"],
        ),
        (
            "[{percent: 100, tag: A}]",
            vec!["spec.traffic[0].tag: \"A\": must be at most 63 lower-case"],
        ),
        (
            "[{percent: 100, tag: a}, {tag: a}]",
            vec!["spec.traffic[1].tag: \"a\": another target has this tag"],
        ),
        (
            "[{percent: 100, revisionName: hello-1, latestRevision: true}]",
            vec!["spec.traffic[0].latestRevision: true: must not"],
        ),
        (
            "[{percent: 100, latestRevision: false}]",
            vec!["spec.traffic[0].latestRevision: false: needs a revisionName"],
        ),
        (
            "[{percent: 100, configurationName: c}]",
            vec!["spec.traffic[0].configurationName: is not allowed"],
        ),
        (
            "[{percent: 101}]",
            vec![
                "spec.traffic: percents sum to 0",
                "spec.traffic[0].percent: 101: must be an integer from 0 to 100",
            ],
        ),
        (
            "[{percent: 30, revisionName: hello-1}, {percent: 70, latestRevision: true}]",
            vec![],
        ),
    ];
    for (traffic, expected) in cases {
        let (_, problems) = read(&text("", "", "", &format!("  traffic: {traffic}\n")));
        assert_eq!(problems.len(), expected.len(), "{traffic}: {problems:?}");
        for (found, expected) in problems.iter().zip(expected) {
            assert!(found.contains(expected), "{found}\n{expected}");
        }
    }
}

#[test]
fn names_ports_and_variables_are_checked() {
    let cases = [
        (
            text("", "", "ports: [{containerPort: 8012}]", ""),
            "8012: this port is reserved",
        ),
        (
            text("", "", "ports: [{name: grpc, containerPort: 1}]", ""),
            "\"grpc\": must be http1 or h2c",
        ),
        (
            text(
                "",
                "",
                "ports: [{containerPort: 1}, {containerPort: 2}]",
                "",
            ),
            "more than one port",
        ),
        (
            text("", "", "env: [{name: PORT, value: '1'}]", ""),
            "\"PORT\": this variable is set by Knative",
        ),
        (
            text("", "", "", "      containerConcurrency: 1001\n"),
            "1001: must be an integer from 0 to 1000",
        ),
        (
            text("", "", "", "      timeoutSeconds: 601\n"),
            "601: must be an integer from 0 to 600",
        ),
        (
            text(
                "",
                "",
                "",
                "      timeoutSeconds: 5\n      idleTimeoutSeconds: 6\n",
            ),
            "6: must not be above timeoutSeconds (5)",
        ),
        (
            text("", "", "", "").replace("name: hello", "name: hello.world"),
            "\"hello.world\": must be at most 63",
        ),
        (
            text("", "", "", "")
                .replace("metadata: {annotations: {}}", "metadata: {name: other-1}"),
            "must begin with \"hello-\"",
        ),
        (
            text("", "", "", "").replace("command: [./run]", "image: x"),
            "is missing: programs run on this machine",
        ),
    ];
    for (manifest, expected) in cases {
        let (_, problems) = read(&manifest);
        assert_eq!(problems.len(), 1, "{expected}: {problems:?}");
        assert!(problems[0].contains(expected), "{problems:?}\n{expected}");
    }
}

#[test]
fn an_edit_of_the_template_makes_another_revision_and_traffic_does_not() {
    let template = |manifest: &str| read(manifest).0.unwrap().template;
    let base = text("", "", "", "");
    assert_eq!(
        template(&base),
        template(&text(
            "labels: {a: b}",
            "",
            "",
            "  traffic: [{percent: 100}]\n"
        ))
    );
    assert_ne!(template(&base), template(&text("", "", "args: [a]", "")));
    assert_ne!(template(&base), template(&text("", "x: y", "", "")));
}

#[test]
fn routes_have_hosts_tags_and_weights() {
    let manifest = text("namespace: shop", "", "", "");
    let service = read(&manifest).0.unwrap();
    assert_eq!(
        service.traffic,
        [TrafficTarget {
            revision_name: None,
            percent: 100,
            tag: None
        }]
    );
    let target = |revision: &str, percent, tag: Option<&str>| RevisionTarget {
        revision: revision.to_owned(),
        percent,
        tag: tag.map(str::to_owned),
    };
    let targets = [
        target("hello-1", 90, None),
        target("hello-2", 10, Some("new")),
        target("hello-3", 0, Some("next")),
    ];
    let routes = service.routes("localhost", &targets);
    assert_eq!(routes.len(), 3);
    let host = |name: &str| HostPattern::Exact(name.to_owned());
    assert_eq!(
        routes[0].hosts,
        [
            host("hello.shop.localhost"),
            host("hello.shop"),
            host("hello.shop.svc"),
            host("hello.shop.svc.cluster.local")
        ]
    );
    assert_eq!(routes[2].hosts[0], host("next-hello.shop.localhost"));
    let weights = |index: usize| match &routes[index].action {
        RouteAction::Forward(f) => f
            .targets
            .iter()
            .map(|t| (t.function.name().to_owned(), t.weight))
            .collect::<Vec<_>>(),
        RouteAction::Respond(_) => Vec::new(),
    };
    assert_eq!(
        weights(0),
        [("hello-1".to_owned(), 90), ("hello-2".to_owned(), 10)]
    );
    assert_eq!(weights(1), [("hello-2".to_owned(), 100)]);
    assert!(service.routes("localhost", &[]).is_empty());

    let local = text(
        "labels: {networking.knative.dev/visibility: cluster-local}",
        "",
        "",
        "",
    );
    let routes = read(&local).0.unwrap().routes("localhost", &targets);
    assert_eq!(routes[0].hosts[0], host("hello.default"));
}

#[test]
fn unknown_and_unsupported_fields_are_named_and_strict_refuses_them() {
    let manifest = text(
        "",
        "features.knative.dev/http-full-duplex: Enabled",
        "image: a, imagePullPolicy: Always, colour: red",
        "      nonsense: 1\n",
    );
    let (_, problems) = read(&manifest);
    let expected = [
        "has no effect",
        "colour: unknown field",
        "imagePullPolicy: is not supported here",
        "nonsense: unknown field",
    ];
    assert_eq!(problems.len(), 4, "{problems:#?}");
    for part in expected {
        assert!(
            problems
                .iter()
                .any(|p| p.contains(part) && p.contains(": warning: ")),
            "{part}: {problems:#?}"
        );
    }
    let (_, problems) = read_with(&manifest, &AutoscalerConfig::default(), true);
    assert!(
        problems.iter().all(|p| p.contains(": error: ")),
        "{problems:#?}"
    );
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::{Value, json};
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|f| json!(f)),
        "[a-z0-9.%-]{0,8}".prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("spec"),
        Just("template"),
        Just("metadata"),
        Just("name"),
        Just("containers"),
        Just("command"),
        Just("traffic"),
        Just("percent"),
        Just("tag"),
        Just("ports"),
        Just("env"),
        Just("annotations"),
        Just("readinessProbe"),
        Just("resources"),
        Just("limits"),
        Just("timeoutSeconds"),
        Just("autoscaling.knative.dev/window")
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|pairs| pairs
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v))
                .collect::<serde_json::Map<_, _>>()
                .into()),
        ]
    })
}

proptest! {
    #[test]
    fn no_manifest_panics(spec in value()) {
        let manifest = serde_json::json!({
            "apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "s"},
            "spec": {"template": {"spec": spec.clone(), "metadata": spec.clone()}, "traffic": spec},
        });
        let (service, _) = read(&manifest.to_string());
        if let Some(service) = service {
            service.function("r", &AutoscalerConfig::default());
        }
    }
}
