use std::time::{Duration, Instant};

use zeron_core::metric::UnknownKind;
use zeron_core::policy::Secret;
use zeron_scalers::AddressPolicy;
use zeron_tests::servers::mariadb::PASSWORD;
use zeron_tests::servers::proxy::{FaultProxy, Mode};
use zeron_tests::servers::triggers::{Sources, TIMEOUT};
use zeron_tests::until;

use super::outages::{SHORT, SLACK};
use super::world::{by_fields, by_string, connections, own, pending, shared, table, with};

#[test]
fn wrong_credentials_are_named_and_unprinted() {
    let Some(server) = shared("wrong_credentials_are_named_and_unprinted") else {
        return;
    };
    let sources = Sources::default();
    let right = by_fields(server.address(), "SELECT 1");
    let mut wrong = right.clone();
    wrong
        .auth
        .insert("password".to_owned(), Secret::new("queen-of-hearts"));
    let nobody = with(wrong.clone(), "username", "jack-of-spades");
    let mut without = right.clone();
    without.auth.clear();
    let elsewhere = with(right.clone(), "dbName", "mysql");
    for spec in [wrong, nobody, without, elsewhere] {
        let error = sources.read_once(&spec).unwrap_err();
        assert_eq!(error.kind, UnknownKind::Authentication, "{}", error.message);
        for secret in ["queen", "jack", PASSWORD] {
            assert!(!error.message.contains(secret), "{}", error.message);
        }
    }
    assert_eq!(sources.read_once(&right).unwrap().value, 1.0);
}

#[test]
fn a_slow_query_is_cut_off_by_the_server_and_delays_no_other_beyond_its_time() {
    let name = "a_slow_query_is_cut_off_by_the_server_and_delays_no_other_beyond_its_time";
    let Some(server) = own(name) else { return };
    let sources = Sources::default();
    let slow = sources.bind(&by_fields(server.address(), "SELECT sleep(60)"));
    let quick = sources.bind(&by_fields(server.address(), "SELECT 2"));
    for _ in 0..2 {
        let began = Instant::now();
        let answers = sources.evaluate(&[&slow, &quick, &slow], SHORT);
        assert!(began.elapsed() < SHORT + SLACK, "{:?}", began.elapsed());
        let error = answers[0].as_ref().unwrap_err();
        assert_eq!(error.kind, UnknownKind::Timeout, "{}", error.message);
        assert_eq!(answers[1].as_ref().unwrap().value, 2.0);
        // Alone it is not delayed at all.
        let (answer, took) = sources.timed(&quick, TIMEOUT);
        assert_eq!(answer.unwrap().value, 2.0);
        assert!(took < SHORT, "{took:?}");
    }
    let running =
        "SELECT count(*) FROM information_schema.processlist WHERE info = 'SELECT sleep(60)'";
    until("the server to have ended it", || {
        (server.ask(running) == "0").then_some(())
    });
    assert!(connections(&server) <= 4);
}

#[test]
fn nonsense_and_a_way_that_flaps_are_unknown_until_they_pass() {
    let name = "nonsense_and_a_way_that_flaps_are_unknown_until_they_pass";
    let Some(server) = shared(name) else { return };
    let way = FaultProxy::before(server.address());
    let sources = Sources::default();
    let trigger = sources.bind(&by_fields(way.address(), "SELECT 3"));
    sources.until_value(&trigger, 3.0);
    for (mode, kind) in [
        (Mode::Garbage, UnknownKind::Transport),
        (Mode::Hang, UnknownKind::Timeout),
        (Mode::Down, UnknownKind::Transport),
    ] {
        way.set(mode);
        until("the fault to be seen", || {
            sources.evaluate(&[&trigger], SHORT).remove(0).err()
        });
        let error = sources.evaluate(&[&trigger], SHORT).remove(0).unwrap_err();
        assert_eq!(error.kind, kind, "{mode:?}: {}", error.message);
        way.set(Mode::Pass);
        sources.until_value(&trigger, 3.0);
    }
    way.set(Mode::Slow(Duration::from_millis(20)));
    assert_eq!(sources.read(&trigger).unwrap().value, 3.0);
}

#[test]
fn a_connection_that_was_ended_is_dialled_anew_at_once() {
    let Some(server) = own("a_connection_that_was_ended_is_dialled_anew_at_once") else {
        return;
    };
    let sources = Sources::default();
    let trigger = sources.bind(&by_fields(server.address(), "SELECT 3"));
    for _ in 0..3 {
        assert_eq!(sources.read(&trigger).unwrap().value, 3.0);
        server.ask("KILL USER zeron");
        until("the connection to be gone", || {
            (connections(&server) == 0).then_some(())
        });
    }
    assert_eq!(sources.read(&trigger).unwrap().value, 3.0);
}

#[test]
fn a_query_that_ends_its_own_connection_fails_alone() {
    let Some(server) = shared("a_query_that_ends_its_own_connection_fails_alone") else {
        return;
    };
    let sources = Sources::default();
    let bind = |query: &str| sources.bind(&by_fields(server.address(), query));
    let deadly = bind("KILL CONNECTION_ID()");
    let (first, last) = (bind("SELECT 2"), bind("SELECT 3"));
    for _ in 0..4 {
        let answers = sources.evaluate(&[&first, &deadly, &last], TIMEOUT);
        assert_eq!(answers[0].as_ref().unwrap().value, 2.0);
        assert!(answers[1].is_err(), "{answers:?}");
        assert_eq!(answers[2].as_ref().unwrap().value, 3.0);
    }
}

#[test]
fn a_table_that_is_dropped_is_missing_and_made_anew_it_counts() {
    let name = "a_table_that_is_dropped_is_missing_and_made_anew_it_counts";
    let Some(server) = shared(name) else { return };
    let table = table(server, 2);
    let sources = Sources::default();
    let trigger = sources.bind(&by_fields(server.address(), &pending(&table)));
    assert_eq!(sources.read(&trigger).unwrap().value, 2.0);
    server.ask(&format!("DROP TABLE {table}"));
    let error = sources.read(&trigger).unwrap_err();
    assert_eq!(error.kind, UnknownKind::Missing, "{}", error.message);
    let made =
        format!("CREATE TABLE {table} (state varchar(9)); INSERT INTO {table} VALUES ('pending')");
    server.ask(&made);
    assert_eq!(sources.read(&trigger).unwrap().value, 1.0);
}

#[test]
fn this_machine_is_not_reached_where_triggers_may_not() {
    let sources = Sources::new(AddressPolicy::CLUSTER);
    for connection in [
        "bob@tcp(127.0.0.1)/jobs",
        "bob@tcp(localhost)/jobs",
        "bob@/jobs",
        "bob@unix(/run/mysqld/mysqld.sock)/jobs",
        "bob@tcp(169.254.169.254)/jobs",
    ] {
        let error = sources
            .read_once(&by_string(connection, "SELECT 1", &[]))
            .unwrap_err();
        assert_eq!(
            error.kind,
            UnknownKind::Configuration,
            "{connection}: {}",
            error.message
        );
        assert!(
            error.message.contains("may not reach"),
            "{connection}: {}",
            error.message
        );
    }
}
