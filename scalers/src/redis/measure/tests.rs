use redis::parse_redis_value;

use super::*;

fn elements() -> Measure {
    Measure::Elements {
        key: "jobs".to_owned(),
    }
}

fn lag() -> Measure {
    Measure::Lag {
        stream: "orders".to_owned(),
        group: "billing".to_owned(),
    }
}

fn pending() -> Measure {
    Measure::Pending {
        stream: "orders".to_owned(),
        group: "billing".to_owned(),
    }
}

/// As it comes from a server.
fn answer(bytes: &str) -> Value {
    parse_redis_value(bytes.replace('\n', "\r\n").as_bytes()).unwrap()
}

fn text(text: &str) -> Value {
    Value::BulkString(text.as_bytes().to_vec())
}

fn group(name: &str, more: Vec<Value>) -> Value {
    let mut parts = vec![text("name"), text(name), text("consumers"), Value::Int(0)];
    parts.extend(more);
    Value::Array(parts)
}

#[test]
fn a_length_is_the_answer_whatever_the_key_is() {
    for kind in [Kind::List, Kind::SortedSet, Kind::Set, Kind::Hash] {
        for command in [Command::Guess(kind), Command::Length(kind)] {
            assert_eq!(
                elements().next(command, &answer(":7\n")),
                Some(Step::Done(Ok(7)))
            );
        }
    }
}

#[test]
fn a_wrong_guess_asks_for_the_type_and_then_by_it() {
    let wrong = answer("-WRONGTYPE Operation against a key holding the wrong kind of value\n");
    let guess = Command::Guess(Kind::List);
    assert_eq!(
        elements().next(guess, &wrong),
        Some(Step::Ask(Command::Type))
    );
    for (name, kind) in [
        ("list", Kind::List),
        ("zset", Kind::SortedSet),
        ("set", Kind::Set),
        ("hash", Kind::Hash),
    ] {
        let found = elements().next(Command::Type, &answer(&format!("+{name}\n")));
        assert_eq!(found, Some(Step::Ask(Command::Length(kind))));
    }
    // It changed in between.
    let raced = elements().next(Command::Length(Kind::Set), &wrong);
    assert_eq!(raced, Some(Step::Ask(Command::Type)));
}

#[test]
fn a_user_that_may_not_ask_lists_may_still_ask_sets() {
    let refused = answer("-NOPERM this user has no permissions to run the 'llen' command\n");
    let guessed = elements().next(Command::Guess(Kind::List), &refused);
    assert_eq!(guessed, Some(Step::Ask(Command::Type)));
    // Known to be one, that is the end of it.
    assert_eq!(elements().next(Command::Length(Kind::List), &refused), None);
}

#[test]
fn a_missing_key_is_zero_and_another_type_an_error() {
    assert_eq!(
        elements().next(Command::Type, &answer("+none\n")),
        Some(Step::Done(Ok(0)))
    );
    let Some(Step::Done(Err(failure))) = elements().next(Command::Type, &answer("+string\n"))
    else {
        panic!("a string has no elements");
    };
    assert_eq!(failure.kind(), UnknownKind::Configuration);
    assert_eq!(
        failure.to_string(),
        "jobs is of type string, which does not fit the trigger"
    );
}

#[test]
fn answers_that_are_no_count_are_errors() {
    for wrong in [
        ":-1\n", "$1\n7\n", "+OK\n", "*0\n", "$-1\n", ",nan\n", ",inf\n",
    ] {
        let step = elements().next(Command::Guess(Kind::List), &answer(wrong));
        let Some(Step::Done(Err(failure))) = step else {
            panic!("{wrong:?}: {step:?}");
        };
        assert_eq!(failure.kind(), UnknownKind::Parse, "{wrong:?}");
    }
}

#[test]
fn what_is_not_about_the_key_is_left_to_others() {
    for refusal in [
        "-LOADING Redis is loading\n",
        "-NOAUTH Authentication required.\n",
    ] {
        assert_eq!(
            elements().next(Command::Guess(Kind::List), &answer(refusal)),
            None
        );
        assert_eq!(lag().next(Command::Groups, &answer(refusal)), None);
    }
}

#[test]
fn pending_is_the_first_number_and_a_missing_group_is_missing() {
    let none = answer("*4\n:0\n$-1\n$-1\n*-1\n");
    assert_eq!(
        pending().next(Command::Pending, &none),
        Some(Step::Done(Ok(0)))
    );
    let some = answer("*4\n:3\n$3\n1-0\n$3\n3-0\n*0\n");
    assert_eq!(
        pending().next(Command::Pending, &some),
        Some(Step::Done(Ok(3)))
    );
    let missing = answer("-NOGROUP No such key 'orders' or consumer group 'billing'\n");
    let Some(Step::Done(Err(failure))) = pending().next(Command::Pending, &missing) else {
        panic!("there is no group");
    };
    assert_eq!(failure.kind(), UnknownKind::Missing);
}

#[test]
fn lag_is_that_of_the_group_and_falls_back_to_the_length_without_it() {
    let groups = |lag| {
        Value::Array(vec![
            group("audit", vec![text("lag"), Value::Int(9)]),
            group("billing", lag),
        ])
    };
    let known = groups(vec![text("lag"), Value::Int(4)]);
    assert_eq!(lag().next(Command::Groups, &known), Some(Step::Done(Ok(4))));

    let others = Value::Array(vec![group("audit", vec![text("lag"), Value::Int(9)])]);
    assert_eq!(
        lag().next(Command::Groups, &others),
        Some(Step::Ask(Command::StreamLength))
    );
    assert_eq!(
        lag().next(Command::Groups, &Value::Array(Vec::new())),
        Some(Step::Ask(Command::StreamLength))
    );

    let no_stream = answer("-ERR no such key\n");
    assert_eq!(
        lag().next(Command::Groups, &no_stream),
        Some(Step::Done(Ok(0)))
    );
}

#[test]
fn a_lag_that_redis_cannot_tell_is_unknown_and_never_zero() {
    let of = |more| lag().next(Command::Groups, &Value::Array(vec![group("billing", more)]));
    let Some(Step::Done(Err(nil))) = of(vec![text("lag"), Value::Nil]) else {
        panic!("nil is no number");
    };
    assert_eq!(nil.kind(), UnknownKind::Parse);
    assert!(nil.to_string().contains("cannot tell the lag"), "{nil}");
    let Some(Step::Done(Err(old))) = of(Vec::new()) else {
        panic!("there is no lag");
    };
    assert_eq!(old, Failure::LagUnsupported);
    let Some(Step::Done(Err(negative))) = of(vec![text("lag"), Value::Int(-1)]) else {
        panic!("a lag is not negative");
    };
    assert_eq!(negative.kind(), UnknownKind::Parse);
}

#[test]
fn commands_name_the_key_and_the_group() {
    let packed = |measure: &Measure, command| {
        let bytes = measure.request(command).get_packed_command();
        let text = String::from_utf8(bytes).unwrap();
        let words = text.split("\r\n").skip(2).step_by(2);
        words.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(packed(&elements(), Command::Guess(Kind::List)), "LLEN jobs");
    assert_eq!(
        packed(&elements(), Command::Length(Kind::SortedSet)),
        "ZCARD jobs"
    );
    assert_eq!(packed(&elements(), Command::Type), "TYPE jobs");
    assert_eq!(packed(&lag(), Command::Groups), "XINFO GROUPS orders");
    assert_eq!(packed(&lag(), Command::StreamLength), "XLEN orders");
    assert_eq!(
        packed(&pending(), Command::Pending),
        "XPENDING orders billing"
    );
}
