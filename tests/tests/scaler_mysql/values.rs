use zeron_core::metric::UnknownKind;
use zeron_tests::servers::mariadb::{DATABASE, PASSWORD, USER};
use zeron_tests::servers::triggers::{Sources, TIMEOUT};

use super::world::{by_fields, by_string, connections, own, pending, shared, table, unique, with};

#[test]
fn every_kind_of_number_is_read() {
    let Some(server) = shared("every_kind_of_number_is_read") else {
        return;
    };
    let sources = Sources::default();
    for (expression, expected) in [
        ("7", 7.0),
        ("cast(7 AS unsigned)", 7.0),
        ("7000000000", 7e9),
        ("0.1", 0.1),
        ("cast(1.5 AS double)", 1.5),
        ("cast(1.5 AS float)", 1.5),
        ("cast(123456.789 AS decimal(20, 6))", 123_456.789),
        ("0", 0.0),
        ("' 12.5 '", 12.5),
        ("true", 1.0),
        ("count(*) FROM seq_1_to_4", 4.0),
        ("sum(seq) FROM seq_1_to_4", 10.0),
        ("avg(seq) FROM seq_1_to_4", 2.5),
        ("coalesce(sum(seq), 0) FROM seq_1_to_4 WHERE seq > 9", 0.0),
        // The first row counts.
        ("seq FROM seq_3_to_1000", 3.0),
    ] {
        let query = format!("SELECT {expression}");
        let reading = sources.read_once(&by_fields(server.address(), &query));
        let reading = reading.unwrap_or_else(|error| panic!("{query}: {error:?}"));
        assert_eq!(reading.value, expected, "{query}");
        assert_eq!(reading.target, 5.0);
        assert_eq!(reading.metric, "mysql-jobs");
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
        ("SELECT NULL", "NULL"),
        ("SELECT sum(seq) FROM seq_1_to_4 WHERE seq > 9", "NULL"),
        ("SELECT 1 FROM seq_1_to_4 WHERE seq > 9", "no row"),
        ("SELECT 1, 2", "2 columns"),
        ("SELECT now()", "time"),
        ("SELECT 'seven'", "no number"),
        ("SELECT 'nan'", "NaN"),
        ("SELECT -1", "-1"),
        // Division by zero.
        ("SELECT 1 / 0", "NULL"),
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
    let trigger = sources.bind(&with(trigger, "activationQueryValue", "4"));
    let read = || sources.read(&trigger).unwrap();
    assert_eq!(read().value, 12.0);
    server.ask(&format!("UPDATE {table} SET state = 'done' WHERE id <= 8"));
    assert_eq!(read().value, 4.0);
    assert!(!read().activity.is_active());
    server.ask(&format!("INSERT INTO {table} () VALUES ()"));
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
    let table = table(server, 3);
    // Rights do not suffice: the session reads alone.
    let writer = unique("writer");
    server.ask(&format!(
        "CREATE USER {writer}@'%' IDENTIFIED BY '{PASSWORD}'; GRANT ALL ON {DATABASE}.* TO {writer}@'%'"
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
            "SELECT count(*) FROM mysql.user".to_owned(),
            UnknownKind::Authentication,
        ),
        (format!("DELETE FROM {table}"), UnknownKind::Configuration),
        (
            format!("SELECT 1; DELETE FROM {table}"),
            UnknownKind::Configuration,
        ),
        ("SELECT ?".to_owned(), UnknownKind::Configuration),
    ];
    let sources = Sources::default();
    let bind = |query: &str| {
        sources.bind(&with(
            by_fields(server.address(), query),
            "username",
            &writer,
        ))
    };
    let good = bind(&pending(&table));
    for (query, kind) in failing {
        let bad = bind(&query);
        for _ in 0..2 {
            let answers = sources.evaluate(&[&bad, &good, &bad], TIMEOUT);
            let error = answers[0].as_ref().unwrap_err();
            assert_eq!(error.kind, kind, "{query}: {}", error.message);
            assert_eq!(answers[0], answers[2], "{query}");
            assert_eq!(answers[1].as_ref().unwrap().value, 3.0, "{query}");
        }
        bad.scaler.release(bad.handle);
    }
}

#[test]
fn fifty_triggers_share_one_connection() {
    let Some(server) = own("fifty_triggers_share_one_connection") else {
        return;
    };
    let table = table(&server, 2);
    let query = |index: usize| format!("{} AND id > {}", pending(&table), index % 10 * 100);
    let sources = Sources::default();
    let bound: Vec<_> = (0..50)
        .map(|index| sources.bind(&by_fields(server.address(), &query(index))))
        .collect();
    let triggers: Vec<_> = bound.iter().collect();
    for _ in 0..3 {
        for (index, answer) in sources.evaluate(&triggers, TIMEOUT).into_iter().enumerate() {
            let expected = if index % 10 == 0 { 2.0 } else { 0.0 };
            assert_eq!(answer.unwrap().value, expected, "{index}");
        }
    }
    assert_eq!(connections(&server), 1);
}

#[test]
fn connection_strings_of_go_are_understood() {
    let Some(server) = shared("connection_strings_of_go_are_understood") else {
        return;
    };
    let (port, socket) = (server.address().port(), server.socket());
    let sources = Sources::default();
    for connection in [
        format!("{USER}:{PASSWORD}@tcp(127.0.0.1:{port})/{DATABASE}"),
        format!(
            "{USER}:{PASSWORD}@tcp(localhost:{port})/{DATABASE}?parseTime=true&charset=utf8mb4"
        ),
        format!("{USER}:{PASSWORD}@unix({})/{DATABASE}", socket.display()),
        format!("{USER}:{PASSWORD}@tcp(127.0.0.1:{port})/{DATABASE}?sql_mode=%27ANSI%27"),
    ] {
        let reading = sources.read_once(&by_string(&connection, "SELECT 7", &[]));
        let reading = reading.unwrap_or_else(|error| panic!("{connection}: {error:?}"));
        assert_eq!(reading.value, 7.0, "{connection}");
        assert_eq!(reading.metric, "mysql-jobs");
    }
    let ansi = format!("{USER}:{PASSWORD}@tcp(127.0.0.1:{port})/{DATABASE}?sql_mode=%27ANSI%27");
    let query = "SELECT @@sql_mode LIKE '%ANSI%'";
    assert_eq!(
        sources
            .read_once(&by_string(&ansi, query, &[]))
            .unwrap()
            .value,
        1.0
    );
}
