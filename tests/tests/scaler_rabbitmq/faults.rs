use std::time::{Duration, Instant};

use zeron_core::metric::UnknownKind;
use zeron_core::roles::{BoundTrigger, ScalerRegistry};
use zeron_tests::free_address;
use zeron_tests::servers::accepts;
use zeron_tests::servers::proxy::{FaultProxy, Mode};
use zeron_tests::servers::rabbitmq::{PASSWORD, USER};

use super::triggers::{
    amqp, evaluate_one, evaluate_within, fails, http, new_queue, own, registry, runtime, shared,
    trigger, until,
};

/// What an evaluation at a short interval is given.
const SHORT: Duration = Duration::from_secs(2);
/// In which whoever is well answers on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(10);
/// What an evaluation may take longer than its deadline.
const SLACK: Duration = Duration::from_secs(5);

const SCHEMES: [&str; 2] = ["amqp", "http"];

fn bind(host: &str, queue: &str) -> BoundTrigger {
    registry().bind(&trigger(host, queue, &[])).unwrap()
}

fn at(scheme: &str, address: std::net::SocketAddr) -> String {
    format!("{scheme}://{USER}:{PASSWORD}@{address}/")
}

#[test]
fn address_where_nobody_listens_is_unknown_soon_and_named() {
    let address = free_address();
    for scheme in SCHEMES {
        let bound = bind(&at(scheme, address), "queue");
        for _ in 0..2 {
            let began = Instant::now();
            let error = evaluate_one(&bound).unwrap_err();
            assert_eq!(error.kind, UnknownKind::Transport, "{}", error.message);
            assert!(
                error.message.contains(&address.to_string()),
                "{}",
                error.message
            );
            assert!(!error.message.contains("canary"), "{}", error.message);
            assert!(began.elapsed() < TIMEOUT, "{:?}", began.elapsed());
        }
    }
}

#[test]
fn server_that_hangs_is_late_and_back_is_known() {
    let Some(rabbit) = shared("server_that_hangs_is_late_and_back_is_known") else {
        return;
    };
    let queue = new_queue(rabbit);
    for (scheme, server) in [("amqp", rabbit.amqp()), ("http", rabbit.http())] {
        let proxy = FaultProxy::before(server);
        let bound = bind(&at(scheme, proxy.address()), &queue);
        until("the queue to be known", &bound, Result::is_ok).unwrap();
        proxy.set(Mode::Hang);
        for connection in ["open", "being made"] {
            let began = Instant::now();
            let answer = evaluate_within(&[&bound], SHORT).remove(0);
            assert!(
                fails(UnknownKind::Timeout)(&answer),
                "{scheme} {connection}: {answer:?}"
            );
            assert!(began.elapsed() <= SHORT + SLACK, "{:?}", began.elapsed());
        }
        proxy.set(Mode::Pass);
        until("the queue to be known again", &bound, Result::is_ok).unwrap();
    }
}

#[test]
fn hung_server_delays_no_other() {
    let Some(rabbit) = shared("hung_server_delays_no_other") else {
        return;
    };
    let queue = new_queue(rabbit);
    let proxy = FaultProxy::before(rabbit.amqp());
    proxy.set(Mode::Hang);
    let hung = bind(&at("amqp", proxy.address()), &queue);
    let good = bind(&amqp(rabbit, ""), &queue);
    until("the queue to be known", &good, Result::is_ok).unwrap();
    let began = Instant::now();
    runtime().block_on(async {
        let hung_handles = [hung.handle];
        let hung = async {
            let answers = hung.scaler.evaluate(&hung_handles, TIMEOUT).await;
            (began.elapsed(), answers)
        };
        let good = async {
            let answers = good.scaler.evaluate(&[good.handle], TIMEOUT).await;
            (began.elapsed(), answers)
        };
        let ((hung_for, hung), (took, good)) = tokio::join!(hung, good);
        assert!(good[0].is_ok(), "{good:?}");
        assert!(took < hung_for, "{took:?}");
        assert_eq!(hung[0].as_ref().unwrap_err().kind, UnknownKind::Timeout);
    });
}

#[test]
fn garbage_is_unknown_and_named() {
    let Some(rabbit) = shared("garbage_is_unknown_and_named") else {
        return;
    };
    let queue = new_queue(rabbit);
    for (scheme, server) in [("amqp", rabbit.amqp()), ("http", rabbit.http())] {
        let proxy = FaultProxy::before(server);
        let bound = bind(&at(scheme, proxy.address()), &queue);
        until("the queue to be known", &bound, Result::is_ok).unwrap();
        proxy.set(Mode::Garbage);
        for _ in 0..2 {
            let began = Instant::now();
            let error = evaluate_within(&[&bound], SHORT).remove(0).unwrap_err();
            let expected = [
                UnknownKind::Parse,
                UnknownKind::Transport,
                UnknownKind::Timeout,
            ];
            assert!(expected.contains(&error.kind), "{scheme}: {error:?}");
            assert!(
                error.message.contains(&proxy.address().to_string()),
                "{error:?}"
            );
            assert!(began.elapsed() <= SHORT + SLACK, "{:?}", began.elapsed());
        }
        proxy.set(Mode::Pass);
        until("the queue to be known again", &bound, Result::is_ok).unwrap();
    }
}

#[test]
fn connection_cut_between_evaluations_costs_none() {
    let Some(rabbit) = shared("connection_cut_between_evaluations_costs_none") else {
        return;
    };
    let queue = new_queue(rabbit);
    let proxy = FaultProxy::before(rabbit.amqp());
    let bound = bind(&at("amqp", proxy.address()), &queue);
    for _ in 0..3 {
        evaluate_one(&bound).unwrap();
        proxy.set(Mode::Down);
        zeron_tests::until("it to be down", || {
            (!accepts(proxy.address())).then_some(())
        });
        proxy.set(Mode::Pass);
        zeron_tests::until("it to be back", || accepts(proxy.address()).then_some(()));
    }
    evaluate_one(&bound).unwrap();
}

#[test]
fn server_frozen_or_killed_is_unknown_and_back_is_known() {
    let name = "server_frozen_or_killed_is_unknown_and_back_is_known";
    let Some(mut rabbit) = own(name) else { return };
    let queue = new_queue(&rabbit);
    let both = [
        bind(&amqp(&rabbit, ""), &queue),
        bind(&http(&rabbit, ""), &queue),
    ];
    for bound in &both {
        until("the queue to be known", bound, Result::is_ok).unwrap();
    }

    rabbit.freeze();
    for bound in &both {
        let began = Instant::now();
        let answer = evaluate_within(&[bound], SHORT).remove(0);
        assert!(fails(UnknownKind::Timeout)(&answer), "{answer:?}");
        assert!(began.elapsed() <= SHORT + SLACK, "{:?}", began.elapsed());
    }
    rabbit.thaw();
    for bound in &both {
        until("the queue to be known after the thaw", bound, Result::is_ok).unwrap();
    }

    rabbit.kill();
    for bound in &both {
        let began = Instant::now();
        let answer = evaluate_within(&[bound], TIMEOUT).remove(0);
        assert!(fails(UnknownKind::Transport)(&answer), "{answer:?}");
        assert!(began.elapsed() < TIMEOUT, "{:?}", began.elapsed());
    }
    rabbit.run();
    for bound in &both {
        until(
            "the queue to be known after the restart",
            bound,
            Result::is_ok,
        )
        .unwrap();
    }
}
