//! What holds of every SQL source while its server is away, hangs or takes its time. `world` is that of the server.

use std::time::Duration;

use zeron_core::metric::UnknownKind;
use zeron_tests::free_address;
use zeron_tests::servers::triggers::{Sources, TIMEOUT};

use super::world::{SECOND_LONG, by_fields, own, pending, shared, table};

/// What an interval of five seconds gives.
pub(crate) const SHORT: Duration = Duration::from_millis(2_500);

/// Over the time that was given: two runtimes' turns on a busy machine.
pub(crate) const SLACK: Duration = Duration::from_secs(5);

#[test]
fn an_address_where_nobody_listens_is_unknown_at_once() {
    let address = free_address();
    let sources = Sources::default();
    let trigger = sources.bind(&by_fields(address, "SELECT 1"));
    for _ in 0..3 {
        let (answer, took) = sources.timed(&trigger, TIMEOUT);
        let error = answer.unwrap_err();
        assert_eq!(error.kind, UnknownKind::Transport, "{}", error.message);
        assert!(
            error.message.contains(&address.to_string()),
            "{}",
            error.message
        );
        assert!(took < TIMEOUT, "{took:?}");
    }
}

#[test]
fn a_server_that_hangs_is_late_in_time_and_known_again_afterwards() {
    let name = "a_server_that_hangs_is_late_in_time_and_known_again_afterwards";
    let Some(mut server) = own(name) else { return };
    let sources = Sources::default();
    let trigger = sources.bind(&by_fields(server.address(), "SELECT 3"));
    assert_eq!(sources.read(&trigger).unwrap().value, 3.0);
    server.freeze();
    for _ in 0..3 {
        let (answer, took) = sources.timed(&trigger, SHORT);
        let error = answer.unwrap_err();
        assert_eq!(error.kind, UnknownKind::Timeout, "{}", error.message);
        assert!(took < SHORT + SLACK, "{took:?}");
    }
    server.thaw();
    sources.until_value(&trigger, 3.0);
}

#[test]
fn a_server_that_was_killed_is_unknown_and_back_it_is_known_again() {
    let name = "a_server_that_was_killed_is_unknown_and_back_it_is_known_again";
    let Some(mut server) = own(name) else { return };
    let table = table(&server, 6);
    let sources = Sources::default();
    let trigger = sources.bind(&by_fields(server.address(), &pending(&table)));
    assert_eq!(sources.read(&trigger).unwrap().value, 6.0);
    server.kill();
    for _ in 0..5 {
        let (answer, took) = sources.timed(&trigger, TIMEOUT);
        let error = answer.unwrap_err();
        assert_eq!(error.kind, UnknownKind::Transport, "{}", error.message);
        assert!(took < TIMEOUT, "{took:?}");
    }
    server.run();
    sources.until_value(&trigger, 6.0);
}

#[test]
fn a_query_that_takes_a_second_is_read() {
    let Some(server) = shared("a_query_that_takes_a_second_is_read") else {
        return;
    };
    let sources = Sources::default();
    let slow = sources.bind(&by_fields(server.address(), SECOND_LONG));
    let quick = sources.bind(&by_fields(server.address(), "SELECT 2"));
    for _ in 0..3 {
        let answers = sources.evaluate(&[&slow, &quick], TIMEOUT);
        assert_eq!(answers[0].as_ref().unwrap().value, 4.0);
        assert_eq!(answers[1].as_ref().unwrap().value, 2.0);
    }
}
