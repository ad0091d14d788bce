use super::*;

fn want(group: &str, topics: &[&str]) -> Want {
    Want {
        group: group.to_owned(),
        topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
        limit: None,
    }
}

fn partition(topic: &str, id: i32) -> Partition {
    Partition {
        topic: topic.into(),
        id,
    }
}

fn committed(group: &str, offsets: &[(&str, i32, Option<u64>)]) -> ByGroup {
    let offsets = offsets
        .iter()
        .map(|(topic, id, offset)| (partition(topic, *id), Ok(*offset)));
    ByGroup::from([(group.to_owned(), Ok(offsets.collect()))])
}

fn late() -> ReadError {
    ReadError::Timeout {
        broker: "broker:9092".into(),
    }
}

#[test]
fn group_of_several_triggers_is_asked_once_for_all_their_partitions() {
    let topics = Topics::of(&[("a", &[Some(1), Some(2)]), ("b", &[Some(1)])]);
    let mut limited = want("billing", &["a"]);
    limited.limit = Some([1].into());
    let groups = by_group(&[limited, want("billing", &["b"])], &topics);
    let both = [partition("a", 1), partition("b", 0)].into();
    assert_eq!(groups, [("billing".to_owned(), Asked::Partitions(both))]);
}

#[test]
fn group_of_a_trigger_without_topic_is_asked_for_all() {
    let topics = Topics::of(&[("a", &[Some(1)])]);
    for wants in [[&["a"][..], &[]], [&[], &["a"][..]]] {
        let wants = wants.map(|topics| want("billing", topics));
        assert_eq!(
            by_group(&wants, &topics),
            [("billing".to_owned(), Asked::All)]
        );
    }
}

#[test]
fn missing_topic_is_not_asked_for_and_fails_its_own_trigger() {
    let topics = Topics::of(&[("a", &[Some(1)])]);
    let missing = want("billing", &["gone"]);
    assert!(by_group(std::slice::from_ref(&missing), &topics).is_empty());
    let chosen = choose(&missing, &topics, &ByGroup::new());
    assert!(matches!(chosen, Err(ReadError::NoTopic { .. })));
}

#[test]
fn no_topic_means_all_partitions_of_topics_with_a_commit_that_exist() {
    let topics = Topics::of(&[("a", &[Some(1), Some(1)]), ("b", &[Some(1)])]);
    let want = want("billing", &[]);
    let read = committed(
        "billing",
        &[("a", 0, None), ("a", 1, Some(4)), ("b", 0, None)],
    );
    let names = names(std::slice::from_ref(&want), &read);
    assert_eq!(names, ["a"].into());
    let chosen = choose(&want, &topics, &read).unwrap();
    assert_eq!(chosen, [partition("a", 0), partition("a", 1)]);
}

#[test]
fn no_topic_and_one_with_a_commit_that_no_broker_knows_is_unknown() {
    let topics = Topics::of(&[("a", &[Some(1)])]);
    let read = committed("billing", &[("a", 0, Some(4)), ("new to it", 0, Some(1))]);
    let chosen = choose(&want("billing", &[]), &topics, &read);
    assert!(matches!(chosen, Err(ReadError::NoTopic { .. })));
}

#[test]
fn limitation_to_partitions_that_there_are_not_is_unknown() {
    let topics = Topics::of(&[("a", &[Some(1)])]);
    let mut limited = want("billing", &["a"]);
    limited.limit = Some([7].into());
    let chosen = choose(&limited, &topics, &ByGroup::new());
    assert!(matches!(chosen, Err(ReadError::NoPartition { .. })));
}

#[test]
fn topic_that_shows_no_partitions_yet_is_unknown_and_asked_for_again() {
    use super::super::protocol::Code;
    use super::super::protocol::metadata::{Metadata, TopicMetadata};
    for code in [Code::NONE, Code::LEADER_NOT_AVAILABLE] {
        let mut topics = Topics::new(&"broker:9092".into());
        let partitions = Vec::new();
        let metadata = Metadata {
            brokers: Vec::new(),
            topics: vec![TopicMetadata {
                name: "a",
                code,
                partitions,
            }],
        };
        topics.update(&["a"], &metadata);
        assert!(topics.partitions("a", None).unwrap_err().is_passing());
        assert_eq!(topics.missing(["a"].into_iter()), ["a"]);
    }
}

#[test]
fn no_topic_and_an_unread_group_is_unknown() {
    let topics = Topics::of(&[("a", &[Some(1)])]);
    let failed = ByGroup::from([("billing".to_owned(), Err(late()))]);
    assert!(choose(&want("billing", &[]), &topics, &failed).is_err());
}

#[test]
fn unread_partition_fails_the_trigger_that_wants_it_alone() {
    let read = committed("billing", &[("a", 0, Some(1)), ("b", 0, Some(2))]);
    let ends = ByPartition::from([
        (partition("a", 0), Ok(Some(9))),
        (partition("b", 0), Err(late())),
    ]);
    let offsets = read.get("billing");
    let good = join(vec![partition("a", 0)], offsets, &ends).unwrap();
    assert_eq!((good[0].committed, good[0].end), (Some(1), Some(9)));
    assert!(join(vec![partition("a", 0), partition("b", 0)], offsets, &ends).is_err());
}

#[test]
fn offset_that_may_not_be_read_fails_the_trigger_that_wants_it_alone() {
    let mut read = committed("billing", &[("a", 0, Some(1))]);
    let offsets = read.get_mut("billing").unwrap().as_mut().unwrap();
    offsets.insert(partition("b", 0), Err(late()));
    let ends = ByPartition::from([
        (partition("a", 0), Ok(Some(9))),
        (partition("b", 0), Ok(Some(9))),
    ]);
    let offsets = read.get("billing");
    assert!(join(vec![partition("a", 0)], offsets, &ends).is_ok());
    assert!(join(vec![partition("b", 0)], offsets, &ends).is_err());
}

#[test]
fn partition_without_leader_is_named() {
    let topics = Topics::of(&[("a", &[Some(1), None])]);
    assert_eq!(topics.leader(&partition("a", 0)).unwrap().port, 1);
    let error = topics.leader(&partition("a", 1)).unwrap_err();
    assert_eq!(error.to_string(), "partition 1 of topic a has no leader");
    assert_eq!(topics.missing(["a"].into_iter()), ["a"]);
}
