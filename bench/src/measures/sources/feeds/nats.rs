//! NATS: a stream and a consumer of JetStream for each function.

use std::time::SystemTime;

use anyhow::Result;
use serde_json::{Value, json};
use zeron_tests::broker::Unavailable;
use zeron_tests::servers::nats::{Connection, Nats};

use super::Feed;

struct ConsumerFeed {
    server: Nats,
    connection: Connection,
}

pub(super) fn consumers() -> Result<Box<dyn Feed>, Unavailable> {
    let server = Nats::start()?;
    let connection = server.connect_as_shop();
    Ok(Box::new(ConsumerFeed { server, connection }))
}

impl Feed for ConsumerFeed {
    fn kind(&self, _: bool) -> &'static str {
        "nats-jetstream"
    }

    fn metadata(&self, thing: &str, _: bool) -> Value {
        json!({
            "natsServerMonitoringEndpoint": self.server.monitoring(),
            "account": "SHOP",
            "stream": thing,
            "consumer": "worker",
            "lagThreshold": "1",
        })
    }

    fn make(&mut self, thing: &str) -> Result<()> {
        self.connection.create_stream(thing, 1);
        self.connection.create_consumer(thing, "worker");
        Ok(())
    }

    fn emit(&mut self, thing: &str) -> Result<SystemTime> {
        let began = SystemTime::now();
        self.connection.publish(thing, 1);
        Ok(began)
    }
}
