//! Config map and annotations to settings, against answers recorded from Knative.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use zeron_core::policy::{Aggregation, KnativeMetric, KnativeScaling, Scaling, TriggerGroup};
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

fn assert_spec(name: &str, want: &Value, scaling: &KnativeScaling) {
    let spec = &want["spec"];
    let number = |key: &str| spec[key].as_f64().unwrap();
    let is_rps = spec["metric"] == "rps";
    assert_eq!(scaling.metric == KnativeMetric::Rps, is_rps, "{name}");
    assert_eq!(scaling.total, number("total"), "{name}: total");
    assert_eq!(scaling.target, number("target"), "{name}: target");
    assert_eq!(
        scaling.target_burst_capacity,
        number("target_burst_capacity"),
        "{name}: burst"
    );
    assert_eq!(
        scaling.activator_capacity,
        number("activator_capacity"),
        "{name}: activator capacity"
    );
    assert_eq!(
        scaling.panic_threshold,
        number("panic_threshold"),
        "{name}: panic threshold"
    );
    assert_eq!(
        scaling.max_scale_up_rate,
        number("max_scale_up_rate"),
        "{name}: up"
    );
    assert_eq!(
        scaling.max_scale_down_rate,
        number("max_scale_down_rate"),
        "{name}: down"
    );
    assert_eq!(
        f64::from(scaling.initial_scale),
        number("initial_scale"),
        "{name}: initial"
    );
    assert_eq!(
        f64::from(scaling.activation_scale),
        number("activation_scale"),
        "{name}: activation"
    );
    let millis = |duration: std::time::Duration| duration.as_secs_f64() * 1_000.0;
    assert_eq!(
        millis(scaling.stable_window),
        number("stable_window_ms"),
        "{name}: window"
    );
    assert_eq!(
        millis(scaling.scale_down_delay),
        number("scale_down_delay_ms"),
        "{name}: delay"
    );
    let time = |key: &str| want[key].as_f64();
    assert_eq!(
        Some(millis(scaling.panic_window)),
        time("panic_window_ms"),
        "{name}: panic window"
    );
    assert_eq!(
        Some(millis(scaling.scale_to_zero_grace)),
        time("grace_period_ms"),
        "{name}: grace"
    );
    let retention = time("pod_retention_annotation_ms").or(time("pod_retention_ms"));
    assert_eq!(
        Some(millis(scaling.retention)),
        retention,
        "{name}: retention"
    );
    let deadline = time("progress_deadline_annotation_ms").unwrap_or(600_000.0);
    assert_eq!(
        millis(scaling.progress_deadline),
        deadline,
        "{name}: deadline"
    );
    assert_eq!(
        want["enable_scale_to_zero"], scaling.is_scale_to_zero_enabled,
        "{name}"
    );
    let is_weighted = want["algorithm"] == "weighted-exponential";
    assert_eq!(
        scaling.aggregation == Aggregation::WeightedExponential,
        is_weighted,
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
        let group = group(case, &config);
        let Scaling::Knative(scaling) = &group.scaling else {
            panic!("{name}: not a Knative group")
        };
        assert_spec(&name, want, scaling);
        // `min` of a revision that no route reaches is the decision's business.
        let is_reachable = case["reachability"] != "Unreachable";
        let min = if is_reachable { group.min } else { 0 };
        assert_eq!(want["min_scale"], min, "{name}: min");
        assert_eq!(want["max_scale"], group.max.unwrap_or(0), "{name}: max");
    }
}
