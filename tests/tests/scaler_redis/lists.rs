use std::fmt::Write as _;
use std::time::Instant;

use zeron_core::metric::UnknownKind;
use zeron_core::roles::ScalerRegistry;

use super::world::{
    TIMEOUT, ask, bind, calls, clients, evaluate, list, read, redis, registry, trigger, value, with,
};

#[test]
fn every_kind_of_key_is_counted_and_a_missing_one_is_zero() {
    let name = "every_kind_of_key_is_counted_and_a_missing_one_is_zero";
    let Some(redis) = redis(name) else { return };
    redis.feed(
        "RPUSH l a b c\nSADD s a b\nZADD z 1 a 2 b 3 c 4 d\nHSET h a 1\nSET t x\nXADD x * a b\n",
    );
    let counted = |key: &str| value(&list(redis.address(), key));
    assert_eq!(counted("l"), 3.0);
    assert_eq!(counted("s"), 2.0);
    assert_eq!(counted("z"), 4.0);
    assert_eq!(counted("h"), 1.0);
    assert_eq!(counted("missing"), 0.0);
    for (key, kind) in [("t", "string"), ("x", "stream")] {
        let error = read(&list(redis.address(), key)).unwrap_err();
        assert_eq!(error.kind, UnknownKind::Configuration);
        assert!(
            error.message.contains(&format!("{key} is of type {kind}")),
            "{}",
            error.message
        );
    }
}

#[test]
fn readings_carry_name_target_and_activation() {
    let Some(redis) = redis("readings_carry_name_target_and_activation") else {
        return;
    };
    redis.cli(&["RPUSH", "a.b", "1", "2", "3"]);
    let given = [("listLength", "7"), ("activationListLength", "3")];
    let spec = with(list(redis.address(), "a.b"), &given);
    let reading = read(&spec).unwrap();
    assert_eq!(reading.metric, "redis-a-b");
    assert_eq!((reading.value, reading.target), (3.0, 7.0));
    assert!(!reading.activity.is_active());
    redis.cli(&["RPUSH", "a.b", "4"]);
    assert!(read(&spec).unwrap().activity.is_active());
}

#[test]
fn a_key_made_anew_as_another_type_is_counted() {
    let Some(redis) = redis("a_key_made_anew_as_another_type_is_counted") else {
        return;
    };
    let trigger = bind(&list(redis.address(), "k"));
    let count = || ask(&trigger).unwrap().value;
    redis.cli(&["ZADD", "k", "1", "a", "2", "b"]);
    assert_eq!(count(), 2.0);
    redis.cli(&["DEL", "k"]);
    assert_eq!(count(), 0.0);
    redis.cli(&["HSET", "k", "a", "1"]);
    assert_eq!(count(), 1.0);
    redis.feed("DEL k\nSET k x\n");
    assert_eq!(ask(&trigger).unwrap_err().kind, UnknownKind::Configuration);
    redis.feed("DEL k\nRPUSH k a b c\n");
    assert_eq!(count(), 3.0);
}

#[test]
fn each_database_is_read_by_a_connection_of_its_own() {
    let Some(redis) = redis("each_database_is_read_by_a_connection_of_its_own") else {
        return;
    };
    redis.feed("RPUSH l a\nSELECT 3\nRPUSH l a b\n");
    let spec = list(redis.address(), "l");
    assert_eq!(value(&spec), 1.0);
    assert_eq!(value(&with(spec.clone(), &[("databaseIndex", "3")])), 2.0);
    let error = read(&with(spec, &[("databaseIndex", "99")])).unwrap_err();
    assert_eq!(error.kind, UnknownKind::Configuration, "{}", error.message);
}

#[test]
fn a_host_name_and_a_port_are_an_address() {
    let Some(redis) = redis("a_host_name_and_a_port_are_an_address") else {
        return;
    };
    redis.cli(&["RPUSH", "l", "a"]);
    let port = redis.address().port().to_string();
    let given = [
        ("host", "localhost"),
        ("port", port.as_str()),
        ("listName", "l"),
    ];
    assert_eq!(value(&trigger("redis", &given)), 1.0);
}

#[test]
fn ten_thousand_keys_are_one_command_each_on_one_connection() {
    let name = "ten_thousand_keys_are_one_command_each_on_one_connection";
    let Some(redis) = redis(name) else { return };
    let mut lines = String::new();
    for at in 0..10_000 {
        writeln!(lines, "RPUSH k{at} a b").unwrap();
    }
    redis.feed(&lines);
    let registry = registry();
    let specs = (0..10_000).map(|at| list(redis.address(), &format!("k{at}")));
    let bound: Vec<_> = specs.map(|it| registry.bind(&it).unwrap()).collect();
    let all: Vec<_> = bound.iter().collect();
    for _ in 0..2 {
        let (before, began) = (calls(&redis, "llen"), Instant::now());
        let answers = evaluate(&all);
        println!("10,000 keys: {:?}", began.elapsed());
        assert!(began.elapsed() < TIMEOUT, "{:?}", began.elapsed());
        assert!(
            answers
                .iter()
                .all(|it| it.as_ref().is_ok_and(|it| it.value == 2.0))
        );
        assert_eq!(calls(&redis, "llen") - before, 10_000);
    }
    assert_eq!(calls(&redis, "type"), 0);
    assert_eq!(clients(&redis), 1);
}

#[test]
fn equal_questions_are_asked_once_and_types_are_remembered() {
    let name = "equal_questions_are_asked_once_and_types_are_remembered";
    let Some(redis) = redis(name) else { return };
    redis.cli(&["SADD", "s", "a", "b"]);
    let registry = registry();
    let bound: Vec<_> = (0..1_000)
        .map(|_| registry.bind(&list(redis.address(), "s")).unwrap())
        .collect();
    let all: Vec<_> = bound.iter().collect();
    for _ in 0..3 {
        assert!(
            evaluate(&all)
                .iter()
                .all(|it| it.as_ref().unwrap().value == 2.0)
        );
    }
    assert_eq!(
        (
            calls(&redis, "llen"),
            calls(&redis, "type"),
            calls(&redis, "scard")
        ),
        (1, 1, 3)
    );
}

#[test]
fn a_bad_trigger_leaves_those_beside_it_alone() {
    let Some(redis) = redis("a_bad_trigger_leaves_those_beside_it_alone") else {
        return;
    };
    redis.feed("RPUSH l a b\nSET t x\nSADD s a\n");
    let registry = registry();
    let names = ["l", "t", "s", "missing"];
    let bound = names.map(|it| registry.bind(&list(redis.address(), it)).unwrap());
    let answers = evaluate(&bound.iter().collect::<Vec<_>>());
    assert_eq!(answers[0].as_ref().unwrap().value, 2.0);
    assert_eq!(
        answers[1].as_ref().unwrap_err().kind,
        UnknownKind::Configuration
    );
    assert_eq!(answers[2].as_ref().unwrap().value, 1.0);
    assert_eq!(answers[3].as_ref().unwrap().value, 0.0);
}
