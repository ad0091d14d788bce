use zeron_core::metric::UnknownKind;
use zeron_core::roles::ScalerRegistry;
use zeron_tests::servers::rabbitmq::RabbitMq;

use super::consumer::Consumer;
use super::triggers::{
    evaluate, http, is, known, new_queue, registry, shared, trigger, unique, unknown, until,
};

/// The parameters of a mode.
fn mode<'a>(mode: &'a str, activation: &'a str) -> [(&'a str, &'a str); 3] {
    [
        ("mode", mode),
        ("value", "5"),
        ("activationValue", activation),
    ]
}

/// Waits until the server's statistics say so, which are collected in intervals.
fn until_length(rabbit: &RabbitMq, queue: &str, parameters: &[(&str, &str)], length: f64) {
    let spec = trigger(&http(rabbit, ""), queue, parameters);
    let bound = registry().bind(&spec).unwrap();
    until(&format!("{length} messages"), &bound, is(length)).unwrap();
}

#[test]
fn unacknowledged_messages_count_unless_they_are_excluded() {
    let name = "unacknowledged_messages_count_unless_they_are_excluded";
    let Some(rabbit) = shared(name) else { return };
    let queue = new_queue(rabbit);
    rabbit.publish("%2F", &queue, 3);
    let held = Consumer::hold_one(rabbit, &queue);
    let ready = [("excludeUnacknowledged", "true")];
    until_length(rabbit, &queue, &ready, 2.0);
    until_length(rabbit, &queue, &[], 3.0);
    drop(held);
    until_length(rabbit, &queue, &ready, 3.0);
}

#[test]
fn rates_are_those_of_the_server() {
    let Some(rabbit) = shared("rates_are_those_of_the_server") else {
        return;
    };
    let queue = new_queue(rabbit);
    let registry = registry();
    let bind = |parameters: &[(&str, &str)]| {
        registry
            .bind(&trigger(&http(rabbit, ""), &queue, parameters))
            .unwrap()
    };
    let published = bind(&mode("MessageRate", "0"));
    let delivered = bind(&mode("DeliverGetRate", "0"));
    let ratio = bind(&mode("PublishedToDeliveredRatio", "3"));
    let time = bind(&mode("ExpectedQueueConsumptionTime", "3"));
    // Nobody consumes: the threshold, and active.
    let all = [&published, &delivered, &ratio, &time];
    zeron_tests::until("messages to be published, and none delivered", || {
        rabbit.publish("%2F", &queue, 2);
        let answers: Vec<_> = evaluate(&all).into_iter().collect::<Result<_, _>>().ok()?;
        let values: Vec<_> = answers.iter().map(|it| it.value).collect();
        let is_active = answers.iter().all(|it| it.activity.is_active());
        (values[0] > 0.0 && values[1] == 0.0 && is_active).then(|| {
            assert_eq!(values[2..], [3.0, 3.0]);
        })
    });
    zeron_tests::until("messages to be published and delivered", || {
        rabbit.publish("%2F", &queue, 2);
        rabbit.take("%2F", &queue, 1);
        let answers: Vec<_> = evaluate(&all).into_iter().collect::<Result<_, _>>().ok()?;
        let values: Vec<_> = answers.iter().map(|it| it.value).collect();
        (values[0] > 0.0 && values[1] > 0.0 && values[2] > 0.0 && values[3] > 0.0).then_some(())
    });
}

#[test]
fn queues_of_an_expression_count_together() {
    let Some(rabbit) = shared("queues_of_an_expression_count_together") else {
        return;
    };
    let vhost = unique("together");
    rabbit.make_vhost(&vhost);
    for (queue, count) in [("jobs-a", 1), ("jobs-b", 4), ("jobs-c", 0), ("other", 9)] {
        rabbit.declare(&vhost, queue);
        rabbit.publish(&vhost, queue, count);
    }
    let host = http(rabbit, &vhost);
    let with = |operation| [("useRegex", "true"), ("operation", operation)];
    let bound = registry()
        .bind(&trigger(&host, "^jobs-.$", &with("sum")))
        .unwrap();
    until("five messages", &bound, is(5.0)).unwrap();
    let (average, is_active) = known(&trigger(&host, "^jobs-.$", &with("avg")));
    assert!((average - 5.0 / 3.0).abs() < 1e-9 && is_active, "{average}");
    assert_eq!(
        known(&trigger(&host, "^jobs-.$", &with("max"))),
        (4.0, true)
    );
    // None is zero, as in KEDA.
    assert_eq!(
        known(&trigger(&host, "^nothing$", &with("sum"))),
        (0.0, false)
    );

    let small = [("useRegex", "true"), ("pageSize", "2")];
    let more = unknown(&trigger(&host, "^jobs-.$", &small));
    assert_eq!(more.kind, UnknownKind::Configuration);
    assert!(more.message.contains("3 queues"), "{}", more.message);
    let wrong = unknown(&trigger(&host, "(", &with("sum")));
    assert_eq!(wrong.kind, UnknownKind::Configuration, "{}", wrong.message);
}

#[test]
fn virtual_hosts_and_queues_are_found_or_missing() {
    let name = "virtual_hosts_and_queues_are_found_or_missing";
    let Some(rabbit) = shared(name) else { return };
    let vhost = unique("v%2Fw");
    rabbit.make_vhost(&vhost);
    rabbit.declare(&vhost, "a%20b%2Fc");
    rabbit.publish(&vhost, "a b/c", 2);
    let bound = registry()
        .bind(&trigger(&http(rabbit, &vhost), "a b/c", &[]))
        .unwrap();
    until("two messages", &bound, is(2.0)).unwrap();
    let decoded = vhost.replace("%2F", "/");
    let named = [("vhostName", decoded.as_str())];
    assert_eq!(
        known(&trigger(&http(rabbit, "ignored"), "a b/c", &named)).0,
        2.0
    );

    let no_queue = unknown(&trigger(&http(rabbit, &vhost), "nothing", &[]));
    assert_eq!(no_queue.kind, UnknownKind::Missing, "{}", no_queue.message);
    assert!(
        no_queue.message.contains("\"nothing\""),
        "{}",
        no_queue.message
    );
    let no_vhost = unknown(&trigger(&http(rabbit, "nowhere"), "nothing", &[]));
    assert_eq!(no_vhost.kind, UnknownKind::Missing, "{}", no_vhost.message);
}

#[test]
fn many_queues_are_read_by_a_listing_and_missing_ones_are_missing() {
    let name = "many_queues_are_read_by_a_listing_and_missing_ones_are_missing";
    let Some(rabbit) = shared(name) else { return };
    let vhost = unique("many");
    rabbit.make_vhost(&vhost);
    let names: Vec<_> = (0..40).map(|number| format!("q{number:02}")).collect();
    for name in names.iter().filter(|name| *name != "q13") {
        rabbit.declare(&vhost, name);
    }
    rabbit.publish(&vhost, "q07", 3);
    let registry = registry();
    let host = http(rabbit, &vhost);
    let bound: Vec<_> = names
        .iter()
        .map(|name| registry.bind(&trigger(&host, name, &[])).unwrap())
        .collect();
    let all: Vec<_> = bound.iter().collect();
    until("the statistics", &bound[7], is(3.0)).unwrap();
    // Each queue has its own time to tell its own.
    zeron_tests::until("all statistics", || {
        let known = evaluate(&all).iter().filter(|it| it.is_ok()).count();
        (known == 39).then_some(())
    });
    for (name, answer) in names.iter().zip(evaluate(&all)) {
        match name.as_str() {
            "q13" => assert_eq!(answer.unwrap_err().kind, UnknownKind::Missing),
            "q07" => assert_eq!(answer.unwrap().value, 3.0),
            _ => assert_eq!(answer.unwrap().value, 0.0, "{name}"),
        }
    }
}
