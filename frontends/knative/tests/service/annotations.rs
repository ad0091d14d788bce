//! Annotations of autoscaling.

use super::*;

fn problems_of_annotations(annotations: &str) -> Vec<String> {
    let (_, problems) = read(&text("", annotations, "", ""));
    let start = "a.yaml:6:";
    problems
        .iter()
        .map(|p| {
            p.strip_prefix(start)
                .unwrap_or(p)
                .split_once(": Service default/hello: ")
                .unwrap()
                .1
                .to_owned()
        })
        .map(|p| p.replace("spec.template.metadata.annotations", ""))
        .collect()
}

#[test]
fn annotations_out_of_range_name_value_and_range() {
    let cases = [
        (
            "target: '0.001'",
            "[autoscaling.knative.dev/target]: \"0.001\": must be at least 0.01",
        ),
        (
            "target-utilization-percentage: '101'",
            "[autoscaling.knative.dev/target-utilization-percentage]: \"101\": must be from 1 to 100",
        ),
        (
            "targetBurstCapacity: '-2'",
            "[autoscaling.knative.dev/targetBurstCapacity]: \"-2\": must be -1, 0 or more",
        ),
        (
            "min-scale: '-1'",
            "[autoscaling.knative.dev/min-scale]: \"-1\": must be an integer of at least 0",
        ),
        (
            "maxScale: x",
            "[autoscaling.knative.dev/maxScale]: \"x\": must be an integer of at least 0",
        ),
        (
            "activation-scale: '1'",
            "[autoscaling.knative.dev/activation-scale]: \"1\": must be an integer of at least 2",
        ),
        (
            "scale-down-delay: 2h",
            "[autoscaling.knative.dev/scale-down-delay]: \"2h\": must be whole seconds from 0s to 1h",
        ),
        (
            "window: 5s",
            "[autoscaling.knative.dev/window]: \"5s\": must be whole seconds from 6s to 1h",
        ),
        (
            "window: 6500ms",
            "[autoscaling.knative.dev/window]: \"6500ms\": must be whole seconds from 6s to 1h",
        ),
        (
            "panic-window-percentage: '0.5'",
            "[autoscaling.knative.dev/panic-window-percentage]: \"0.5\": must be from 1 to 100",
        ),
        (
            "panic-threshold-percentage: '100'",
            "[autoscaling.knative.dev/panic-threshold-percentage]: \"100\": must be from 110 to 1000",
        ),
        (
            "scale-to-zero-pod-retention-period: 61m",
            "[autoscaling.knative.dev/scale-to-zero-pod-retention-period]: \"61m\": must be a duration from 0s to 1h",
        ),
        (
            "metric-aggregation-algorithm: mean",
            "[autoscaling.knative.dev/metric-aggregation-algorithm]: \"mean\": must be linear or weighted-exponential",
        ),
        (
            "metric: cpu",
            "[autoscaling.knative.dev/metric]: \"cpu\": must be concurrency or rps",
        ),
        (
            "initial-scale: '0'",
            "[autoscaling.knative.dev/initial-scale]: 0: must be at least 1 unless allow-zero-initial-scale of config-autoscaler is true",
        ),
    ];
    for (annotation, expected) in cases {
        let found = problems_of_annotations(&format!("autoscaling.knative.dev/{annotation}"));
        assert_eq!(found, [expected], "{annotation}");
    }
}

#[test]
fn annotations_are_checked_against_each_other() {
    let key = |name: &str, value: &str| format!("autoscaling.knative.dev/{name}: '{value}'");
    let found = problems_of_annotations(&[key("min-scale", "3"), key("max-scale", "2")].join(", "));
    assert_eq!(
        found,
        ["[autoscaling.knative.dev/min-scale]: 3: must not be above max-scale (2)"]
    );
    let found =
        problems_of_annotations(&[key("activation-scale", "3"), key("max-scale", "2")].join(", "));
    assert_eq!(
        found,
        [
            "[autoscaling.knative.dev/activation-scale]: 3: must lie between min-scale (0) and max-scale (2)"
        ]
    );
    let found = problems_of_annotations(
        &[
            key("class", "hpa.autoscaling.knative.dev"),
            key("metric", "cpu"),
        ]
        .join(", "),
    );
    assert_eq!(found.len(), 2, "{found:?}");
    let (_, all) = read(&text(
        "",
        &key("class", "hpa.autoscaling.knative.dev"),
        "",
        "",
    ));
    assert!(
        all[0].contains("warning") && all[0].contains("is not supported here"),
        "{all:?}"
    );
    assert_eq!(
        problems_of_annotations(&key("container-concurrency", "2")),
        ["[autoscaling.knative.dev/container-concurrency]: unknown annotation"]
    );
}

#[test]
fn scaling_annotations_on_the_service_are_refused_with_advice() {
    let (_, problems) = read(&text(
        "annotations: {autoscaling.knative.dev/min-scale: '1'}",
        "",
        "",
        "",
    ));
    assert_eq!(
        problems,
        [
            "a.yaml:3:39: error: Service default/hello: metadata.annotations[autoscaling.knative.dev/min-scale]: \
          has no effect on the Service: put it under spec.template.metadata.annotations"
        ]
    );
}
