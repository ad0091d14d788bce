//! The lag of a group at a broker that asks for a user, and sends its clients through the way.

use std::net::SocketAddr;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use zeron_tests::broker::{Broker, PASSWORD, Ports, USER};
use zeron_tests::servers::proxy::FaultProxy;
use zeron_tests::until;

use super::Started;
use crate::source::Source;
use cluster::{commit, create, delete, has_topic, produce};

/// The other side, as the tests of the scaler have it.
#[path = "../../kafka_scaler/cluster.rs"]
#[allow(dead_code, reason = "shared with the tests of the scaler")]
mod cluster;

const GROUP: &str = "workers";

/// Longest wait for the broker itself.
const LIMIT: Duration = Duration::from_secs(30);

struct Topics {
    broker: Broker,
    way: Option<FaultProxy>,
}

pub(super) fn start() -> Started {
    let mut ports = Ports::choose();
    let way = FaultProxy::before(ports.sasl);
    ports.sasl_way = Some(way.address());
    Ok(Box::new(Topics {
        broker: Broker::start_on(ports)?,
        way: Some(way),
    }))
}

impl Topics {
    /// Records of a topic's only partition.
    fn end(&self, topic: &str) -> i64 {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.broker.address());
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.fetch_watermarks(topic, 0, LIMIT).unwrap().1
    }
}

impl Source for Topics {
    fn kind(&self) -> &'static str {
        "kafka"
    }

    fn server(&self) -> SocketAddr {
        self.broker.ports().sasl
    }

    fn way(&mut self) -> FaultProxy {
        self.way.take().expect("it is asked for once")
    }

    fn metadata(&self, thing: &str, address: SocketAddr) -> String {
        format!(
            "{{bootstrapServers: \"{address}\", sasl: plaintext, consumerGroup: {GROUP}, topic: {thing}, lagThreshold: \"1\", allowIdleConsumers: \"true\"}}"
        )
    }

    fn credentials(&self, is_right: bool) -> Vec<(&'static str, String)> {
        let password = if is_right { PASSWORD } else { "canary-wrong" };
        vec![
            ("username", USER.to_owned()),
            ("password", password.to_owned()),
        ]
    }

    fn set(&mut self, thing: &str, work: u32) {
        let address = self.broker.address();
        if !has_topic(&address, thing) {
            create(&address, thing, 1);
        }
        let missing = i64::from(work) - self.end(thing);
        produce(&address, thing, 0, u32::try_from(missing).unwrap_or(0));
        commit(&address, GROUP, thing, 0, self.end(thing) - i64::from(work));
    }

    fn remove(&mut self, thing: &str) -> bool {
        let address = self.broker.address();
        delete(&address, thing);
        until("the topic to be gone", || {
            (!has_topic(&address, thing)).then_some(())
        });
        true
    }

    fn kill(&mut self) -> bool {
        self.broker.kill().unwrap();
        true
    }

    fn restart(&mut self) {
        self.broker.restart().unwrap();
    }
}
