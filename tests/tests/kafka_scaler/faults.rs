use std::net::TcpListener;
use std::time::{Duration, Instant};

use zeron_core::metric::{MetricReading, Unknown, UnknownKind};
use zeron_core::roles::{BoundTrigger, ScalerRegistry};
use zeron_scalers::Registry;

use super::cluster::{commit, evaluate, kafka, own, produce, runtime, shared, topic, unique};

/// Longest wait for a broker that is back to be read again.
const BACK_WITHIN: Duration = Duration::from_secs(30);

fn bind(address: &str, group: &str, topic: &str) -> BoundTrigger {
    Registry::builtin(zeron_scalers::AddressPolicy::MACHINE)
        .bind(&kafka(address, group, &[("topic", topic)]))
        .unwrap()
}

fn evaluate_one(trigger: &BoundTrigger) -> Result<MetricReading, Unknown> {
    evaluate(&[trigger]).remove(0)
}

/// Evaluates as the engine would until the answer is `wanted`.
fn until(trigger: &BoundTrigger, wanted: impl Fn(&Result<MetricReading, Unknown>) -> bool) {
    let deadline = Instant::now() + BACK_WITHIN;
    loop {
        let answer = evaluate_one(trigger);
        if wanted(&answer) {
            return;
        }
        assert!(Instant::now() < deadline, "still {answer:?}");
    }
}

#[test]
fn address_where_nobody_listens_is_unknown_soon() {
    let address = zeron_tests::free_address().to_string();
    let trigger = bind(&address, "group", "topic");
    for _ in 0..2 {
        let began = Instant::now();
        let error = evaluate_one(&trigger).unwrap_err();
        assert_eq!(error.kind, UnknownKind::Transport, "{}", error.message);
        assert!(
            error
                .message
                .starts_with(&format!("waiting for broker {address}: "))
        );
        assert!(
            began.elapsed() < super::cluster::TIMEOUT,
            "{:?}",
            began.elapsed()
        );
    }
}

#[test]
fn broker_that_never_answers_is_late_and_blocks_no_other_source() {
    let name = "broker_that_never_answers_is_late_and_blocks_no_other_source";
    let Some(broker) = shared(name) else { return };
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_address = silent.local_addr().unwrap().to_string();
    let topic = topic(&broker.address(), 1);
    let (group, timeout) = (unique("group"), Duration::from_secs(3));
    let good = bind(&broker.address(), &group, &topic);
    let hung = bind(&silent_address, "group", "topic");
    until(&good, Result::is_ok);

    runtime().block_on(async {
        let (hung, good) = (
            async {
                let answers = hung.scaler.evaluate(&[hung.handle], timeout).await;
                (Instant::now(), answers)
            },
            async {
                let answers = good.scaler.evaluate(&[good.handle], timeout).await;
                (Instant::now(), answers)
            },
        );
        let began = Instant::now();
        let ((hung_at, hung), (good_at, good)) = tokio::join!(hung, good);
        let error = hung[0].as_ref().unwrap_err();
        assert_eq!(error.kind, UnknownKind::Timeout, "{}", error.message);
        assert!(
            error.message.starts_with("waiting for broker "),
            "{}",
            error.message
        );
        assert!(hung_at - began <= timeout + Duration::from_secs(5));
        assert!(good[0].is_ok(), "{good:?}");
        assert!(good_at < hung_at);
    });
    drop(silent);
}

#[test]
fn broker_killed_is_unknown_and_back_is_known_again() {
    let name = "broker_killed_is_unknown_and_back_is_known_again";
    let Some(mut broker) = own(name) else { return };
    let address = &broker.address();
    let (topic, group) = (topic(address, 1), unique("group"));
    produce(address, &topic, 0, 6);
    commit(address, &group, &topic, 0, 2);
    let trigger = bind(address, &group, &topic);
    assert_eq!(evaluate_one(&trigger).unwrap().value, 4.0);

    broker.kill().unwrap();
    let began = Instant::now();
    let error = evaluate_one(&trigger).unwrap_err();
    assert!(
        matches!(error.kind, UnknownKind::Transport | UnknownKind::Timeout),
        "{}",
        error.message
    );
    assert!(
        error.message.contains(address.as_str()),
        "{}",
        error.message
    );
    assert!(
        began.elapsed() < super::cluster::TIMEOUT,
        "{:?}",
        began.elapsed()
    );

    broker.restart().unwrap();
    until(&trigger, |answer| {
        answer.as_ref().is_ok_and(|reading| reading.value == 4.0)
    });
}

#[test]
fn frozen_broker_is_late_and_thawed_is_known_again() {
    let name = "frozen_broker_is_late_and_thawed_is_known_again";
    let Some(mut broker) = own(name) else { return };
    let address = &broker.address();
    let topic = topic(address, 1);
    let trigger = bind(address, &unique("group"), &topic);
    until(&trigger, Result::is_ok);

    broker.freeze().unwrap();
    let timeout = Duration::from_secs(2);
    let handles = [trigger.handle];
    let began = Instant::now();
    let answers = runtime().block_on(trigger.scaler.evaluate(&handles, timeout));
    assert_eq!(
        answers[0].as_ref().unwrap_err().kind,
        UnknownKind::Timeout,
        "{answers:?}"
    );
    assert!(
        began.elapsed() <= timeout + Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );

    broker.thaw().unwrap();
    until(&trigger, Result::is_ok);
}
