//! Durable queues of a RabbitMQ, read by AMQP and by its management API.

use std::net::SocketAddr;

use zeron_tests::servers::rabbitmq::{PASSWORD, RabbitMq, USER};

use super::Started;
use crate::source::Source;

struct Queues {
    server: RabbitMq,
    is_amqp: bool,
}

pub(super) fn start_amqp() -> Started {
    start(true)
}

pub(super) fn start_http() -> Started {
    start(false)
}

fn start(is_amqp: bool) -> Started {
    let server = RabbitMq::start()?;
    Ok(Box::new(Queues { server, is_amqp }))
}

impl Source for Queues {
    fn kind(&self) -> &'static str {
        "rabbitmq"
    }

    fn name(&self) -> &'static str {
        if self.is_amqp {
            "rabbitmq-amqp"
        } else {
            "rabbitmq-http"
        }
    }

    fn server(&self) -> SocketAddr {
        if self.is_amqp {
            self.server.amqp()
        } else {
            self.server.http()
        }
    }

    fn metadata(&self, thing: &str, address: SocketAddr) -> String {
        let scheme = if self.is_amqp { "amqp" } else { "http" };
        format!(
            "{{host: \"{scheme}://{address}/\", queueName: {thing}, mode: QueueLength, value: \"1\"}}"
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
        self.server.declare("%2F", thing);
        let contents = format!("queues/%2F/{thing}/contents");
        self.server.must("DELETE", &contents, "");
        if work > 0 {
            self.server.publish("%2F", thing, work);
        }
    }

    fn remove(&mut self, thing: &str) -> bool {
        self.server.delete("%2F", thing);
        true
    }

    fn kill(&mut self) -> bool {
        self.server.kill();
        true
    }

    fn restart(&mut self) {
        self.server.run();
    }
}
