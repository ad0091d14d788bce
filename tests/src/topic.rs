//! A topic in a real broker, as a producer sees it.

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::wait::PATIENCE;

/// One topic.
#[derive(Debug)]
pub struct Topic {
    broker: String,
    name: String,
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
}

fn config(broker: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker);
    config
}
