//! What goes over the wire: few requests for many groups, old brokers, brokers that change, liars.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Instant;

use zeron_core::metric::UnknownKind;
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::{BoundTrigger, ScalerRegistry};
use zeron_scalers::{AddressPolicy, Registry};
use zeron_tests::broker::{PASSWORD, USER};

use super::cluster::{
    commit, create, delete, evaluate, kafka, lag, own, produce, read, shared, topic, unique,
    with_auth,
};
use super::proxy::{
    API_VERSIONS, Changes, FIND_COORDINATOR, LIST_OFFSETS, METADATA, OFFSET_FETCH, Proxy,
    SASL_AUTHENTICATE, of,
};

fn bind_all(triggers: &[TriggerSpec]) -> Vec<BoundTrigger> {
    let registry = Registry::builtin(AddressPolicy::MACHINE);
    let bound = triggers
        .iter()
        .map(|trigger| registry.bind(trigger).unwrap());
    bound.collect()
}

#[test]
fn three_hundred_groups_are_read_by_two_requests_over_one_connection() {
    let name = "three_hundred_groups_are_read_by_two_requests_over_one_connection";
    let Some(broker) = shared(name) else { return };
    let topic = topic(&broker.address(), 10);
    produce(&broker.address(), &topic, 3, 50);
    let proxy = Proxy::start(broker.ports().plaintext, Changes::default());
    let address = proxy.address.to_string();
    let groups: Vec<_> = (0..300).map(|_| unique("group")).collect();
    commit(&broker.address(), &groups[5], &topic, 3, 8);
    let trigger = |group: &String| {
        kafka(
            &address,
            group,
            &[("topic", &topic), ("lagThreshold", "100")],
        )
    };
    // The last trigger wants what the first does.
    let triggers: Vec<_> = groups.iter().chain(&groups[..1]).map(trigger).collect();
    let bound = bind_all(&triggers);
    let bound: Vec<_> = bound.iter().collect();

    let answers = evaluate(&bound);
    for (index, answer) in answers.into_iter().enumerate() {
        // Of ten partitions without commit each counts one; one has 42 records left.
        let expected = if index == 5 { 51.0 } else { 10.0 };
        assert_eq!(answer.unwrap().value, expected, "group {index}");
    }
    let first = proxy.take();
    for kind in [
        API_VERSIONS,
        METADATA,
        FIND_COORDINATOR,
        OFFSET_FETCH,
        LIST_OFFSETS,
    ] {
        assert!((1..=2).contains(&of(&first, kind)), "{first:?}");
    }
    assert!(evaluate(&bound).iter().all(Result::is_ok));
    let next = proxy.take();
    assert_eq!(next.values().sum::<usize>(), 2, "{next:?}");
    assert!(proxy.connections() <= 2, "{}", proxy.connections());
}

/// Versions of OffsetFetch, FindCoordinator, Metadata, ListOffsets and SaslAuthenticate of brokers through the years.
const OLD: [[i16; 5]; 4] = [
    [8, 4, 9, 7, 2],
    [7, 3, 8, 5, 1],
    [4, 2, 5, 3, 0],
    [2, 0, 2, 1, 0],
];

#[test]
fn brokers_of_every_age_are_understood() {
    let Some(broker) = shared("brokers_of_every_age_are_understood") else {
        return;
    };
    let topic = topic(&broker.address(), 2);
    produce(&broker.address(), &topic, 0, 7);
    let groups: Vec<_> = (0..20).map(|_| unique("group")).collect();
    for group in &groups {
        commit(&broker.address(), group, &topic, 0, 3);
    }
    let auth = [
        ("sasl", "scram_sha256"),
        ("username", USER),
        ("password", PASSWORD),
    ];
    for versions in OLD {
        let kinds = [
            OFFSET_FETCH,
            FIND_COORDINATOR,
            METADATA,
            LIST_OFFSETS,
            SASL_AUTHENTICATE,
        ];
        let changes = Changes {
            caps: kinds.into_iter().zip(versions).collect(),
            ..Changes::default()
        };
        let proxy = Proxy::start(broker.ports().sasl, changes);
        let address = proxy.address.to_string();
        let named = groups
            .iter()
            .map(|group| kafka(&address, group, &[("topic", &topic)]));
        let all = kafka(&address, &groups[0], &[]);
        let missing = kafka(&address, &groups[1], &[("topic", "no-such-topic")]);
        let triggers = named.chain([all, missing]).map(|it| with_auth(it, &auth));
        let bound = bind_all(&triggers.collect::<Vec<_>>());
        let mut answers = evaluate(&bound.iter().collect::<Vec<_>>());
        let error = answers.pop().unwrap().unwrap_err();
        assert_eq!(
            error.kind,
            UnknownKind::Missing,
            "{versions:?}: {}",
            error.message
        );
        for answer in answers {
            // Four records of the first partition, one for the second.
            assert_eq!(answer.unwrap().value, 5.0, "{versions:?}");
        }
        let requests = proxy.take();
        for (kind, version) in kinds.into_iter().zip(versions) {
            let others = requests.keys().filter(|it| it.0 == kind && it.1 != version);
            assert_eq!(others.count(), 0, "{requests:?}");
        }
        let expected = if versions[0] >= 8 { 1 } else { groups.len() };
        assert!(of(&requests, OFFSET_FETCH) >= expected, "{requests:?}");
        assert!(of(&requests, OFFSET_FETCH) <= expected * 2, "{requests:?}");
    }
}

#[test]
fn broker_too_old_for_a_question_says_so_and_answers_the_others() {
    let name = "broker_too_old_for_a_question_says_so_and_answers_the_others";
    let Some(broker) = shared(name) else { return };
    let topic = topic(&broker.address(), 1);
    let changes = Changes {
        caps: vec![(OFFSET_FETCH, 1)],
        ..Changes::default()
    };
    let proxy = Proxy::start(broker.ports().plaintext, changes);
    let address = proxy.address.to_string();
    let named = kafka(&address, &unique("group"), &[("topic", &topic)]);
    assert_eq!(lag(&named), 1.0);
    let error = read(&kafka(&address, &unique("group"), &[])).unwrap_err();
    assert_eq!(error.kind, UnknownKind::Configuration, "{}", error.message);
    assert!(error.message.contains("OffsetFetch"), "{}", error.message);
}

#[test]
fn coordinator_that_loads_or_moved_is_asked_again_within_the_reading() {
    let name = "coordinator_that_loads_or_moved_is_asked_again_within_the_reading";
    let Some(broker) = shared(name) else { return };
    let topic = topic(&broker.address(), 1);
    let proxy = Proxy::start(broker.ports().plaintext, Changes::default());
    let trigger = kafka(
        &proxy.address.to_string(),
        &unique("group"),
        &[("topic", &topic)],
    );
    let bound = bind_all(&[trigger]);
    assert!(evaluate(&[&bound[0]])[0].is_ok());
    proxy.take();

    const LOADS: i16 = 14;
    const MOVED: i16 = 16;
    proxy.fail_groups(&[LOADS, MOVED, LOADS]);
    assert_eq!(evaluate(&[&bound[0]]).remove(0).unwrap().value, 1.0);
    let requests = proxy.take();
    assert_eq!(of(&requests, OFFSET_FETCH), 4, "{requests:?}");
    // Who keeps the group's offsets was asked anew.
    assert!(of(&requests, FIND_COORDINATOR) >= 1, "{requests:?}");

    proxy.fail_groups(&[LOADS; 1_000]);
    let began = Instant::now();
    let error = evaluate(&[&bound[0]]).remove(0).unwrap_err();
    assert_eq!(error.kind, UnknownKind::Transport);
    assert!(
        error.message.ends_with("COORDINATOR_LOAD_IN_PROGRESS"),
        "{}",
        error.message
    );
    assert!(began.elapsed() < super::cluster::TIMEOUT);
    proxy.fail_groups(&[]);
    assert!(evaluate(&[&bound[0]])[0].is_ok());
}

#[test]
fn leader_that_moved_is_looked_up_again_within_the_reading() {
    let name = "leader_that_moved_is_looked_up_again_within_the_reading";
    let Some(broker) = shared(name) else { return };
    let (topic, group) = (topic(&broker.address(), 1), unique("group"));
    produce(&broker.address(), &topic, 0, 3);
    commit(&broker.address(), &group, &topic, 0, 1);
    let proxy = Proxy::start(broker.ports().plaintext, Changes::default());
    let address = proxy.address.to_string();
    const NOT_LEADER: i16 = 6;
    for named in [&[("topic", topic.as_str())][..], &[]] {
        let bound = bind_all(&[kafka(&address, &group, named)]);
        assert_eq!(evaluate(&[&bound[0]]).remove(0).unwrap().value, 2.0);
        proxy.take();
        proxy.fail_leaders(&[NOT_LEADER]);
        assert_eq!(evaluate(&[&bound[0]]).remove(0).unwrap().value, 2.0);
        let requests = proxy.take();
        assert_eq!(of(&requests, METADATA), 1, "{requests:?}");
        assert_eq!(of(&requests, LIST_OFFSETS), 2, "{requests:?}");
    }
}

#[test]
fn connection_that_lay_idle_and_was_closed_costs_no_reading() {
    let name = "connection_that_lay_idle_and_was_closed_costs_no_reading";
    let Some(broker) = shared(name) else { return };
    let topic = topic(&broker.address(), 1);
    let proxy = Proxy::start(broker.ports().plaintext, Changes::default());
    let address = proxy.address.to_string();
    let bound = bind_all(&[kafka(&address, &unique("group"), &[("topic", &topic)])]);
    for _ in 0..5 {
        assert_eq!(evaluate(&[&bound[0]]).remove(0).unwrap().value, 1.0);
        proxy.close_all();
    }
    assert_eq!(proxy.connections(), 5);
}

#[test]
fn group_that_may_not_be_read_is_unknown_beside_one_that_may() {
    let name = "group_that_may_not_be_read_is_unknown_beside_one_that_may";
    let Some(broker) = shared(name) else { return };
    let topic = topic(&broker.address(), 1);
    let proxy = Proxy::start(broker.ports().plaintext, Changes::default());
    let group = unique("group");
    let groups = [format!("{group}-a"), format!("{group}-b")];
    let address = proxy.address.to_string();
    let bound = bind_all(&groups.map(|group| kafka(&address, &group, &[("topic", &topic)])));
    let both = [&bound[0], &bound[1]];
    assert!(evaluate(&both).iter().all(Result::is_ok));
    const GROUP_AUTHORIZATION_FAILED: i16 = 30;
    proxy.fail_groups(&[GROUP_AUTHORIZATION_FAILED]);
    let answers = evaluate(&both);
    let failed: Vec<_> = answers.iter().filter_map(|it| it.as_ref().err()).collect();
    assert_eq!(failed.len(), 1, "{answers:?}");
    assert_eq!(failed[0].kind, UnknownKind::Authentication);
    assert!(failed[0].message.contains("GROUP_AUTHORIZATION_FAILED"));
}

#[test]
fn broker_that_restarts_is_read_again_by_the_same_client() {
    let name = "broker_that_restarts_is_read_again_by_the_same_client";
    let Some(mut broker) = own(name) else { return };
    let address = broker.address();
    let (topic, group) = (topic(&address, 1), unique("group"));
    produce(&address, &topic, 0, 6);
    commit(&address, &group, &topic, 0, 2);
    let bound = bind_all(&[kafka(&address, &group, &[("topic", &topic)])]);
    assert_eq!(evaluate(&[&bound[0]]).remove(0).unwrap().value, 4.0);
    broker.kill().unwrap();
    broker.restart().unwrap();
    // The connection broke and the coordinator loads: the next readings know, and none is zero.
    let known = zeron_tests::until("the broker to be read again", || {
        let answer = evaluate(&[&bound[0]]).remove(0);
        answer.ok().map(|reading| reading.value)
    });
    assert_eq!(known, 4.0);
}

#[test]
fn topic_deleted_is_missing_and_created_again_is_read_anew() {
    let name = "topic_deleted_is_missing_and_created_again_is_read_anew";
    let Some(broker) = shared(name) else { return };
    let address = &broker.address();
    let (topic, group) = (topic(address, 3), unique("group"));
    produce(address, &topic, 0, 9);
    commit(address, &group, &topic, 0, 2);
    let bound = bind_all(&[
        kafka(address, &group, &[("topic", &topic)]),
        kafka(address, &group, &[]),
    ]);
    let read = || evaluate(&[&bound[0], &bound[1]]);
    // Seven records, and one for each partition without commit.
    assert!(read().into_iter().all(|it| it.unwrap().value == 9.0));

    delete(address, &topic);
    zeron_tests::until("the topic to be missing", || {
        let error = read().remove(0).err()?;
        (error.kind == UnknownKind::Missing).then_some(())
    });
    // Without a topic there is nothing to be behind with.
    let all = zeron_tests::until("the commits to be gone", || read().remove(1).ok());
    assert_eq!(all.value, 0.0);

    create(address, &topic, 1);
    assert_eq!(read().remove(0).unwrap().value, 1.0);
}

/// A listener that says `words` to everybody and hears nothing.
fn talker(words: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            client.write_all(words).ok();
            // Until the other side has had enough.
            client.read_to_end(&mut Vec::new()).ok();
        }
    });
    address
}

#[test]
fn server_that_is_no_broker_is_garbage_soon() {
    for words in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"\0\0\0\x04\x7f\x7f\x7f\x7f",
        b"\0\0\0\x02\0\0",
        b"\xff\xff\xff\xff",
    ] {
        let began = Instant::now();
        let address = talker(words);
        let error = read(&kafka(&address, "group", &[("topic", "topic")])).unwrap_err();
        assert_eq!(error.kind, UnknownKind::Parse, "{}", error.message);
        assert!(error.message.contains(&address), "{}", error.message);
        assert!(
            began.elapsed() < super::cluster::TIMEOUT,
            "{:?}",
            began.elapsed()
        );
    }
}

#[test]
fn answers_that_lie_about_their_lengths_are_garbage() {
    let name = "answers_that_lie_about_their_lengths_are_garbage";
    let Some(broker) = shared(name) else { return };
    for nonsense in [vec![0xff; 40], vec![0; 3], vec![0x7f; 4_000], Vec::new()] {
        let changes = Changes {
            nonsense: Some(nonsense),
            ..Changes::default()
        };
        let proxy = Proxy::start(broker.ports().plaintext, changes);
        let address = proxy.address.to_string();
        let error = read(&kafka(&address, "group", &[("topic", "topic")])).unwrap_err();
        assert_eq!(error.kind, UnknownKind::Parse, "{}", error.message);
    }
}

#[test]
fn addresses_that_brokers_name_are_checked_before_they_are_dialled() {
    let name = "addresses_that_brokers_name_are_checked_before_they_are_dialled";
    let Some(broker) = shared(name) else { return };
    let topic = topic(&broker.address(), 1);
    // Multicast: nobody is ever there.
    let changes = Changes {
        host: Some("224.0.0.1"),
        ..Changes::default()
    };
    let proxy = Proxy::start(broker.ports().plaintext, changes);
    let trigger = kafka(&proxy.address.to_string(), "group", &[("topic", &topic)]);
    let error = read(&trigger).unwrap_err();
    assert_eq!(error.kind, UnknownKind::Configuration, "{}", error.message);
    assert!(error.message.contains("224.0.0.1"), "{}", error.message);
    assert!(error.message.contains("may not reach"), "{}", error.message);
}

#[test]
fn bootstrap_server_on_loopback_is_refused_in_a_cluster() {
    let trigger = kafka("localhost:9092", "group", &[("topic", "topic")]);
    let bound = Registry::builtin(AddressPolicy::CLUSTER)
        .bind(&trigger)
        .unwrap();
    let error = evaluate(&[&bound]).remove(0).unwrap_err();
    assert_eq!(error.kind, UnknownKind::Configuration, "{}", error.message);
    assert!(error.message.contains("may not reach"), "{}", error.message);
}
