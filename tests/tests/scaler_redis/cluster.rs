use std::time::Duration;

use zeron_core::metric::UnknownKind;
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::{BoundTrigger, ScalerRegistry};
use zeron_tests::servers::redis::Cluster;
use zeron_tests::until;

use super::world::{Answer, ask, evaluate_within, or_skip, read, registry, trigger};

fn list(addresses: &str, name: &str) -> TriggerSpec {
    trigger(
        "redis-cluster",
        &[("addresses", addresses), ("listName", name)],
    )
}

fn evaluate(triggers: &[BoundTrigger]) -> Vec<Answer> {
    evaluate_within(&triggers.iter().collect::<Vec<_>>(), Duration::from_secs(5))
}

/// A key that each node serves.
fn key_of_each(cluster: &Cluster) -> [String; 3] {
    [0, 1, 2].map(|node| {
        let mut keys = (0..).map(|at| format!("key-{at}"));
        keys.find(|key| cluster.owner(key) == node).unwrap()
    })
}

#[test]
fn keys_of_all_nodes_are_one_evaluation() {
    let Some(cluster) = or_skip("keys_of_all_nodes_are_one_evaluation", Cluster::start()) else {
        return;
    };
    let lines: Vec<_> = (0..100).map(|at| format!("RPUSH l{at} a b\n")).collect();
    cluster.feed(&lines.concat());
    cluster.feed("SADD s a\nXADD x 1-0 a 1\nXADD x 2-0 a 2\nXGROUP CREATE x g 0\nXREADGROUP GROUP g me COUNT 1 STREAMS x >\n");
    // One of the nodes is enough to find the others.
    let addresses = cluster.addresses();
    let seed = addresses.split(',').next().unwrap();
    let registry = registry();
    let bound: Vec<_> = (0..100)
        .map(|at| registry.bind(&list(seed, &format!("l{at}"))).unwrap())
        .collect();
    let answers = evaluate(&bound);
    assert!(
        answers
            .iter()
            .all(|it| it.as_ref().is_ok_and(|it| it.value == 2.0)),
        "{answers:?}"
    );
    assert_eq!(read(&list(seed, "s")).unwrap().value, 1.0);
    assert_eq!(read(&list(seed, "missing")).unwrap().value, 0.0);

    let stream = |more: &[(&str, &str)]| {
        let base = [("addresses", seed), ("stream", "x")];
        let all: Vec<_> = base.iter().chain(more).copied().collect();
        read(&trigger("redis-cluster-streams", &all)).unwrap().value
    };
    let group = ("consumerGroup", "g");
    assert_eq!(stream(&[]), 2.0);
    assert_eq!(stream(&[group]), 1.0);
    assert_eq!(stream(&[group, ("lagCount", "5")]), 1.0);
}

#[test]
fn a_slot_that_moves_is_followed() {
    let Some(cluster) = or_skip("a_slot_that_moves_is_followed", Cluster::start()) else {
        return;
    };
    let bound = registry()
        .bind(&list(&cluster.addresses(), "moving"))
        .unwrap();
    cluster.cli(&["RPUSH", "moving", "a", "b"]);
    assert_eq!(ask(&bound).unwrap().value, 2.0);
    for _ in 0..3 {
        let to = (cluster.owner("moving") + 1) % 3;
        cluster.move_slot("moving", to);
        assert_eq!(ask(&bound).unwrap().value, 2.0);
    }
}

#[test]
fn a_dead_node_fails_its_own_keys_alone_and_comes_back() {
    let name = "a_dead_node_fails_its_own_keys_alone_and_comes_back";
    let Some(mut cluster) = or_skip(name, Cluster::start()) else {
        return;
    };
    let keys = key_of_each(&cluster);
    keys.iter()
        .for_each(|key| drop(cluster.cli(&["RPUSH", key, "a"])));
    let registry = registry();
    let addresses = cluster.addresses();
    let bound: Vec<_> = keys
        .iter()
        .map(|key| registry.bind(&list(&addresses, key)).unwrap())
        .collect();
    assert!(evaluate(&bound).iter().all(Result::is_ok));

    cluster.nodes()[1].kill();
    for _ in 0..3 {
        let answers = evaluate(&bound);
        assert_eq!(answers[0].as_ref().unwrap().value, 1.0);
        assert!(answers[1].is_err(), "{answers:?}");
        assert_eq!(answers[2].as_ref().unwrap().value, 1.0);
    }
    cluster.nodes()[1].run();
    until("all keys to be known again", || {
        evaluate(&bound)
            .iter()
            .all(|it| it.as_ref().is_ok_and(|it| it.value == 1.0))
            .then_some(())
    });

    cluster.nodes()[2].freeze();
    let answers = evaluate_within(&bound.iter().collect::<Vec<_>>(), Duration::from_secs(1));
    assert!(answers[0].is_ok() && answers[1].is_ok(), "{answers:?}");
    assert_eq!(answers[2].as_ref().unwrap_err().kind, UnknownKind::Timeout);
    cluster.nodes()[2].thaw();
    until("all keys to be known again", || {
        evaluate(&bound).iter().all(Result::is_ok).then_some(())
    });
}

#[test]
fn a_server_that_is_no_cluster_says_so() {
    let Some(redis) = super::world::redis("a_server_that_is_no_cluster_says_so") else {
        return;
    };
    let error = read(&list(&redis.address().to_string(), "l")).unwrap_err();
    assert_eq!(error.kind, UnknownKind::Configuration, "{}", error.message);
    assert!(
        error.message.contains("cluster support disabled"),
        "{}",
        error.message
    );
}
