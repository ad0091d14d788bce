#![allow(clippy::needless_pass_by_value, clippy::unwrap_used)]

use serde_json::json;
use zeron_core::FunctionId;

use super::*;
use crate::metrics::usage::ContainerUsage;

const NOW: Timestamp = Timestamp::from_secs(10_000);

fn parameters(resource: Resource, metric_type: MetricType, target: f64) -> Parameters {
    Parameters {
        function: FunctionId::new("ns", "Deployment", "a"),
        resource,
        metric_type,
        target,
        container: None,
        is_alone: true,
    }
}

/// A pod whose one container requests 100 thousandths and 1000 bytes.
pub(in crate::metrics) fn pod(name: &str, is_ready: bool) -> PodFacts {
    let raw = serde_json::from_value(json!({"spec": {"containers": [
        {"name": "app", "resources": {"requests": {"cpu": "100m", "memory": "1000"}}},
    ]}}))
    .unwrap();
    PodFacts {
        namespace: "ns".into(),
        name: name.into(),
        node: None,
        shape: Arc::new(Shape::of(&raw)),
        runs: true,
        is_ready,
        is_draining: false,
        started: Timestamp::from_secs(1),
        ready_changed: Timestamp::from_secs(5),
    }
}

/// Each pod with what it uses of either; `None`: not measured.
fn asked(parameters: &Parameters, pods: &[(PodFacts, Option<f64>)]) -> Result<f64, Unknown> {
    let mut usage = Usage::default();
    for (pod, used) in pods {
        if used.is_some() {
            let container = ContainerUsage {
                name: "app".into(),
                cpu: *used,
                memory: *used,
            };
            let known = PodUsage {
                containers: vec![container],
                at: NOW,
                window: Duration::from_secs(10),
            };
            usage.put(pod, known);
        }
    }
    let pods: Vec<PodFacts> = pods.iter().map(|(pod, _)| pod.clone()).collect();
    ask(parameters, &pods, &usage, NOW)
}

fn near(value: Result<f64, Unknown>, expected: f64) {
    let value = value.unwrap();
    assert!(
        (value - expected).abs() < 1e-6,
        "{value} instead of {expected}"
    );
}

#[test]
fn utilization_is_the_mean_of_use_over_requests() {
    let cpu = parameters(Resource::Cpu, MetricType::Utilization, 50.0);
    near(
        asked(
            &cpu,
            &[(pod("a", true), Some(80.0)), (pod("b", true), Some(40.0))],
        ),
        60.0,
    );
}

#[test]
fn an_average_value_is_the_sum_of_use() {
    let memory = parameters(Resource::Memory, MetricType::AverageValue, 500.0);
    near(
        asked(
            &memory,
            &[(pod("a", true), Some(800.0)), (pod("b", true), Some(400.0))],
        ),
        1200.0,
    );
}

#[test]
fn a_pod_that_still_starts_counts_as_idle_when_scaling_up_and_not_at_all_otherwise() {
    let cpu = parameters(Resource::Cpu, MetricType::Utilization, 50.0);
    let young = PodFacts {
        started: Timestamp::from_secs(9_990),
        ready_changed: Timestamp::from_secs(9_990),
        ..pod("b", false)
    };
    // 150 % of one, nothing of the other: 75 % over two asks for three; the engine counts one ready.
    near(
        asked(
            &cpu,
            &[(pod("a", true), Some(150.0)), (young.clone(), Some(100.0))],
        ),
        150.0,
    );
    near(
        asked(&cpu, &[(pod("a", true), Some(20.0)), (young, Some(100.0))]),
        20.0,
    );
}

#[test]
fn a_pod_without_metrics_counts_as_full_when_scaling_in_and_idle_when_scaling_up() {
    let cpu = parameters(Resource::Cpu, MetricType::Utilization, 50.0);
    // 10 % and an assumed 100 %: 55 % over two would turn round, so it stays at two.
    near(
        asked(
            &cpu,
            &[(pod("a", true), Some(10.0)), (pod("b", true), None)],
        ),
        50.0,
    );
    // 90 % and an assumed 0 %: 45 % would turn round, so it stays at two.
    near(
        asked(
            &cpu,
            &[(pod("a", true), Some(90.0)), (pod("b", true), None)],
        ),
        50.0,
    );
    // 300 % and an assumed 0 %: 150 % over two asks for six.
    near(
        asked(
            &cpu,
            &[(pod("a", true), Some(300.0)), (pod("b", true), None)],
        ),
        150.0,
    );
}

#[test]
fn nothing_measured_is_unknown_and_never_zero() {
    let cpu = parameters(Resource::Cpu, MetricType::Utilization, 50.0);
    assert_eq!(asked(&cpu, &[]).unwrap_err().kind, UnknownKind::NotRead);
    let missing = asked(&cpu, &[(pod("a", true), None)]);
    assert_eq!(missing.unwrap_err().kind, UnknownKind::NotRead);
}

#[test]
fn a_missing_request_or_container_is_named() {
    let mut cpu = parameters(Resource::Cpu, MetricType::Utilization, 50.0);
    let raw = serde_json::from_value(json!({"spec": {"containers": [{"name": "app"}]}})).unwrap();
    let bare = PodFacts {
        shape: Arc::new(Shape::of(&raw)),
        ..pod("a", true)
    };
    let unknown = asked(&cpu, &[(bare, Some(1.0))]).unwrap_err();
    assert_eq!(unknown.kind, UnknownKind::Configuration);
    assert!(
        unknown
            .message
            .starts_with("container app of pod a requests no cpu")
    );
    cpu.container = Some("other".into());
    let unknown = asked(&cpu, &[(pod("a", true), Some(1.0))]).unwrap_err();
    assert_eq!(unknown.message, "pod a has no container other");
}

#[test]
fn pods_on_their_way_out_do_not_count() {
    let cpu = parameters(Resource::Cpu, MetricType::Utilization, 50.0);
    let leaving = PodFacts {
        is_draining: true,
        ..pod("b", true)
    };
    near(
        asked(
            &cpu,
            &[(pod("a", true), Some(60.0)), (leaving, Some(500.0))],
        ),
        60.0,
    );
}
