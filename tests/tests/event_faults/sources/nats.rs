//! Consumers of JetStream, read at the monitoring endpoint.

use std::net::SocketAddr;

use zeron_tests::servers::nats::Nats;

use super::Started;
use crate::source::Source;

struct Consumers {
    server: Nats,
    made: Vec<String>,
}

pub(super) fn start() -> Started {
    let server = Nats::start()?;
    let made = Vec::new();
    Ok(Box::new(Consumers { server, made }))
}

impl Source for Consumers {
    fn kind(&self) -> &'static str {
        "nats-jetstream"
    }

    fn server(&self) -> SocketAddr {
        self.server.monitoring().parse().unwrap()
    }

    fn metadata(&self, thing: &str, address: SocketAddr) -> String {
        format!(
            "{{natsServerMonitoringEndpoint: \"{address}\", account: SHOP, stream: {thing}, consumer: worker, lagThreshold: \"1\"}}"
        )
    }

    fn set(&mut self, thing: &str, work: u32) {
        let mut connection = self.server.connect_as_shop();
        if self.made.iter().any(|it| it == thing) {
            connection.delete_stream(thing);
        }
        connection.create_stream(thing, 1);
        connection.create_consumer(thing, "worker");
        connection.publish(thing, usize::try_from(work).unwrap());
        self.made.retain(|it| it != thing);
        self.made.push(thing.to_owned());
    }

    fn remove(&mut self, thing: &str) -> bool {
        self.server.connect_as_shop().delete_stream(thing);
        self.made.retain(|it| it != thing);
        true
    }

    fn kill(&mut self) -> bool {
        self.server.kill();
        true
    }

    fn restart(&mut self) {
        self.server.restart();
    }
}
