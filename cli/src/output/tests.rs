//! What people see.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use zeron_autoscaler::simulate::{Change, Point, SimulationReport};
use zeron_core::decision::Cause;
use zeron_core::metric::{MetricValue, Unknown, UnknownKind};
use zeron_core::status::{Phase, TriggerStatus};
use zeron_core::{Decision, StartFailure, Timestamp};

use super::*;
use crate::args::ColorChoice;
use crate::control::{FunctionView, ReplicaView};
use crate::testkit::{deployment, object, revision};

const NOW: Timestamp = Timestamp::from_secs(1_100);

fn how(format: Format) -> ListView {
    ListView {
        format,
        style: Style::default(),
        now: NOW,
        is_complete: false,
        has_namespaces: false,
    }
}

fn worker() -> FunctionView {
    let mut view = deployment("worker");
    let message = "waiting for broker 127.0.0.1:9092: connection refused";
    view.status.phase = Phase::Degraded;
    view.status.message = Some(message.to_owned());
    view.status.max = None;
    view.status.triggers = vec![TriggerStatus {
        source: object("keda.sh/v1alpha1", "ScaledObject", "worker"),
        index: 0,
        kind: "kafka".to_owned(),
        metric: "kafka-orders".to_owned(),
        value: MetricValue::Unknown {
            reason: Unknown {
                kind: UnknownKind::Transport,
                message: message.to_owned(),
            },
            since: Timestamp::from_secs(1_088),
        },
        target: 10.0,
        is_active: false,
        health: Default::default(),
        push_trouble: None,
    }];
    view
}

fn hello() -> FunctionView {
    let mut view = revision("hello", 2, 100);
    view.status.phase = Phase::Active;
    (
        view.status.desired,
        view.status.ready,
        view.status.in_flight,
    ) = (2, 1, 3);
    view.status.starting = 1;
    view.last_cold_start_ms = Some(4.25);
    view.replicas = vec![ReplicaView {
        name: "hello-00002-ab12cd-7".to_owned(),
        pid: Some(4711),
        address: Some("127.0.0.1:40001".to_owned()),
        state: "Ready".to_owned(),
        started_at: Some(Timestamp::from_secs(1_090)),
        ready_at: Some(Timestamp::from_secs(1_090)),
    }];
    view
}

#[test]
fn ls_shows_functions_by_their_owners_names_and_hides_old_revisions() {
    let views = [revision("hello", 1, 0), hello(), worker()];
    insta::assert_snapshot!(list(&views, how(Format::Table)), @r"
    NAME     READY   DESIRED   MAX   STATE      REASON                                                  QUEUED   IN-FLIGHT   AGE
    hello    1       2         10    Active     -                                                       0        3           98s
    worker   0       0         -     Degraded   waiting for broker 127.0.0.1:9092: connection refused   0        0           100s
    ");
}

#[test]
fn ls_wide_adds_shares_addresses_and_objects() {
    insta::assert_snapshot!(list(&[hello(), worker()], how(Format::Wide)), @r"
    NAME     READY   DESIRED   MAX   STATE      REASON                                                  QUEUED   IN-FLIGHT   AGE    TRAFFIC   LAST-COLD   OBJECT                 URL
    hello    1       2         10    Active     -                                                       0        3           98s    100%      4.2ms       revision/hello-00002   http://hello.default.localhost:8080/
    worker   0       0         -     Degraded   waiting for broker 127.0.0.1:9092: connection refused   0        0           100s   -         -           deployment/worker      -
    ");
}

#[test]
fn ls_of_all_namespaces_names_them_also_where_there_is_one() {
    let how = ListView {
        has_namespaces: true,
        ..how(Format::Table)
    };
    insta::assert_snapshot!(list(&[hello()], how), @r"
    NAMESPACE   NAME    READY   DESIRED   MAX   STATE    REASON   QUEUED   IN-FLIGHT   AGE
    default     hello   1       2         10    Active   -        0        3           98s
    ");
}

#[test]
fn ls_names_the_revisions_of_a_split() {
    let views = [revision("hello", 1, 80), revision("hello", 2, 20)];
    insta::assert_snapshot!(list(&views, how(Format::Table)), @r"
    NAME          READY   DESIRED   MAX   STATE   REASON   QUEUED   IN-FLIGHT   AGE
    hello-00001   0       0         10    Cold    -        0        0           99s
    hello-00002   0       0         10    Cold    -        0        0           98s
    ");
}

#[test]
fn describe_shows_everything() {
    let none: [std::sync::Arc<Decision>; 0] = [];
    let mut view = worker();
    view.status.failure = Some(StartFailure {
        reason: "ExitCode1".to_owned(),
        message: "exit status 1\nno such file\u{1b}[2J".to_owned(),
        at: Timestamp::from_secs(1_095),
        retry_at: Some(Timestamp::from_secs(1_105)),
        is_final: false,
    });
    insta::assert_snapshot!(describe(&view, &none, Style::default(), NOW), @r"
    Name:         worker
    Namespace:    default
    Function:     Deployment worker
    Declared by:  Deployment default/worker
    State:        Degraded
    Reason:       waiting for broker 127.0.0.1:9092: connection refused
    Replicas:     0 ready, 0 starting, 0 wanted, no limit
    Requests:     0 in flight, 0 waiting
    Age:          100s
    Last active:  never
    Failure:      ExitCode1 (5s ago, next attempt in 5s)
                  exit status 1
                  no such file [2J

    Triggers
    TRIGGER   METRIC         VALUE                                                            TARGET   ACTIVE   AGE
    kafka     kafka-orders   unknown: waiting for broker 127.0.0.1:9092: connection refused   10       -        12s
    ");
    insta::assert_snapshot!(describe(&hello(), &none, Style::default(), NOW), @r"
    Name:         hello
    Namespace:    default
    Function:     Revision hello-00002
    Declared by:  Service default/hello
    State:        Active
    Replicas:     1 ready, 1 starting, 2 wanted, at most 10
    Requests:     3 in flight, 0 waiting
    Traffic:      100 %
    URL:          http://hello.default.localhost:8080/
    Cold start:   4.2 ms, the newest
    Age:          98s
    Last active:  never

    Replicas
    REPLICA                STATE   PID    ADDRESS           AGE
    hello-00002-ab12cd-7   Ready   4711   127.0.0.1:40001   10s
    ");
}

#[test]
fn json_and_yaml_say_the_same_as_the_admin_api() {
    let json = structured(Format::Json, &hello()).unwrap().unwrap();
    assert_eq!(
        serde_json::from_str::<FunctionView>(&json).unwrap(),
        hello()
    );
    let yaml = structured(Format::Yaml, &hello()).unwrap().unwrap();
    assert_eq!(
        serde_saphyr::from_str::<serde_json::Value>(&yaml).unwrap(),
        serde_json::to_value(hello()).unwrap()
    );
}

#[test]
fn colour_is_only_used_where_it_is_wanted() {
    let coloured = list(
        &[hello()],
        ListView {
            style: Style::new(ColorChoice::Always),
            ..how(Format::Table)
        },
    );
    assert!(coloured.contains("\u{1b}[32mActive\u{1b}[0m"), "{coloured}");
    let plain = list(
        &[hello()],
        ListView {
            style: Style::new(ColorChoice::Never),
            ..how(Format::Table)
        },
    );
    assert!(!plain.contains('\u{1b}'), "{plain}");
}

#[test]
fn simulate_shows_replicas_over_time_and_why_they_changed() {
    let point = |t_s, desired, requests| Point {
        t_s,
        in_flight: requests,
        queued: 0,
        desired,
        ready: desired,
    };
    let change = |t_s, from, to, cause| Change {
        t_s,
        from,
        to,
        cause,
        winner: None,
    };
    let report = SimulationReport {
        duration_s: 600.0,
        points: vec![
            point(0.0, 0, 0),
            point(2.0, 4, 8),
            point(3.0, 2, 1),
            point(5.0, 0, 0),
        ],
        changes: vec![
            change(2.0, 0, 4, Cause::FirstWaiter),
            change(5.0, 2, 0, Cause::Timer),
        ],
        requests: 12,
        cold_starts: 1,
        replica_starts: 4,
        replica_seconds: 8.0,
        max_replicas: 4,
        zero_seconds: 597.0,
        ..SimulationReport::default()
    };
    insta::assert_snapshot!(simulation("hello", &report, Style::default()), @r"
    hello over 10m
      requests               12
      cold starts            1
      replica starts         4
      most replicas          4
      replica-seconds        8
      at zero for            9m57s
      waited for a replica   p50 0s, p99 0s, longest 0s
      unfinished             0

    Replicas over time
    TIME   WANTED   READY   REQUESTS
    0s     0        0       0
    1s     0        0       0
    2s     4        4       8          ##################################################
    3s     2        2       1          #########################
    4s     2        2       1          #########################

    Changes
    TIME   REPLICAS   CAUSE           INPUT
    2s     0 -> 4     first request   -
    5s     2 -> 0     timer           -
    ");
}

#[test]
fn ages_have_at_most_two_units() {
    let text = |millis| duration(Duration::from_millis(millis));
    assert_eq!(text(0), "0s");
    assert_eq!(text(5), "5ms");
    assert_eq!(text(1_500), "1.5s");
    assert_eq!(text(2_000), "2s");
    assert_eq!(text(119_000), "119s");
    assert_eq!(text(190_000), "3m10s");
    assert_eq!(text(7_200_000), "2h");
    assert_eq!(text(12 * 86_400_000), "12d");
}
