//! Decisions as people read them.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use zeron_core::decision::{Ask, Cause, Rule, ZeroWait};
use zeron_core::metric::{MetricValue, Unknown, UnknownKind};
use zeron_core::{Decision, FunctionId, Timestamp};

use super::*;
use crate::control::FunctionView;
use crate::output::Style;
use crate::testkit::{deployment, object, revision};

const NOW: Timestamp = Timestamp::from_secs(1_760_000_100);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(1_760_000_000 + seconds)
}

fn decision(id: &FunctionId) -> Decision {
    Decision {
        function: id.clone(),
        at: at(98),
        cause: Cause::FirstWaiter,
        current: 0,
        ready: 0,
        desired: 1,
        asks: Vec::new(),
        winner: None,
        rules: Vec::new(),
    }
}

fn ask(metric: &str, value: f64, target: f64, replicas: u32) -> Ask {
    Ask {
        source: object("serving.knative.dev/v1", "Service", "hello"),
        metric: metric.to_owned(),
        value: MetricValue::Known { value, at: at(98) },
        target,
        replicas: Some(replicas),
        is_active: replicas > 0,
    }
}

fn hello() -> FunctionView {
    let mut view = revision("hello", 1, 100);
    (
        view.status.desired,
        view.status.ready,
        view.status.in_flight,
    ) = (1, 1, 1);
    view
}

fn explained(view: &FunctionView, decision: &Decision) -> String {
    why(view, Some(decision), Style::default(), NOW)
}

#[test]
fn why_names_every_input_and_the_winner() {
    let view = hello();
    let mut decision = decision(&view.status.id);
    decision.asks = vec![
        ask("concurrency", 0.016_6, 70.0, 0),
        ask("backlog", 1.0, 100.0, 1),
    ];
    decision.winner = Some(1);
    decision.rules = vec![Rule::ZeroNotBefore {
        wait: ZeroWait::StableWindow,
        until: at(158),
    }];
    insta::assert_snapshot!(explained(&view, &decision), @r"
    hello (default/Revision/hello-00001) has 1 replica ready and 1 wanted; 1 request in flight, 0 waiting.
    Decided 2s ago, at 2025-10-09T08:54:58.000Z, because a request found no replica: up from 0 to 1.

    What was asked for
      concurrency of Service default/hello: 0.02 (2s old), 70 per replica -> asks for 0 replicas, not active
      backlog of Service default/hello: 1 (2s old), 100 per replica -> asks for 1 replica <- this won

    Rules that applied, in their order
      not to zero before 2025-10-09T08:55:58.000Z (in 58s): the stable window must pass without traffic

    Zero
      It can go to zero at 2025-10-09T08:55:58.000Z at the earliest (in 58s), if nothing happens until then: the stable window must pass without traffic.
    ");
}

#[test]
fn why_says_that_an_unknown_source_holds_the_replicas() {
    let mut view = deployment("worker");
    (view.status.desired, view.status.ready) = (3, 3);
    view.status.message = Some("waiting for broker 127.0.0.1:9092: connection refused".to_owned());
    let mut decision = decision(&view.status.id);
    let reason = Unknown {
        kind: UnknownKind::Transport,
        message: "waiting for broker 127.0.0.1:9092: connection refused".to_owned(),
    };
    (
        decision.cause,
        decision.current,
        decision.ready,
        decision.desired,
    ) = (Cause::Poll, 3, 3, 3);
    decision.asks = vec![Ask {
        source: object("keda.sh/v1alpha1", "ScaledObject", "worker"),
        metric: "kafka-orders".to_owned(),
        value: MetricValue::Unknown {
            reason,
            since: at(40),
        },
        target: 10.0,
        replicas: None,
        is_active: false,
    }];
    decision.rules = vec![Rule::Unknown {
        metric: "kafka-orders".to_owned(),
    }];
    insta::assert_snapshot!(explained(&view, &decision), @r"
    worker (default/Deployment/worker) has 3 replicas ready and 3 wanted; 0 requests in flight, 0 waiting.
    waiting for broker 127.0.0.1:9092: connection refused
    Decided 2s ago, at 2025-10-09T08:54:58.000Z, because a metric source was read: stay at 3.

    What was asked for
      kafka-orders of ScaledObject default/worker: unknown for 60s: waiting for broker 127.0.0.1:9092: connection refused
      no input won: a rule decided

    Rules that applied, in their order
      not down: kafka-orders is unknown, and unknown is never zero

    Zero
      It does not go to zero now: kafka-orders is unknown, and unknown is never zero.
    ");
}

#[test]
fn why_says_what_clipped_the_number() {
    let mut view = hello();
    view.status.desired = 10;
    let mut decision = decision(&view.status.id);
    (decision.cause, decision.current, decision.desired) = (Cause::Grid, 4, 10);
    decision.asks = vec![ask("concurrency", 1_234.5, 70.0, 18)];
    decision.winner = Some(0);
    decision.rules = vec![
        Rule::Panic {
            since: at(80),
            count: 18,
        },
        Rule::Max { max: 10, from: 18 },
    ];
    insta::assert_snapshot!(explained(&view, &decision), @r"
    hello (default/Revision/hello-00001) has 1 replica ready and 10 wanted; 1 request in flight, 0 waiting.
    Decided 2s ago, at 2025-10-09T08:54:58.000Z, because the two-second grid of the Knative autoscaler came round: up from 4 to 10.

    What was asked for
      concurrency of Service default/hello: 1234.5 (2s old), 70 per replica -> asks for 18 replicas <- this won

    Rules that applied, in their order
      panic mode since 2025-10-09T08:54:40.000Z (20s ago): not below 18 replicas
      the maximum of 10 clipped 18 to 10

    Zero
      It was kept up by concurrency of Service default/hello. Windows and cooldowns begin when that ends.
    ");
}

#[test]
fn why_without_a_decision_says_so() {
    let text = why(&hello(), None, Style::default(), NOW);
    assert!(
        text.ends_with("Nothing has been decided for it yet.\n"),
        "{text}"
    );
}

#[test]
fn timeline_has_one_line_per_change() {
    let id = hello().status.id;
    let mut up = decision(&id);
    up.asks = vec![ask("backlog", 1.0, 100.0, 1)];
    up.winner = Some(0);
    let mut stay = decision(&id);
    (stay.cause, stay.current, stay.at) = (Cause::Grid, 1, at(99));
    stay.rules = vec![Rule::ZeroNotBefore {
        wait: ZeroWait::StableWindow,
        until: at(158),
    }];
    let mut down = decision(&id);
    (down.cause, down.current, down.desired, down.ready) = (Cause::Timer, 1, 0, 1);
    down.at = at(158);
    let all = [up, stay, down].map(Arc::new);
    insta::assert_snapshot!(timeline(&all, Scope::Changes, Style::default()), @r"
    TIME                       REPLICAS   READY   CAUSE           REASON
    2025-10-09T08:54:58.000Z   0 -> 1     0       first request   backlog 1 at 100 per replica
    2025-10-09T08:55:58.000Z   1 -> 0     1       timer           nothing asks for replicas
    ");
    insta::assert_snapshot!(timeline(&all, Scope::All, Style::default()), @r"
    TIME                       REPLICAS   READY   CAUSE           REASON
    2025-10-09T08:54:58.000Z   0 -> 1     0       first request   backlog 1 at 100 per replica
    2025-10-09T08:54:59.000Z   1 -> 1     0       grid            stable window runs
    2025-10-09T08:55:58.000Z   1 -> 0     1       timer           nothing asks for replicas
    ");
}

#[test]
fn numbers_are_short_and_right_to_the_eye() {
    assert_eq!(number(1.0), "1");
    assert_eq!(number(0.016_6), "0.02");
    assert_eq!(number(1_234.5), "1234.5");
    assert_eq!(number(100.0), "100");
}
