//! RabbitMQ: a queue for each function, asked by AMQP.

use std::time::SystemTime;

use anyhow::Result;
use serde_json::{Value, json};
use zeron_tests::broker::Unavailable;
use zeron_tests::servers::rabbitmq::{PASSWORD, RabbitMq, USER};

use super::Feed;

/// The root virtual host, in a path.
const VHOST: &str = "%2F";

struct QueueFeed {
    server: RabbitMq,
}

pub(super) fn queues() -> Result<Box<dyn Feed>, Unavailable> {
    let server = RabbitMq::start()?;
    Ok(Box::new(QueueFeed { server }))
}

impl Feed for QueueFeed {
    fn kind(&self, _: bool) -> &'static str {
        "rabbitmq"
    }

    fn metadata(&self, thing: &str, _: bool) -> Value {
        json!({
            "host": format!("amqp://{USER}:{PASSWORD}@{}/", self.server.amqp()),
            "queueName": thing,
            "mode": "QueueLength",
            "value": "1",
        })
    }

    fn make(&mut self, thing: &str) -> Result<()> {
        self.server.declare(VHOST, thing);
        Ok(())
    }

    /// Through the management API, whose few milliseconds count.
    fn emit(&mut self, thing: &str) -> Result<SystemTime> {
        let began = SystemTime::now();
        self.server.publish(VHOST, thing, 1);
        Ok(began)
    }
}
