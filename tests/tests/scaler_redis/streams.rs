use zeron_core::metric::UnknownKind;
use zeron_core::roles::ScalerRegistry;

use super::world::{evaluate, read, redis, registry, stream, value};

const GROUP: (&str, &str) = ("consumerGroup", "g");
const LAG: (&str, &str) = ("lagCount", "4");

#[test]
fn without_a_group_the_length_counts() {
    let Some(redis) = redis("without_a_group_the_length_counts") else {
        return;
    };
    let spec = stream(
        redis.address(),
        "s",
        &[("streamLength", "3"), ("activationLagCount", "2")],
    );
    assert_eq!(
        value(&spec),
        0.0,
        "a stream that does not exist has no entries"
    );
    redis.feed("XADD s * a 1\nXADD s * a 2\n");
    let reading = read(&spec).unwrap();
    assert_eq!((reading.value, reading.target), (2.0, 3.0));
    assert_eq!(reading.metric, "redis-streams-s");
    assert!(!reading.activity.is_active());
    redis.feed("XADD s * a 3\n");
    assert!(read(&spec).unwrap().activity.is_active());
}

#[test]
fn pending_entries_are_those_delivered_and_not_acknowledged() {
    let name = "pending_entries_are_those_delivered_and_not_acknowledged";
    let Some(redis) = redis(name) else { return };
    let spec = stream(redis.address(), "s", &[GROUP]);
    assert_eq!(
        read(&spec).unwrap_err().kind,
        UnknownKind::Missing,
        "no stream"
    );
    redis.feed("XADD s 1-0 a 1\nXADD s 2-0 a 2\nXADD s 3-0 a 3\n");
    assert_eq!(
        read(&spec).unwrap_err().kind,
        UnknownKind::Missing,
        "no group"
    );
    redis.feed("XGROUP CREATE s g 0\n");
    assert_eq!(value(&spec), 0.0);
    redis.feed("XREADGROUP GROUP g me COUNT 2 STREAMS s >\n");
    assert_eq!(value(&spec), 2.0);
    redis.feed("XACK s g 1-0\n");
    assert_eq!(value(&spec), 1.0);
}

#[test]
fn lag_is_what_the_group_did_not_get_yet() {
    let Some(redis) = redis("lag_is_what_the_group_did_not_get_yet") else {
        return;
    };
    let spec = stream(redis.address(), "s", &[GROUP, LAG]);
    assert_eq!(value(&spec), 0.0, "a stream that does not exist has no lag");
    redis.feed("XADD s 1-0 a 1\nXADD s 2-0 a 2\nXADD s 3-0 a 3\n");
    assert_eq!(
        value(&spec),
        3.0,
        "a group that does not exist has read nothing"
    );
    redis.feed("XGROUP CREATE s others 0\n");
    assert_eq!(value(&spec), 3.0);
    redis.feed("XGROUP CREATE s g 0\nXREADGROUP GROUP g me COUNT 2 STREAMS s >\n");
    let reading = read(&spec).unwrap();
    assert_eq!((reading.value, reading.target), (1.0, 4.0));
    redis.feed("XREADGROUP GROUP g me COUNT 2 STREAMS s >\n");
    assert_eq!(value(&spec), 0.0);
}

#[test]
fn a_lag_that_redis_cannot_tell_is_unknown() {
    let Some(redis) = redis("a_lag_that_redis_cannot_tell_is_unknown") else {
        return;
    };
    let spec = stream(redis.address(), "s", &[GROUP, LAG]);
    redis.feed("XADD s 1-0 a 1\nXADD s 2-0 a 2\nXADD s 3-0 a 3\nXGROUP CREATE s g 2-0\n");
    let error = read(&spec).unwrap_err();
    assert_eq!(error.kind, UnknownKind::Parse, "{}", error.message);
    assert!(
        error
            .message
            .contains("cannot tell the lag of group g of stream s")
    );
    redis.feed("XGROUP SETID s g 2-0 ENTRIESREAD 2\n");
    assert_eq!(value(&spec), 1.0);

    // Deleted before it was read: nobody counts such holes.
    redis.feed("XADD s 4-0 a 4\nXADD s 5-0 a 5\nXDEL s 4-0\n");
    assert_eq!(read(&spec).unwrap_err().kind, UnknownKind::Parse);
    redis.feed("XREADGROUP GROUP g me STREAMS s >\n");
    assert_eq!(value(&spec), 0.0);
}

#[test]
fn all_forms_are_one_evaluation_and_a_key_of_another_type_fails_alone() {
    let name = "all_forms_are_one_evaluation_and_a_key_of_another_type_fails_alone";
    let Some(redis) = redis(name) else { return };
    redis.feed("XADD s 1-0 a 1\nXADD s 2-0 a 2\nXGROUP CREATE s g 0\nXREADGROUP GROUP g me COUNT 1 STREAMS s >\nRPUSH l a\n");
    let registry = registry();
    let at = redis.address();
    let specs = [
        stream(at, "s", &[]),
        stream(at, "s", &[GROUP]),
        stream(at, "s", &[GROUP, LAG]),
        stream(at, "l", &[]),
        stream(at, "l", &[GROUP]),
        stream(at, "l", &[GROUP, LAG]),
    ];
    let bound: Vec<_> = specs.iter().map(|it| registry.bind(it).unwrap()).collect();
    let answers = evaluate(&bound.iter().collect::<Vec<_>>());
    let values: Vec<_> = answers[..3]
        .iter()
        .map(|it| it.as_ref().unwrap().value)
        .collect();
    assert_eq!(values, [2.0, 1.0, 1.0]);
    for answer in &answers[3..] {
        assert_eq!(
            answer.as_ref().unwrap_err().kind,
            UnknownKind::Configuration,
            "{answer:?}"
        );
    }
}

#[test]
fn a_stream_deleted_and_made_anew_is_read_as_it_is() {
    let Some(redis) = redis("a_stream_deleted_and_made_anew_is_read_as_it_is") else {
        return;
    };
    redis.feed("XADD s 5-0 a 1\nXADD s 6-0 a 2\nXGROUP CREATE s g 0\n");
    let spec = stream(redis.address(), "s", &[GROUP, LAG]);
    assert_eq!(value(&spec), 2.0);
    redis.feed("DEL s\n");
    assert_eq!(value(&spec), 0.0);
    redis.feed("XADD s 1-0 a 1\n");
    assert_eq!(value(&spec), 1.0);
}
