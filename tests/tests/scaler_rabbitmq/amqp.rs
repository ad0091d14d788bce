use zeron_core::metric::UnknownKind;
use zeron_core::roles::ScalerRegistry;

use super::consumer::Consumer;
use super::triggers::{
    amqp, evaluate, evaluate_one, fails, is, known, new_queue, registry, shared, trigger, unique,
    unknown, until,
};

#[test]
fn length_is_the_count_of_ready_messages() {
    let Some(rabbit) = shared("length_is_the_count_of_ready_messages") else {
        return;
    };
    let queue = new_queue(rabbit);
    let spec = trigger(&amqp(rabbit, ""), &queue, &[]);
    assert_eq!(known(&spec), (0.0, false));
    rabbit.publish("%2F", &queue, 3);
    assert_eq!(known(&spec), (3.0, true));
    let _held = Consumer::hold_one(rabbit, &queue);
    assert_eq!(known(&spec), (2.0, true));

    let activation = [
        ("mode", "QueueLength"),
        ("value", "5"),
        ("activationValue", "2"),
    ];
    let spec = trigger(&amqp(rabbit, "%2f"), &queue, &activation);
    let bound = registry().bind(&spec).unwrap();
    let reading = evaluate_one(&bound).unwrap();
    assert_eq!((reading.value, reading.target), (2.0, 5.0));
    assert!(!reading.activity.is_active());
    assert_eq!(reading.metric, format!("rabbitmq-{queue}"));
}

#[test]
fn queues_of_other_virtual_hosts_are_found_by_uri_and_by_name() {
    let name = "queues_of_other_virtual_hosts_are_found_by_uri_and_by_name";
    let Some(rabbit) = shared(name) else { return };
    let (queue, vhost) = (unique("a b%2Fc"), unique("v%2Fw"));
    rabbit.make_vhost(&vhost);
    let encoded = queue.replace(' ', "%20");
    rabbit.declare(&vhost, &encoded);
    let queue = queue.replace("%2F", "/");
    rabbit.publish(&vhost, &queue, 2);
    assert_eq!(known(&trigger(&amqp(rabbit, &vhost), &queue, &[])).0, 2.0);
    let vhost = vhost.replace("%2F", "/");
    let named = [("vhostName", vhost.as_str())];
    assert_eq!(known(&trigger(&amqp(rabbit, ""), &queue, &named)).0, 2.0);
    let elsewhere = unknown(&trigger(&amqp(rabbit, ""), &queue, &[]));
    assert_eq!(
        elsewhere.kind,
        UnknownKind::Missing,
        "{}",
        elsewhere.message
    );
}

#[test]
fn missing_queues_among_hundreds_are_missing_alone_on_one_connection() {
    let name = "missing_queues_among_hundreds_are_missing_alone_on_one_connection";
    let Some(rabbit) = shared(name) else { return };
    let vhost = unique("hundreds");
    rabbit.make_vhost(&vhost);
    let names: Vec<_> = (0..300).map(|number| format!("q{number:03}")).collect();
    let is_missing = |name: &str| name.ends_with("7");
    let queues: Vec<_> = names
        .iter()
        .filter(|name| !is_missing(name))
        .map(|name| {
            format!(
                r#"{{"name":"{name}","vhost":"{vhost}","durable":true,"auto_delete":false,"arguments":{{}}}}"#
            )
        })
        .collect();
    rabbit.must(
        "POST",
        "definitions",
        &format!(r#"{{"queues":[{}]}}"#, queues.join(",")),
    );
    rabbit.publish(&vhost, "q010", 4);
    let registry = registry();
    let host = amqp(rabbit, &vhost);
    let bound: Vec<_> = names
        .iter()
        .map(|name| registry.bind(&trigger(&host, name, &[])).unwrap())
        .collect();
    let all: Vec<_> = bound.iter().collect();
    // The second time those that were missing are asked for alone.
    for _ in 0..2 {
        for (name, answer) in names.iter().zip(evaluate(&all)) {
            match answer {
                Ok(reading) => {
                    assert!(!is_missing(name), "{name}");
                    assert_eq!(
                        reading.value,
                        if name == "q010" { 4.0 } else { 0.0 },
                        "{name}"
                    );
                }
                Err(error) => {
                    assert!(is_missing(name), "{name}: {}", error.message);
                    assert_eq!(error.kind, UnknownKind::Missing, "{}", error.message);
                    assert!(error.message.contains(name.as_str()), "{}", error.message);
                }
            }
        }
    }
    // The server's statistics follow a moment later.
    let open = zeron_tests::until("the connection to be counted", || {
        let columns = "?columns=name,channels,user_provided_name,vhost";
        let listed = rabbit.must("GET", &format!("vhosts/{vhost}/connections{columns}"), "");
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let listed = listed.as_array().unwrap().clone();
        (!listed.is_empty() && listed[0]["channels"].is_u64()).then_some(listed)
    });
    assert_eq!(open.len(), 1, "{open:?}");
    assert!(open[0]["channels"].as_u64().unwrap() <= 8, "{open:?}");
    drop(bound);
    drop(registry);
    zeron_tests::until("the connection to be closed with its last trigger", || {
        let listed = rabbit.must("GET", &format!("vhosts/{vhost}/connections"), "");
        (listed == "[]").then_some(())
    });
}

#[test]
fn queue_deleted_is_missing_and_made_again_is_known() {
    let Some(rabbit) = shared("queue_deleted_is_missing_and_made_again_is_known") else {
        return;
    };
    let (queue, other) = (new_queue(rabbit), new_queue(rabbit));
    rabbit.publish("%2F", &other, 1);
    let registry = registry();
    let bind = |queue: &str| {
        registry
            .bind(&trigger(&amqp(rabbit, ""), queue, &[]))
            .unwrap()
    };
    let (bound, beside) = (bind(&queue), bind(&other));
    assert_eq!(bound.source, beside.source);
    for _ in 0..2 {
        until("the queue to be known", &bound, is(0.0)).unwrap();
        rabbit.delete("%2F", &queue);
        for _ in 0..2 {
            let answers = evaluate(&[&bound, &beside]);
            assert!(fails(UnknownKind::Missing)(&answers[0]), "{answers:?}");
            assert!(is(1.0)(&answers[1]), "{answers:?}");
        }
        rabbit.declare("%2F", &queue);
    }
}
