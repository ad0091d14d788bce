use std::time::Instant;

use zeron_core::metric::UnknownKind;
use zeron_core::roles::ScalerRegistry;
use zeron_scalers::Registry;

use super::cluster::{
    TIMEOUT, commit, evaluate, has_topic, kafka, lag, members, produce, read, shared, topic, unique,
};

#[test]
fn no_committed_offset_is_one_with_latest_and_all_records_with_earliest() {
    let name = "no_committed_offset_is_one_with_latest_and_all_records_with_earliest";
    let Some(broker) = shared(name) else { return };
    let address = &broker.address();
    let (topic, group) = (topic(address, 1), unique("group"));
    produce(address, &topic, 0, 7);

    let latest = kafka(address, &group, &[("topic", &topic)]);
    assert_eq!(lag(&latest), 1.0);

    let policy = ("offsetResetPolicy", "earliest");
    assert_eq!(
        lag(&kafka(address, &group, &[("topic", &topic), policy])),
        7.0
    );

    let zero = ("scaleToZeroOnInvalidOffset", "true");
    assert_eq!(
        lag(&kafka(address, &group, &[("topic", &topic), policy, zero])),
        0.0
    );
}

#[test]
fn committed_offset_leaves_only_what_came_after() {
    let name = "committed_offset_leaves_only_what_came_after";
    let Some(broker) = shared(name) else { return };
    let address = &broker.address();
    let (topic, group) = (topic(address, 2), unique("group"));
    produce(address, &topic, 0, 7);
    produce(address, &topic, 1, 4);
    commit(address, &group, &topic, 0, 5);
    commit(address, &group, &topic, 1, 4);

    let reading = read(&kafka(address, &group, &[("topic", &topic)])).unwrap();
    assert_eq!(reading.value, 2.0);
    assert_eq!(reading.target, 10.0);
    assert_eq!(reading.metric, format!("kafka-{topic}"));
    assert!(reading.activity.is_active());

    commit(address, &group, &topic, 0, 7);
    let reading = read(&kafka(address, &group, &[("topic", &topic)])).unwrap();
    assert_eq!(reading.value, 0.0);
    assert!(!reading.activity.is_active());
}

#[test]
fn several_topics_add_up_and_no_topic_means_those_with_commits() {
    let name = "several_topics_add_up_and_no_topic_means_those_with_commits";
    let Some(broker) = shared(name) else { return };
    let address = &broker.address();
    let (first, second, group) = (topic(address, 2), topic(address, 1), unique("group"));
    produce(address, &first, 0, 3);
    produce(address, &second, 0, 4);
    commit(address, &group, &first, 0, 0);

    let both = format!("{first}, {second}");
    let mut trigger = kafka(
        address,
        &group,
        &[("topic", &both), ("allowIdleConsumers", "true")],
    );
    trigger.kind = "apache-kafka".to_owned();
    // Three records, a partition and a topic without commits: one each.
    assert_eq!(lag(&trigger), 5.0);

    trigger.metadata.remove("topic");
    assert_eq!(lag(&trigger), 4.0);
    trigger.kind = "kafka".to_owned();
    assert_eq!(lag(&trigger), 4.0);
    trigger
        .metadata
        .insert("consumerGroup".to_owned(), unique("group"));
    assert_eq!(lag(&trigger), 0.0);
}

#[test]
fn partition_limitation_counts_only_the_named_partitions() {
    let name = "partition_limitation_counts_only_the_named_partitions";
    let Some(broker) = shared(name) else { return };
    let address = &broker.address();
    let (topic, group) = (topic(address, 4), unique("group"));
    for partition in 0..4 {
        produce(address, &topic, partition, 5);
        commit(address, &group, &topic, partition, 0);
    }
    let limit = ("partitionLimitation", "1,2-9");
    assert_eq!(
        lag(&kafka(address, &group, &[("topic", &topic), limit])),
        15.0
    );
}

#[test]
fn lag_is_capped_at_the_partitions_and_activation_is_not() {
    let name = "lag_is_capped_at_the_partitions_and_activation_is_not";
    let Some(broker) = shared(name) else { return };
    let address = &broker.address();
    let (topic, group) = (topic(address, 2), unique("group"));
    produce(address, &topic, 0, 35);
    commit(address, &group, &topic, 0, 0);
    commit(address, &group, &topic, 1, 0);
    let activation = ("activationLagThreshold", "34");
    let reading = read(&kafka(address, &group, &[("topic", &topic), activation])).unwrap();
    assert_eq!(reading.value, 20.0);
    assert!(reading.activity.is_active());

    let lagging = ("limitToPartitionsWithLag", "true");
    assert_eq!(
        lag(&kafka(address, &group, &[("topic", &topic), lagging])),
        10.0
    );
}

#[test]
fn lag_that_stands_still_is_remembered_by_its_trigger() {
    let name = "lag_that_stands_still_is_remembered_by_its_trigger";
    let Some(broker) = shared(name) else { return };
    let address = &broker.address();
    let (topic, group) = (topic(address, 1), unique("group"));
    produce(address, &topic, 0, 5);
    commit(address, &group, &topic, 0, 1);
    let persistent = ("excludePersistentLag", "true");
    let trigger = kafka(address, &group, &[("topic", &topic), persistent]);
    let bound = Registry::builtin(zeron_scalers::AddressPolicy::MACHINE)
        .bind(&trigger)
        .unwrap();
    let next = || evaluate(&[&bound]).remove(0).unwrap();

    assert_eq!(next().value, 4.0);
    let still = next();
    assert_eq!(still.value, 0.0);
    assert!(still.activity.is_active());
    commit(address, &group, &topic, 0, 2);
    assert_eq!(next().value, 3.0);
}

#[test]
fn missing_topic_is_unknown_fails_alone_and_is_not_created() {
    let name = "missing_topic_is_unknown_fails_alone_and_is_not_created";
    let Some(broker) = shared(name) else { return };
    let address = &broker.address();
    let (topic, missing, group) = (topic(address, 1), unique("missing"), unique("group"));
    let registry = Registry::builtin(zeron_scalers::AddressPolicy::MACHINE);
    let bind = |topic: &str| {
        registry
            .bind(&kafka(address, &group, &[("topic", topic)]))
            .unwrap()
    };
    let (good, bad) = (bind(&topic), bind(&missing));

    for _ in 0..2 {
        let answers = evaluate(&[&bad, &good]);
        let error = answers[0].as_ref().unwrap_err();
        assert_eq!(error.kind, UnknownKind::Missing);
        assert!(error.message.contains(&missing), "{}", error.message);
        assert_eq!(answers[1].as_ref().unwrap().value, 1.0);
    }
    assert!(!has_topic(address, &missing));
}

#[test]
fn new_topic_is_seen_at_once() {
    let name = "new_topic_is_seen_at_once";
    let Some(broker) = shared(name) else { return };
    let address = &broker.address();
    let (first, group) = (topic(address, 1), unique("group"));
    let registry = Registry::builtin(zeron_scalers::AddressPolicy::MACHINE);
    let bind = |topic: &str| {
        registry
            .bind(&kafka(address, &group, &[("topic", topic)]))
            .unwrap()
    };
    assert!(evaluate(&[&bind(&first)])[0].is_ok());
    // The metadata read above cannot know this topic.
    let second = topic(address, 1);
    assert!(evaluate(&[&bind(&second)])[0].is_ok());
}

#[test]
fn fifty_groups_are_read_in_one_batch_through_one_source_and_none_is_joined() {
    let name = "fifty_groups_are_read_in_one_batch_through_one_source_and_none_is_joined";
    let Some(broker) = shared(name) else { return };
    let address = &broker.address();
    let topic = topic(address, 1);
    produce(address, &topic, 0, 100);
    let groups: Vec<_> = (0..50).map(|_| unique("group")).collect();
    commit(address, &groups[7], &topic, 0, 95);

    let registry = Registry::builtin(zeron_scalers::AddressPolicy::MACHINE);
    let bind = |group: &String| registry.bind(&kafka(address, group, &[("topic", &topic)]));
    let bound: Vec<_> = groups.iter().map(|group| bind(group).unwrap()).collect();
    assert!(
        bound
            .iter()
            .all(|trigger| trigger.source == bound[0].source)
    );
    let triggers: Vec<_> = bound.iter().collect();

    let first = Instant::now();
    let answers = evaluate(&triggers);
    let first = first.elapsed();
    for (index, answer) in answers.into_iter().enumerate() {
        let expected = if index == 7 { 5.0 } else { 1.0 };
        assert_eq!(answer.unwrap().value, expected, "group {index}");
    }
    let second = Instant::now();
    assert!(evaluate(&triggers).iter().all(Result::is_ok));
    eprintln!(
        "50 groups: first reading {first:?}, next {:?}",
        second.elapsed()
    );
    assert!(first < TIMEOUT);
    assert_eq!(members(address, &groups[7]), 0);

    for trigger in &bound[1..] {
        trigger.scaler.release(trigger.handle);
    }
    assert!(evaluate(&triggers[..1])[0].is_ok());
    assert!(evaluate(&triggers[1..2])[0].is_err());
}
