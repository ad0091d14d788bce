//! Config map and annotations to settings, against answers recorded from Knative.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use zeron_core::policy::{Aggregation, KnativeMetric, KnativeScaling, Scaling, TriggerGroup};
use zeron_frontend_knative::autoscaling::{PodAutoscaler, ServingConfig};
use zeron_frontend_knative::{AutoscalerConfig, Service};
use zeron_manifest::{ConfigSet, Header, Problems, Scope, parse};

fn group(case: &Value, config: &AutoscalerConfig) -> TriggerGroup {
    let manifest = json!({
        "apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "s"},
        "spec": {"template": {
            "metadata": {"annotations": case["annotations"]},
            "spec": {"containerConcurrency": case["container_concurrency"], "containers": [{"command": ["x"]}]},
        }},
    });
    let (documents, _) = parse(
        &Arc::from("case"),
        &Arc::new(PathBuf::new()),
        &manifest.to_string(),
    );
    let problems = Problems::new(false);
    let header = Header::read(&documents[0], &problems).unwrap();
    let scope = Scope::new(&documents[0], &problems, Some(header.object.clone()));
    let service = Service::read(&scope, &header, &ConfigSet::default(), config).unwrap();
    service.function("s-1", config).scale.groups.remove(0)
}

/// The same out of a PodAutoscaler of an existing Knative.
fn group_of_autoscaler(case: &Value, config: &AutoscalerConfig) -> (TriggerGroup, bool) {
    let autoscaler: PodAutoscaler = serde_json::from_value(json!({
        "metadata": {"name": "s-1", "namespace": "n", "annotations": case["annotations"]},
        "spec": {
            "containerConcurrency": case["container_concurrency"],
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "s-1-deployment"},
            "reachability": case["reachability"],
            "protocolType": "http1",
        },
    }))
    .unwrap();
    let config = ServingConfig {
        autoscaler: config.clone(),
        ..ServingConfig::default()
    };
    let mut function = autoscaler.function(&config);
    (function.scale.groups.remove(0), function.scale.is_reachable)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

// One row per field.
#[allow(clippy::too_many_lines)]
fn assert_spec(name: &str, want: &Value, got: &KnativeScaling) {
    let retention = match &want["pod_retention_annotation_ms"] {
        Value::Null => &want["pod_retention_ms"],
        annotation => annotation,
    };
    let is_rps = f64::from(u8::from(want["spec"]["metric"] == "rps"));
    let is_weighted = f64::from(u8::from(want["algorithm"] == "weighted-exponential"));
    let deadline = want["progress_deadline_annotation_ms"]
        .as_f64()
        .unwrap_or(600_000.0);
    let spec = |key: &str| want["spec"][key].as_f64().unwrap();
    let rows = [
        (
            "rps",
            f64::from(u8::from(got.metric == KnativeMetric::Rps)),
            is_rps,
        ),
        ("total", got.total, spec("total")),
        ("target", got.target, spec("target")),
        (
            "burst",
            got.target_burst_capacity,
            spec("target_burst_capacity"),
        ),
        (
            "activator capacity",
            got.activator_capacity,
            spec("activator_capacity"),
        ),
        (
            "panic threshold",
            got.panic_threshold,
            spec("panic_threshold"),
        ),
        ("up rate", got.max_scale_up_rate, spec("max_scale_up_rate")),
        (
            "down rate",
            got.max_scale_down_rate,
            spec("max_scale_down_rate"),
        ),
        (
            "initial",
            f64::from(got.initial_scale),
            spec("initial_scale"),
        ),
        (
            "activation",
            f64::from(got.activation_scale),
            spec("activation_scale"),
        ),
        (
            "window",
            millis(got.stable_window),
            spec("stable_window_ms"),
        ),
        (
            "delay",
            millis(got.scale_down_delay),
            spec("scale_down_delay_ms"),
        ),
        (
            "panic window",
            millis(got.panic_window),
            want["panic_window_ms"].as_f64().unwrap(),
        ),
        (
            "grace",
            millis(got.scale_to_zero_grace),
            want["grace_period_ms"].as_f64().unwrap(),
        ),
        (
            "retention",
            millis(got.retention),
            retention.as_f64().unwrap(),
        ),
        ("deadline", millis(got.progress_deadline), deadline),
        (
            "weighted",
            f64::from(u8::from(
                got.aggregation == Aggregation::WeightedExponential,
            )),
            is_weighted,
        ),
    ];
    for (field, got, want) in rows {
        assert_eq!(got, want, "{name}: {field}");
    }
    assert_eq!(
        want["enable_scale_to_zero"], got.is_scale_to_zero_enabled,
        "{name}"
    );
}

#[test]
fn all_recorded_cases_agree() {
    let file: Value =
        serde_json::from_str(include_str!("vectors/kpa-bounds-decider.json")).unwrap();
    let cases = file["decider"].as_array().unwrap();
    assert_eq!(cases.len(), 56);
    for (index, case) in cases.iter().enumerate() {
        let name = format!("{index} {}", case["name"]);
        let data: BTreeMap<String, String> =
            serde_json::from_value(case["config_autoscaler"].clone()).unwrap();
        let (config, problems) = AutoscalerConfig::parse(&data);
        let want = &case["want"];
        assert_eq!(
            !problems.is_empty(),
            want.get("config_error").is_some(),
            "{name}: {problems:?}"
        );
        if !problems.is_empty() {
            continue;
        }
        let is_reachable = case["reachability"] != "Unreachable";
        assert_group(&name, want, is_reachable, &group(case, &config));
        let (group, is_told_reachable) = group_of_autoscaler(case, &config);
        assert_group(
            &format!("{name} (PodAutoscaler)"),
            want,
            is_reachable,
            &group,
        );
        assert_eq!(is_told_reachable, is_reachable, "{name}");
    }
}

fn assert_group(name: &str, want: &Value, is_reachable: bool, group: &TriggerGroup) {
    let Scaling::Knative(scaling) = &group.scaling else {
        panic!("{name}: not a Knative group")
    };
    assert_spec(name, want, scaling);
    // `min` of a revision that no route reaches is the decision's business.
    let min = if is_reachable { group.min } else { 0 };
    assert_eq!(want["min_scale"], min, "{name}: min");
    assert_eq!(want["max_scale"], group.max.unwrap_or(0), "{name}: max");
}
