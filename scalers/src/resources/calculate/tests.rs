#![allow(clippy::needless_pass_by_value, clippy::unwrap_used)]

use zeron_core::FunctionId;
use zeron_core::usage::{ContainerRequest, ContainerUsage};

use super::*;

const NOW: Timestamp = Timestamp::from_secs(10_000);

fn trigger(resource: Resource, metric_type: MetricType, target: f64) -> ResourceTrigger {
    ResourceTrigger {
        function: FunctionId::new("ns", "Deployment", "a"),
        resource,
        metric_type,
        target,
        container: None,
        is_alone: true,
    }
}

/// A replica whose one container requests 100 thousandths and 1000 bytes.
fn replica(name: &str, is_ready: bool) -> ReplicaUsage {
    let request = ContainerRequest {
        container: "app".into(),
        cpu_millis: Some(100),
        memory_bytes: Some(1000),
    };
    ReplicaUsage {
        name: name.into(),
        requests: [request].into(),
        is_started: true,
        is_ready,
        is_draining: false,
        started: Timestamp::from_secs(1),
        ready_changed: Timestamp::from_secs(5),
        used: None,
    }
}

/// Each replica with what it uses of either; `None`: not measured.
fn asked(
    trigger: &ResourceTrigger,
    replicas: &[(ReplicaUsage, Option<f64>)],
) -> Result<f64, Unknown> {
    let measured = |(replica, used): &(ReplicaUsage, Option<f64>)| {
        let container = ContainerUsage {
            name: "app".into(),
            cpu_millis: *used,
            memory_bytes: *used,
        };
        let used = used.map(|_| Used {
            containers: vec![container],
            at: NOW,
            window: Duration::from_secs(10),
        });
        ReplicaUsage {
            used,
            ..replica.clone()
        }
    };
    let replicas: Vec<ReplicaUsage> = replicas.iter().map(measured).collect();
    ask(trigger, &replicas, NOW)
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
    let cpu = trigger(Resource::Cpu, MetricType::Utilization, 50.0);
    near(
        asked(
            &cpu,
            &[
                (replica("a", true), Some(80.0)),
                (replica("b", true), Some(40.0)),
            ],
        ),
        60.0,
    );
}

#[test]
fn an_average_value_is_the_sum_of_use() {
    let memory = trigger(Resource::Memory, MetricType::AverageValue, 500.0);
    near(
        asked(
            &memory,
            &[
                (replica("a", true), Some(800.0)),
                (replica("b", true), Some(400.0)),
            ],
        ),
        1200.0,
    );
}

#[test]
fn a_replica_that_still_starts_counts_as_idle_when_scaling_up_and_not_at_all_otherwise() {
    let cpu = trigger(Resource::Cpu, MetricType::Utilization, 50.0);
    let young = ReplicaUsage {
        started: Timestamp::from_secs(9_990),
        ready_changed: Timestamp::from_secs(9_990),
        ..replica("b", false)
    };
    // 150 % of one, nothing of the other: 75 % over two asks for three; the engine counts one ready.
    near(
        asked(
            &cpu,
            &[
                (replica("a", true), Some(150.0)),
                (young.clone(), Some(100.0)),
            ],
        ),
        150.0,
    );
    near(
        asked(
            &cpu,
            &[(replica("a", true), Some(20.0)), (young, Some(100.0))],
        ),
        20.0,
    );
}

#[test]
fn a_replica_without_metrics_counts_as_full_when_scaling_in_and_idle_when_scaling_up() {
    let cpu = trigger(Resource::Cpu, MetricType::Utilization, 50.0);
    // 10 % and an assumed 100 %: 55 % over two would turn round, so it stays at two.
    near(
        asked(
            &cpu,
            &[(replica("a", true), Some(10.0)), (replica("b", true), None)],
        ),
        50.0,
    );
    // 90 % and an assumed 0 %: 45 % would turn round, so it stays at two.
    near(
        asked(
            &cpu,
            &[(replica("a", true), Some(90.0)), (replica("b", true), None)],
        ),
        50.0,
    );
    // 300 % and an assumed 0 %: 150 % over two asks for six.
    near(
        asked(
            &cpu,
            &[
                (replica("a", true), Some(300.0)),
                (replica("b", true), None),
            ],
        ),
        150.0,
    );
}

#[test]
fn nothing_measured_is_unknown_and_never_zero() {
    let cpu = trigger(Resource::Cpu, MetricType::Utilization, 50.0);
    assert_eq!(asked(&cpu, &[]).unwrap_err().kind, UnknownKind::NotRead);
    let missing = asked(&cpu, &[(replica("a", true), None)]);
    assert_eq!(missing.unwrap_err().kind, UnknownKind::NotRead);
}

#[test]
fn a_missing_request_or_container_is_named() {
    let mut cpu = trigger(Resource::Cpu, MetricType::Utilization, 50.0);
    let without = ContainerRequest {
        container: "app".into(),
        cpu_millis: None,
        memory_bytes: Some(1000),
    };
    let bare = ReplicaUsage {
        requests: [without].into(),
        ..replica("a", true)
    };
    let unknown = asked(&cpu, &[(bare, Some(1.0))]).unwrap_err();
    assert_eq!(unknown.kind, UnknownKind::Configuration);
    assert!(
        unknown
            .message
            .starts_with("container app of a requests no cpu")
    );
    cpu.container = Some("other".into());
    let unknown = asked(&cpu, &[(replica("a", true), Some(1.0))]).unwrap_err();
    assert_eq!(unknown.message, "a has no container other");
}

#[test]
fn replicas_on_their_way_out_do_not_count() {
    let cpu = trigger(Resource::Cpu, MetricType::Utilization, 50.0);
    let leaving = ReplicaUsage {
        is_draining: true,
        ..replica("b", true)
    };
    near(
        asked(
            &cpu,
            &[(replica("a", true), Some(60.0)), (leaving, Some(500.0))],
        ),
        60.0,
    );
}
