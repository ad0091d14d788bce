//! Behind PgBouncer, which lends sessions of the server to many.

use zeron_core::metric::UnknownKind;
use zeron_core::roles::BoundTrigger;
use zeron_tests::broker::{self, Unavailable};
use zeron_tests::servers::pgbouncer::{Lends, PgBouncer};
use zeron_tests::servers::postgresql::Postgres;
use zeron_tests::servers::triggers::{Sources, TIMEOUT};
use zeron_tests::until;

use super::push::{Followed, notify};
use super::world::{SECOND_LONG, by_fields, pending, shared, table, unique};

/// A pooler before the server that the tests share, or `None` once the skip was reported.
fn pooler(test: &str, lends: Lends, sessions: u32) -> Option<(&'static Postgres, PgBouncer)> {
    let server = shared(test)?;
    match PgBouncer::before(server, lends, sessions) {
        Ok(pooler) => Some((server, pooler)),
        Err(Unavailable::Skip(reason)) => {
            broker::skip(&format!("scaler_postgresql::{test}"), &reason);
            None
        }
        Err(Unavailable::Failed(error)) => panic!("{error:#}"),
    }
}

#[test]
fn many_clients_share_two_sessions_of_a_pooler_that_lends_them_by_transaction() {
    let name = "many_clients_share_two_sessions_of_a_pooler_that_lends_them_by_transaction";
    let Some((server, pooler)) = pooler(name, Lends::Transactions, 2) else {
        return;
    };
    let table = table(server, 7);
    // Each has its connections; their transactions take turns in the two sessions.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let sources = Sources::default();
                let bind = |index: u32| {
                    let query = format!("{} AND id > {}", pending(&table), index % 10);
                    sources.bind(&by_fields(pooler.address(), &query))
                };
                let bound: Vec<_> = (0..100).map(bind).collect();
                let triggers: Vec<_> = bound.iter().collect();
                for _ in 0..10 {
                    let answers = sources.evaluate(&triggers, TIMEOUT);
                    for (index, answer) in (0..).zip(answers) {
                        let left = 7_i32 - (index % 10).min(7);
                        assert_eq!(answer.unwrap().value, f64::from(left), "{index}");
                    }
                }
            });
        }
    });
}

#[test]
fn queries_that_fail_behind_a_pooler_fail_alone_and_leave_nothing_in_its_sessions() {
    let name = "queries_that_fail_behind_a_pooler_fail_alone_and_leave_nothing_in_its_sessions";
    let Some((server, pooler)) = pooler(name, Lends::Transactions, 1) else {
        return;
    };
    let sources = Sources::default();
    let bind = |query: &str| sources.bind(&by_fields(pooler.address(), query));
    let failing = [
        (bind("SELECT 1 / 0"), UnknownKind::Parse),
        (bind("SELECT 1; SELECT 2"), UnknownKind::Configuration),
        (bind("COMMIT; SELECT 1"), UnknownKind::Configuration),
    ];
    let slow = bind(SECOND_LONG);
    let good = bind("SELECT 3");
    for _ in 0..3 {
        for (bad, kind) in &failing {
            let answers = sources.evaluate(&[bad, &good], TIMEOUT);
            let error = answers[0].as_ref().unwrap_err();
            assert_eq!(error.kind, *kind, "{}", error.message);
            assert_eq!(answers[1].as_ref().unwrap().value, 3.0);
        }
    }
    assert_eq!(sources.read(&slow).unwrap().value, 4.0);
    // Somebody else has the one session now: no transaction is open there, no limit of ours holds, nothing is prepared.
    let left = "SHOW statement_timeout; SHOW transaction_read_only; SELECT count(*) FROM pg_prepared_statements";
    assert_eq!(server.ask_through(pooler.address(), left), "0\noff\n0");
}

#[test]
fn a_type_of_its_own_is_no_number_through_a_pooler_either() {
    let name = "a_type_of_its_own_is_no_number_through_a_pooler_either";
    let Some((server, pooler)) = pooler(name, Lends::Transactions, 2) else {
        return;
    };
    let kind = unique("mood");
    server.ask(&format!("CREATE TYPE {kind} AS ENUM ('1', '2')"));
    for _ in 0..3 {
        // Each with connections of its own, which the pooler leads to the same sessions.
        let sources = Sources::default();
        let trigger = sources.bind(&by_fields(pooler.address(), &format!("SELECT '1'::{kind}")));
        let good = sources.bind(&by_fields(pooler.address(), "SELECT 3"));
        for _ in 0..3 {
            let answers = sources.evaluate(&[&trigger, &good], TIMEOUT);
            let error = answers[0].as_ref().unwrap_err();
            assert_eq!(error.kind, UnknownKind::Parse, "{}", error.message);
            assert!(error.message.contains("no number"), "{}", error.message);
            assert_eq!(answers[1].as_ref().unwrap().value, 3.0);
        }
    }
}

fn followed(pooler: &PgBouncer, channel: &str) -> (Followed, BoundTrigger) {
    let followed = Followed::new();
    let bound = followed.follow(&followed.spec(pooler.address(), channel));
    (followed, bound)
}

#[test]
fn a_pooler_that_lends_sessions_by_transaction_is_told_by_what_is_not_heard_and_polling_goes_on() {
    let name = "a_pooler_that_lends_sessions_by_transaction_is_told_by_what_is_not_heard_and_polling_goes_on";
    let Some((server, pooler)) = pooler(name, Lends::Transactions, 4) else {
        return;
    };
    let channel = unique("deaf");
    let (followed, bound) = followed(&pooler, &channel);
    let trouble = until("the trouble to be noticed", || {
        bound.scaler.push_trouble(bound.handle)
    });
    assert!(trouble.contains("pooler"), "{trouble}");
    notify(server, &channel);
    assert!(followed.rest().is_empty());
    assert_eq!(followed.read(&bound), 1.0);
    // At the server itself nothing is wrong.
    let direct = followed.follow(&followed.spec(server.address(), &channel));
    assert_eq!(followed.first(server, &channel), direct.handle);
    assert_eq!(direct.scaler.push_trouble(direct.handle), None);
}

#[test]
fn a_pooler_that_lends_sessions_to_connections_passes_notifications_on() {
    let name = "a_pooler_that_lends_sessions_to_connections_passes_notifications_on";
    let Some((server, pooler)) = pooler(name, Lends::Sessions, 4) else {
        return;
    };
    let channel = unique("heard");
    let (followed, bound) = followed(&pooler, &channel);
    assert_eq!(followed.first(server, &channel), bound.handle);
    assert_eq!(bound.scaler.push_trouble(bound.handle), None);
}
