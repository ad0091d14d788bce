#![allow(clippy::unwrap_used)]

//! Scalers that answer, lie, hang, fall silent and come back, over real connections.

mod fake;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use zeron_core::metric::{Activity, MetricReading, Unknown, UnknownKind};
use zeron_core::policy::{Secret, TriggerSpec};
use zeron_core::roles::BoundTrigger;

use super::External;
use crate::AddressPolicy;
use crate::registry::SourceType;
use fake::Fake;

const TIMEOUT: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(300);
/// In which whoever is well answers on a busy machine.
const LONG: Duration = Duration::from_secs(2);

pub(super) fn spec(kind: &str, name: &str, metadata: &[(&str, &str)]) -> TriggerSpec {
    let mut spec = crate::testkit::spec(kind, metadata, &[]);
    (spec.object.namespace, spec.object.name) = ("shop".to_owned(), name.to_owned());
    spec
}

fn external() -> External {
    External::new(AddressPolicy::MACHINE)
}

fn bind(external: &External, kind: &str, name: &str, address: &str) -> BoundTrigger {
    external
        .bind(&spec(kind, name, &[("scalerAddress", address)]))
        .unwrap()
}

async fn read(bound: &BoundTrigger, timeout: Duration) -> Result<Vec<MetricReading>, Unknown> {
    let handles = [bound.handle];
    let mut all = bound.scaler.evaluate(&handles, timeout).await;
    assert_eq!(all.len(), 1);
    all.remove(0)
}

async fn kind_of(bound: &BoundTrigger, timeout: Duration) -> UnknownKind {
    read(bound, timeout).await.unwrap_err().kind
}

/// Waits until `look` finds something, looking again and again.
async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "waited for {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn several_metrics_of_one_scaler_are_read_with_its_own_targets() {
    let fake = Fake::start().await;
    fake.specs(&[("depth", 5, 0.0), ("age", 0, 0.5)]);
    fake.value("depth", 12, 0.0);
    fake.value("age", 0, 2.25);
    fake.active(true);
    let bound = bind(&external(), "external", "orders", &fake.address());
    let readings = read(&bound, TIMEOUT).await.unwrap();
    let reading = |metric: &str, value, target| MetricReading {
        metric: metric.to_owned(),
        value,
        target,
        activity: Activity::Declared(true),
    };
    assert_eq!(
        readings,
        [reading("depth", 12.0, 5.0), reading("age", 2.25, 0.5)]
    );
    fake.active(false);
    let readings = read(&bound, TIMEOUT).await.unwrap();
    assert!(readings.iter().all(|it| !it.activity.is_active()));
}

#[tokio::test]
async fn the_metadata_is_handed_on_to_the_letter_and_no_secret_of_the_authentication() {
    let fake = Fake::start().await;
    let mut trigger = spec(
        "external",
        "orders",
        &[
            ("scalerAddress", &fake.address()),
            ("enableTLS", "false"),
            ("queue", "  spaces stay "),
            ("passwordFromEnv", "from the environment"),
            ("goneFromEnv", ""),
            ("zeron.dev/function", "ours"),
        ],
    );
    let from = ["passwordFromEnv", "goneFromEnv"].map(str::to_owned);
    trigger.from_environment = from.into();
    trigger.auth = [("token", "t0p")]
        .map(|(k, v)| (k.to_owned(), Secret::new(v)))
        .into();
    let bound = external().bind(&trigger).unwrap();
    read(&bound, TIMEOUT).await.unwrap();
    let mut expected = BTreeMap::from([
        ("scalerAddress".to_owned(), fake.address()),
        ("enableTLS".to_owned(), "false".to_owned()),
        ("queue".to_owned(), "  spaces stay ".to_owned()),
    ]);
    expected.insert(
        "passwordFromEnv".to_owned(),
        "from the environment".to_owned(),
    );
    let seen = fake.seen();
    // Specs, one value, activity.
    assert_eq!(seen.len(), 3);
    for object in seen {
        assert_eq!((&*object.namespace, &*object.name), ("shop", "orders"));
        let metadata: BTreeMap<_, _> = object.scaler_metadata.into_iter().collect();
        assert_eq!(metadata, expected);
    }
}

#[tokio::test]
async fn what_a_scaler_says_is_shown_without_values_of_the_environment() {
    let fake = Fake::start().await;
    fake.fail(Some(tonic::Status::permission_denied(
        "no: hunter2 is wrong",
    )));
    let mut trigger = spec(
        "external",
        "orders",
        &[
            ("scalerAddress", &fake.address()),
            ("keyFromEnv", "hunter2"),
        ],
    );
    trigger.from_environment = [("keyFromEnv").to_owned()].into();
    let bound = external().bind(&trigger).unwrap();
    let error = read(&bound, TIMEOUT).await.unwrap_err();
    assert_eq!(error.kind, UnknownKind::Authentication);
    assert!(!error.message.contains("hunter2"), "{}", error.message);
    assert!(
        error.message.contains("<redacted> is wrong"),
        "{}",
        error.message
    );
}

#[tokio::test]
async fn a_scaler_that_lies_is_unknown_and_never_a_number() {
    let fake = Fake::start().await;
    let bound = bind(&external(), "external", "orders", &fake.address());
    fake.specs(&[]);
    assert_eq!(kind_of(&bound, TIMEOUT).await, UnknownKind::Parse);
    fake.specs(&[("depth", 0, 0.0)]);
    assert_eq!(kind_of(&bound, TIMEOUT).await, UnknownKind::Parse);
    fake.specs(&[("depth", 5, 0.0)]);
    for (whole, float) in [(-1, 0.0), (3, f64::NAN), (3, f64::INFINITY), (3, -1.0)] {
        fake.value("depth", whole, float);
        assert_eq!(
            kind_of(&bound, TIMEOUT).await,
            UnknownKind::Parse,
            "{float}"
        );
    }
    fake.value("depth", 3, 0.0);
    assert_eq!(read(&bound, TIMEOUT).await.unwrap()[0].value, 3.0);
}

#[tokio::test]
async fn a_hung_object_ends_in_time_and_costs_the_others_nothing() {
    let fake = Fake::start().await;
    let external = external();
    let hung = bind(&external, "external", "hung", &fake.address());
    let healthy = bind(&external, "external", "orders", &fake.address());
    assert_eq!(hung.source, healthy.source, "they share a channel");
    read(&healthy, TIMEOUT).await.unwrap();
    fake.hang("hung");
    let handles = [hung.handle, healthy.handle];
    let begin = Instant::now();
    let both = hung.scaler.evaluate(&handles, LONG).await;
    assert!(begin.elapsed() < LONG + TIMEOUT, "{:?}", begin.elapsed());
    assert_eq!(both[0].as_ref().unwrap_err().kind, UnknownKind::Timeout);
    assert!(both[1].is_ok(), "{:?}", both[1]);
    read(&healthy, TIMEOUT).await.unwrap();
}

#[tokio::test]
async fn nobody_there_is_said_so_and_a_scaler_that_comes_back_is_found() {
    let fake = Fake::start().await;
    let address = fake.address();
    let bound = bind(&external(), "external", "orders", &address);
    read(&bound, TIMEOUT).await.unwrap();
    fake.stop();
    let begin = Instant::now();
    let error = loop {
        match read(&bound, TIMEOUT).await {
            Err(error) => break error,
            // Its connection ends a moment later.
            Ok(_) => assert!(begin.elapsed() < Duration::from_secs(10), "it stays"),
        }
    };
    assert_eq!(error.kind, UnknownKind::Transport, "{}", error.message);
    // Again and again: no attempt waits for longer than it may.
    for _ in 0..20 {
        let begin = Instant::now();
        assert_eq!(kind_of(&bound, TIMEOUT).await, UnknownKind::Transport);
        assert!(begin.elapsed() < TIMEOUT);
    }
    let _back = Fake::start_again(&address).await;
    let begin = Instant::now();
    while read(&bound, TIMEOUT).await.is_err() {
        assert!(begin.elapsed() < Duration::from_secs(10), "it stays away");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_connection_that_swallows_everything_is_given_up() {
    // Accepts once and says nothing; whoever comes later is answered.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let first = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        (stream, listener)
    });
    let bound = bind(&external(), "external", "orders", &address);
    assert_eq!(kind_of(&bound, SHORT).await, UnknownKind::Timeout);
    let (_silent, listener) = first.await.unwrap();
    let _fake = Fake::serve(listener);
    for _ in 0..2 {
        assert_eq!(kind_of(&bound, SHORT).await, UnknownKind::Timeout);
    }
    read(&bound, TIMEOUT).await.unwrap();
}

#[tokio::test]
async fn garbage_is_an_error_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let garbage = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\nwho are you";
            stream.write_all(garbage).await.ok();
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.ok();
        }
    });
    let bound = bind(&external(), "external", "orders", &address);
    let begin = Instant::now();
    let kind = kind_of(&bound, TIMEOUT).await;
    assert!(begin.elapsed() < TIMEOUT, "{:?}", begin.elapsed());
    assert!(
        matches!(kind, UnknownKind::Parse | UnknownKind::Transport),
        "{kind:?}"
    );
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused() {
    let fake = Fake::start().await;
    fake.specs(&[(&"x".repeat(512 << 10), 1, 0.0)]);
    let bound = bind(&external(), "external", "orders", &fake.address());
    assert_eq!(kind_of(&bound, TIMEOUT).await, UnknownKind::Parse);
}

#[tokio::test]
async fn an_address_that_triggers_may_not_reach_is_not_dialled() {
    let fake = Fake::start().await;
    let external = External::new(AddressPolicy::CLUSTER);
    let bound = bind(&external, "external", "orders", &fake.address());
    let error = read(&bound, TIMEOUT).await.unwrap_err();
    assert_eq!(error.kind, UnknownKind::Configuration, "{}", error.message);
    assert!(error.message.contains("may not reach"), "{}", error.message);
    assert!(fake.seen().is_empty());
}

#[tokio::test]
async fn a_push_is_heard_and_again_after_the_stream_was_lost() {
    let fake = Fake::start().await;
    let external = external();
    let bound = bind(&external, "external-push", "orders", &fake.address());
    let heard = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&heard);
    let on_change = Arc::new(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    assert!(bound.scaler.watch(bound.handle, on_change));
    until("the stream", || (fake.streams() == 1).then_some(())).await;
    fake.push(false);
    fake.push(true);
    until("a push", || {
        (heard.load(Ordering::Relaxed) == 1).then_some(())
    })
    .await;
    for streams in 2..5 {
        fake.break_streams();
        until("another stream", || {
            (fake.streams() >= streams).then_some(())
        })
        .await;
        fake.push(true);
        until("a push", || {
            (heard.load(Ordering::Relaxed) >= streams).then_some(())
        })
        .await;
    }
    bound.scaler.release(bound.handle);
    until("the stream to end", || {
        (fake.listeners() == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_flood_of_pushes_is_heard_at_a_pace() {
    let fake = Fake::start().await;
    let bound = bind(&external(), "external-push", "orders", &fake.address());
    let heard = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&heard);
    let on_change = Arc::new(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    bound.scaler.watch(bound.handle, on_change);
    until("the stream", || (fake.streams() == 1).then_some(())).await;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(500) {
        fake.push(true);
        tokio::task::yield_now().await;
    }
    let heard = heard.load(Ordering::Relaxed);
    assert!((1..=20).contains(&heard), "{heard}");
}

#[tokio::test]
async fn a_trigger_that_does_not_push_is_not_followed() {
    let fake = Fake::start().await;
    let bound = bind(&external(), "external", "orders", &fake.address());
    assert!(!bound.scaler.watch(bound.handle, Arc::new(|_| ())));
    read(&bound, TIMEOUT).await.unwrap();
    assert_eq!(fake.streams(), 0);
}

#[tokio::test]
async fn specs_that_come_by_themselves_take_the_place_of_asked_ones() {
    let fake = Fake::start().await;
    fake.specs(&[("depth", 5, 0.0)]);
    fake.value("depth", 10, 0.0);
    let bound = bind(&external(), "external-push", "orders", &fake.address());
    bound.scaler.watch(bound.handle, Arc::new(|_| ()));
    until("the stream", || (fake.spec_streams() == 1).then_some(())).await;
    assert_eq!(read(&bound, TIMEOUT).await.unwrap()[0].target, 5.0);
    fake.push_specs(&[("depth", 2, 0.0)]);
    let begin = Instant::now();
    while read(&bound, TIMEOUT).await.unwrap()[0].target != 2.0 {
        assert!(begin.elapsed() < Duration::from_secs(10), "not taken over");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Without the stream it is asked again.
    fake.break_streams();
    while read(&bound, TIMEOUT).await.unwrap()[0].target != 5.0 {
        assert!(begin.elapsed() < Duration::from_secs(20), "not asked again");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_scaler_without_the_newer_stream_is_asked_for_it_once() {
    let fake = Fake::start().await;
    fake.is_old();
    let bound = bind(&external(), "external-push", "orders", &fake.address());
    bound.scaler.watch(bound.handle, Arc::new(|_| ()));
    until("the call", || (fake.spec_streams() == 1).then_some(())).await;
    for streams in 2..5 {
        until("the stream", || {
            (fake.streams() >= streams - 1).then_some(())
        })
        .await;
        fake.break_streams();
    }
    until("the stream", || (fake.streams() >= 4).then_some(())).await;
    assert_eq!(fake.spec_streams(), 1);
    read(&bound, TIMEOUT).await.unwrap();
}

#[test]
fn a_trigger_says_everything_that_is_wrong_with_it() {
    let problems = |metadata: &[(&str, &str)], auth: &[(&str, &str)]| {
        let mut trigger = spec("external", "orders", metadata);
        let auth = auth.iter();
        trigger.auth = auth
            .map(|(k, v)| ((*k).to_owned(), Secret::new(*v)))
            .collect();
        let problems = external().validate(&trigger);
        let names = problems.into_iter().filter_map(|it| it.parameter);
        names.collect::<Vec<_>>()
    };
    assert_eq!(problems(&[("anything", "else")], &[]), ["scalerAddress"]);
    assert_eq!(
        problems(&[("scalerAddress", "unix:/x")], &[]),
        ["scalerAddress"]
    );
    let address = ("scalerAddress", "scaler:90");
    assert_eq!(
        problems(&[address, ("enableTLS", "maybe")], &[]),
        ["enableTLS"]
    );
    assert_eq!(problems(&[address], &[("caCert", "no PEM")]), ["caCert"]);
    assert_eq!(
        problems(&[address], &[("tlsClientCert", "x")]),
        ["tlsClientKey"]
    );
    assert!(problems(&[address, ("whatever", "it is the scaler's")], &[]).is_empty());
}
