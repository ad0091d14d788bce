//! Triggers to evaluate, and the other side: topics, records and commits in a broker.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::runtime::Runtime;
use zeron_core::metric::{MetricReading, Unknown};
use zeron_core::policy::{Secret, TriggerSpec};
use zeron_core::roles::{BoundTrigger, ScalerRegistry};
use zeron_scalers::Registry;
use zeron_tests::broker::{self, Broker, Unavailable};
use zeron_tests::servers::triggers::spec;

/// What the engine would give an evaluation.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// Longest wait for the broker's own side of a test.
const LIMIT: Duration = Duration::from_secs(30);

/// The broker that the tests share, or `None` once the skip was reported.
pub(crate) fn shared(test: &str) -> Option<&'static Broker> {
    match broker::shared() {
        Ok(broker) => Some(broker),
        Err(Unavailable::Skip(reason)) => {
            broker::skip(&format!("kafka_scaler::{test}"), reason);
            None
        }
        Err(Unavailable::Failed(error)) => panic!("{error:#}"),
    }
}

/// A broker of the test's own, to be killed.
pub(crate) fn own(test: &str) -> Option<Broker> {
    match Broker::start() {
        Ok(broker) => Some(broker),
        Err(Unavailable::Skip(reason)) => {
            broker::skip(&format!("kafka_scaler::{test}"), &reason);
            None
        }
        Err(Unavailable::Failed(error)) => panic!("{error:#}"),
    }
}

/// A name that no other test uses.
pub(crate) fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A `kafka` trigger.
pub(crate) fn kafka(address: &str, group: &str, parameters: &[(&str, &str)]) -> TriggerSpec {
    let base = [("bootstrapServers", address), ("consumerGroup", group)];
    let metadata = [&base, parameters].concat();
    spec("kafka", &metadata, &[])
}

/// The same trigger with credentials.
pub(crate) fn with_auth(mut trigger: TriggerSpec, auth: &[(&str, &str)]) -> TriggerSpec {
    trigger.auth = auth
        .iter()
        .map(|(k, v)| ((*k).to_owned(), Secret::new(*v)))
        .collect();
    trigger
}

/// Evaluates triggers that share a source, in one batch.
pub(crate) fn evaluate(triggers: &[&BoundTrigger]) -> Vec<Result<MetricReading, Unknown>> {
    evaluate_within(triggers, TIMEOUT)
}

/// The same with another time limit.
pub(crate) fn evaluate_within(
    triggers: &[&BoundTrigger],
    timeout: Duration,
) -> Vec<Result<MetricReading, Unknown>> {
    let handles: Vec<_> = triggers.iter().map(|trigger| trigger.handle).collect();
    let evaluation = triggers[0].scaler.evaluate(&handles, timeout);
    let answers = runtime().block_on(evaluation);
    assert_eq!(answers.len(), triggers.len());
    answers
        .into_iter()
        .map(|answer| answer.map(|mut readings| readings.remove(0)))
        .collect()
}

/// Binds and evaluates one trigger.
pub(crate) fn read(trigger: &TriggerSpec) -> Result<MetricReading, Unknown> {
    let bound = Registry::builtin(zeron_scalers::AddressPolicy::MACHINE)
        .bind(trigger)
        .unwrap();
    evaluate(&[&bound]).remove(0)
}

/// The lag of one trigger, which must be known.
pub(crate) fn lag(trigger: &TriggerSpec) -> f64 {
    read(trigger).unwrap().value
}

/// A runtime as the engine has one: it outlives every reading.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
    })
}

fn config(address: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address);
    config
}

/// Creates a topic of a name that no other test uses.
pub(crate) fn topic(address: &str, partitions: i32) -> String {
    let name = unique("topic");
    create(address, &name, partitions);
    name
}

/// Creates a topic, and waits until it can be used.
pub(crate) fn create(address: &str, name: &str, partitions: i32) {
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    create_new(address, &topic);
}

/// The same with the brokers that keep each partition; the first of them leads it, unless it is away.
pub(crate) fn create_assigned(address: &str, name: &str, kept_by: &[&[i32]]) {
    let partitions = i32::try_from(kept_by.len()).unwrap();
    let topic = NewTopic::new(name, partitions, TopicReplication::Variable(kept_by));
    create_new(address, &topic);
}

fn create_new(address: &str, topic: &NewTopic<'_>) {
    let admin: AdminClient<DefaultClientContext> = config(address).create().unwrap();
    let created = runtime().block_on(admin.create_topics([topic], &patient()));
    assert_eq!(created.unwrap(), [Ok(topic.name.to_owned())]);
    wait_for_leaders(address, topic.name);
    wait_for_offsets(address, topic);
}

/// Deletes a topic.
pub(crate) fn delete(address: &str, name: &str) {
    let admin: AdminClient<DefaultClientContext> = config(address).create().unwrap();
    let deleted = runtime().block_on(admin.delete_topics(&[name], &patient()));
    assert_eq!(deleted.unwrap(), [Ok(name.to_owned())]);
}

fn patient() -> AdminOptions {
    AdminOptions::new()
        .operation_timeout(Some(LIMIT))
        .request_timeout(Some(LIMIT))
}

/// The broker hears of a new topic a moment after the controller made it.
fn wait_for_leaders(address: &str, topic: &str) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let leaders = leaders(address, topic);
        if !leaders.is_empty() && leaders.iter().all(|leader| *leader >= 0) {
            return;
        }
        assert!(Instant::now() < deadline, "no leader for {topic}");
    }
}

/// A leader is known a moment before it has made its partition.
fn wait_for_offsets(address: &str, topic: &NewTopic<'_>) {
    let deadline = Instant::now() + LIMIT;
    let consumer: BaseConsumer = config(address).create().unwrap();
    for partition in 0..topic.num_partitions {
        while let Err(error) = consumer.fetch_watermarks(topic.name, partition, LIMIT) {
            let name = topic.name;
            assert!(Instant::now() < deadline, "{name}, {partition}: {error}");
        }
    }
}

/// The leaders of a topic's partitions, by their numbers; negative: none.
pub(crate) fn leaders(address: &str, topic: &str) -> Vec<i32> {
    let metadata = metadata(address);
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let partitions = found.into_iter().flat_map(|topic| topic.partitions());
    partitions.map(|partition| partition.leader()).collect()
}

/// How many brokers the cluster has.
pub(crate) fn brokers_of(address: &str) -> usize {
    metadata(address).brokers().len()
}

fn metadata(address: &str) -> Metadata {
    let consumer: BaseConsumer = config(address).create().unwrap();
    consumer.fetch_metadata(None, LIMIT).unwrap()
}

/// Appends `count` records to a partition.
pub(crate) fn produce(address: &str, topic: &str, partition: i32, count: u32) {
    let producer: BaseProducer = config(address).create().unwrap();
    for _ in 0..count {
        let record = BaseRecord::<str, str>::to(topic)
            .partition(partition)
            .payload("record");
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(LIMIT).unwrap();
}

/// Commits an offset as a member of the group would.
pub(crate) fn commit(address: &str, group: &str, topic: &str, partition: i32, offset: i64) {
    commit_all(address, group, topic, &[(partition, offset)]);
}

/// The same for several partitions.
pub(crate) fn commit_all(address: &str, group: &str, topic: &str, committed: &[(i32, i64)]) {
    let mut config = config(address);
    config.set("group.id", group);
    let consumer: BaseConsumer = config.create().unwrap();
    let mut offsets = TopicPartitionList::new();
    for (partition, offset) in committed {
        let added = offsets.add_partition_offset(topic, *partition, Offset::Offset(*offset));
        added.unwrap();
    }
    consumer.commit(&offsets, CommitMode::Sync).unwrap();
}

/// Whether the cluster has a topic.
pub(crate) fn has_topic(address: &str, topic: &str) -> bool {
    let metadata = metadata(address);
    metadata.topics().iter().any(|found| found.name() == topic)
}

/// Members of a group, whoever they are.
pub(crate) fn members(address: &str, group: &str) -> usize {
    let consumer: BaseConsumer = config(address).create().unwrap();
    let groups = consumer.fetch_group_list(Some(group), LIMIT).unwrap();
    groups
        .groups()
        .iter()
        .map(|group| group.members().len())
        .sum()
}
