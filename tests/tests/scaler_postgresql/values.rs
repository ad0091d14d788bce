use zeron_core::metric::UnknownKind;
use zeron_tests::servers::postgresql::{DATABASE, PASSWORD, USER};
use zeron_tests::servers::triggers::{Sources, TIMEOUT};

use super::world::{by_fields, by_string, pending, shared, table, unique, with};

#[test]
fn every_kind_of_number_is_read() {
    let Some(server) = shared("every_kind_of_number_is_read") else {
        return;
    };
    let sources = Sources::default();
    for (expression, expected) in [
        ("7::smallint", 7.0),
        ("7", 7.0),
        ("7000000000", 7e9),
        ("1.5::real", 1.5),
        ("0.1::double precision", 0.1),
        ("0.1::numeric", 0.1),
        ("123456789.123456789", 123_456_789.123_456_79),
        ("0", 0.0),
        ("0.0", 0.0),
        ("10000", 10_000.0),
        ("' 12.5 '::text", 12.5),
        ("'12.5'::varchar", 12.5),
        ("'12.5'", 12.5),
        ("7::oid", 7.0),
        ("count(*) FROM generate_series(1, 4)", 4.0),
        ("sum(n::bigint) FROM generate_series(1, 4) AS n", 10.0),
        ("avg(n) FROM generate_series(1, 4) AS n", 2.5),
        ("coalesce(sum(n), 0) FROM generate_series(1, 0) AS n", 0.0),
        ("7 -- and a comment", 7.0),
        // The first row counts.
        ("n FROM generate_series(3, 100000) AS n", 3.0),
    ] {
        let query = format!("SELECT {expression}");
        let reading = sources.read_once(&by_fields(server.address(), &query));
        let reading = reading.unwrap_or_else(|error| panic!("{query}: {error:?}"));
        assert_eq!(reading.value, expected, "{query}");
        assert_eq!(reading.target, 5.0);
        assert_eq!(reading.metric, "postgresql");
        assert_eq!(reading.activity.is_active(), expected > 0.0, "{query}");
    }
}

#[test]
fn what_is_no_amount_of_work_is_unknown_and_never_zero() {
    let Some(server) = shared("what_is_no_amount_of_work_is_unknown_and_never_zero") else {
        return;
    };
    let sources = Sources::default();
    for (query, says) in [
        ("SELECT NULL::int", "NULL"),
        ("SELECT sum(n) FROM generate_series(1, 0) AS n", "NULL"),
        ("SELECT 1 WHERE false", "no row"),
        ("SELECT 1, 2", "2 columns"),
        ("SELECT true", "bool"),
        ("SELECT now()", "timestamptz"),
        ("SELECT 'seven'", "no number"),
        ("SELECT 'NaN'::numeric", "NaN"),
        ("SELECT 'NaN'::float8", "NaN"),
        ("SELECT 'Infinity'::float8", "inf"),
        ("SELECT -1", "-1"),
        ("SELECT ARRAY[1]", "no number"),
    ] {
        let error = sources
            .read_once(&by_fields(server.address(), query))
            .unwrap_err();
        assert_eq!(error.kind, UnknownKind::Parse, "{query}: {}", error.message);
        assert!(error.message.contains(says), "{query}: {}", error.message);
        let server = format!("{}: ", server.address());
        assert!(error.message.starts_with(&server), "{}", error.message);
    }
}

#[test]
fn a_table_of_jobs_is_a_queue() {
    let Some(server) = shared("a_table_of_jobs_is_a_queue") else {
        return;
    };
    let sources = Sources::default();
    let table = table(server, 12);
    let trigger = by_fields(server.address(), &pending(&table));
    let trigger = sources.bind(&with(trigger, "activationTargetQueryValue", "4"));
    let read = || sources.read(&trigger).unwrap();
    assert_eq!(read().value, 12.0);
    server.ask(&format!("UPDATE {table} SET state = 'done' WHERE id <= 8"));
    assert_eq!(read().value, 4.0);
    assert!(!read().activity.is_active());
    server.ask(&format!("INSERT INTO {table} DEFAULT VALUES"));
    assert_eq!(read().value, 5.0);
    assert!(read().activity.is_active());
    server.ask(&format!("DELETE FROM {table}"));
    assert_eq!(read().value, 0.0);
}

#[test]
fn a_query_that_fails_says_why_and_fails_alone() {
    let Some(server) = shared("a_query_that_fails_says_why_and_fails_alone") else {
        return;
    };
    let (table, hidden) = (table(server, 3), unique("hidden"));
    server.ask(&format!(
        "CREATE TABLE {hidden} (n int); REVOKE ALL ON {hidden} FROM PUBLIC"
    ));
    let failing = [
        (
            "SELECT count(*) FROM nowhere".to_owned(),
            UnknownKind::Missing,
        ),
        (
            "SELECT count(* FROM x".to_owned(),
            UnknownKind::Configuration,
        ),
        (
            format!("SELECT nothing FROM {table}"),
            UnknownKind::Configuration,
        ),
        (
            format!("SELECT count(*) FROM {hidden}"),
            UnknownKind::Authentication,
        ),
        ("SELECT 1 / 0".to_owned(), UnknownKind::Parse),
        (
            format!("DELETE FROM {table} RETURNING 1"),
            UnknownKind::Configuration,
        ),
        (
            format!("SELECT 1; DELETE FROM {table}"),
            UnknownKind::Configuration,
        ),
        ("COMMIT; SELECT 1".to_owned(), UnknownKind::Configuration),
        (
            "SELECT set_config('transaction_read_only', 'off', true), pg_sleep(0)".to_owned(),
            UnknownKind::Configuration,
        ),
        ("SELECT $1::int".to_owned(), UnknownKind::Transport),
    ];
    let sources = Sources::default();
    let good = sources.bind(&by_fields(server.address(), &pending(&table)));
    for (query, kind) in failing {
        let bad = sources.bind(&by_fields(server.address(), &query));
        for _ in 0..2 {
            let answers = sources.evaluate(&[&bad, &good, &bad], TIMEOUT);
            let error = answers[0].as_ref().unwrap_err();
            // What the driver alone refuses has no code.
            assert!(
                error.kind == kind || kind == UnknownKind::Transport,
                "{query}: {error:?}"
            );
            assert_eq!(answers[0], answers[2], "{query}");
            assert_eq!(answers[1].as_ref().unwrap().value, 3.0, "{query}");
        }
        bad.scaler.release(bad.handle);
    }
}

#[test]
fn fifty_triggers_share_one_connection() {
    let Some(server) = shared("fifty_triggers_share_one_connection") else {
        return;
    };
    let name = unique("fifty");
    let address = server.address();
    let login =
        format!("postgresql://{USER}:{PASSWORD}@{address}/{DATABASE}?application_name={name}");
    let table = table(server, 2);
    let query = |index: usize| format!("{} AND id > {}", pending(&table), index % 10 * 100);
    let sources = Sources::default();
    let bound: Vec<_> = (0..50)
        .map(|index| sources.bind(&by_string(&login, &query(index), &[])))
        .collect();
    let triggers: Vec<_> = bound.iter().collect();
    for _ in 0..3 {
        for (index, answer) in sources.evaluate(&triggers, TIMEOUT).into_iter().enumerate() {
            let expected = if index % 10 == 0 { 2.0 } else { 0.0 };
            assert_eq!(answer.unwrap().value, expected, "{index}");
        }
    }
    let count = format!("SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}'");
    assert_eq!(server.ask(&count), "1");
}

#[test]
fn a_thousand_queries_are_read_within_the_time_of_a_poll() {
    let Some(server) = shared("a_thousand_queries_are_read_within_the_time_of_a_poll") else {
        return;
    };
    let table = table(server, 3);
    let sources = Sources::default();
    let bind = |index: u32| {
        let query = format!("{} AND id <> -{index}", pending(&table));
        sources.bind(&by_fields(server.address(), &query))
    };
    let bound: Vec<_> = (0..1_000).map(bind).collect();
    let triggers: Vec<_> = bound.iter().collect();
    sources.evaluate(&triggers, TIMEOUT);
    let began = std::time::Instant::now();
    let answers = sources.evaluate(&triggers, TIMEOUT);
    let took = began.elapsed();
    eprintln!("1,000 queries: {took:?}");
    assert!(answers.iter().all(|it| it.as_ref().unwrap().value == 3.0));
    // What an interval of six seconds gives, on a machine with much else to do.
    assert!(took < std::time::Duration::from_secs(3), "{took:?}");
}

#[test]
fn a_connection_string_is_understood_in_both_notations() {
    let Some(server) = shared("a_connection_string_is_understood_in_both_notations") else {
        return;
    };
    let port = server.address().port();
    let folder = server.socket_folder().display().to_string();
    let sources = Sources::default();
    for connection in [
        format!("postgresql://{USER}:{PASSWORD}@127.0.0.1:{port}/{DATABASE}?sslmode=disable"),
        format!("postgres://{USER}:{PASSWORD}@localhost:{port}/{DATABASE}"),
        format!("host=127.0.0.1 port={port} user={USER} password='{PASSWORD}' dbname={DATABASE}"),
        format!("host={folder} port={port} user={USER} dbname={DATABASE} sslmode=require"),
        // The first that answers will do.
        format!(
            "host=127.0.0.1,127.0.0.1 port=1,{port} user={USER} password={PASSWORD} dbname={DATABASE} \
             target_session_attrs=read-write"
        ),
        format!(
            "host=127.0.0.1 port={port} user={USER} password={PASSWORD} dbname={DATABASE} \
             options='-c search_path=pg_catalog' work_mem='2 MB' connect_timeout=5"
        ),
    ] {
        let reading = sources.read_once(&by_string(&connection, "SELECT 7", &[]));
        assert_eq!(reading.unwrap().value, 7.0, "{connection}");
    }
    let standby = format!(
        "host=127.0.0.1 port={port} user={USER} password={PASSWORD} dbname={DATABASE} target_session_attrs=standby"
    );
    let error = sources
        .read_once(&by_string(&standby, "SELECT 7", &[]))
        .unwrap_err();
    assert!(
        error.message.contains("target_session_attrs"),
        "{}",
        error.message
    );
}

#[test]
fn settings_of_a_connection_string_hold_for_the_session() {
    let Some(server) = shared("settings_of_a_connection_string_hold_for_the_session") else {
        return;
    };
    let schema = unique("schema");
    server.ask(&format!(
        "CREATE SCHEMA {schema}; GRANT USAGE ON SCHEMA {schema} TO PUBLIC; \
         CREATE TABLE {schema}.own (n int); INSERT INTO {schema}.own VALUES (4)"
    ));
    let address = server.address();
    let login =
        format!("postgresql://{USER}:{PASSWORD}@{address}/{DATABASE}?search_path={schema},public");
    let reading = Sources::default().read_once(&by_string(&login, "SELECT n FROM own", &[]));
    assert_eq!(reading.unwrap().value, 4.0);
}
