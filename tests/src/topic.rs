//! A topic in a real broker, as a producer sees it.

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::wait::PATIENCE;

/// One topic.
#[derive(Debug)]
pub struct Topic {
    broker: String,
    name: String,
    partitions: i32,
}

impl Topic {
    /// Creates it in the broker at `HOST:PORT`.
    ///
    /// # Panics
    /// When the broker refuses.
    pub fn create(broker: &str, name: &str, partitions: i32) -> Self {
        let admin: AdminClient<DefaultClientContext> =
            config(broker).create().expect("the settings are valid");
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let topics = [NewTopic::new(name, partitions, TopicReplication::Fixed(1))];
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime needs little");
        let created = runtime.block_on(admin.create_topics(&topics, &options));
        let outcome = created.expect("the broker answers").pop();
        assert!(matches!(outcome, Some(Ok(_))), "{outcome:?}");
        Self {
            broker: broker.to_owned(),
            name: name.to_owned(),
            partitions,
        }
    }

    /// Produces `count` messages, spread over the partitions, and waits until the broker has them.
    ///
    /// # Panics
    /// When it does not take them.
    pub fn produce(&self, count: usize) {
        let producer: BaseProducer = config(&self.broker)
            .create()
            .expect("the settings are valid");
        for i in 0..count {
            let key = i.to_string();
            let record = BaseRecord::to(&self.name).key(&key).payload("message");
            producer
                .send(record)
                .map_err(|(error, _)| error)
                .expect("there is room");
        }
        producer.flush(PATIENCE).expect("the broker takes them");
    }

    /// Commits for `group` all messages that there are, but the last `left` of the first partition.
    ///
    /// # Panics
    /// When the broker refuses.
    pub fn consume_but(&self, group: &str, left: i64) {
        let consumer: BaseConsumer = config(&self.broker)
            .set("group.id", group)
            .create()
            .expect("the settings are valid");
        let mut offsets = TopicPartitionList::new();
        for partition in 0..self.partitions {
            let marks = consumer.fetch_watermarks(&self.name, partition, PATIENCE);
            let (_, end) = marks.expect("the broker answers");
            let left = if partition == 0 { left } else { 0 };
            offsets
                .add_partition_offset(&self.name, partition, Offset::Offset(end - left))
                .expect("a valid offset");
        }
        consumer
            .commit(&offsets, CommitMode::Sync)
            .expect("the broker takes it");
    }
}

fn config(broker: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker);
    config
}
