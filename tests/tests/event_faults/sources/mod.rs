//! The sources of the matrix, each with a real server.

mod external;
mod kafka;
mod metrics_api;
mod nats;
mod prometheus;
mod rabbitmq;
mod redis;
mod sql;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use zeron_tests::broker::{Unavailable, skip};

use crate::source::Source;

/// How a source is started.
type Start = fn() -> Started;

type Started = Result<Box<dyn Source>, Unavailable>;

/// Values as their texts, by thing: for servers that publish what we make up.
type Texts = Arc<Mutex<BTreeMap<String, String>>>;

/// All whose server can run here; the others are skipped, by name.
pub(crate) fn all(test: &str) -> Vec<Box<dyn Source>> {
    let starts: [(&str, Start); 14] = [
        ("redis", redis::start_lists),
        ("redis-streams", redis::start_streams),
        ("redis-cluster", redis::start_cluster),
        ("redis-sentinel", redis::start_sentinel),
        ("kafka", kafka::start),
        ("rabbitmq by AMQP", rabbitmq::start_amqp),
        ("rabbitmq by HTTP", rabbitmq::start_http),
        ("nats-jetstream", nats::start),
        ("postgresql", sql::start_postgresql),
        ("mysql", sql::start_mysql),
        ("prometheus", prometheus::start),
        ("metrics-api", metrics_api::start),
        ("external", external::start),
        ("external-push", external::start_push),
    ];
    let mut all = Vec::new();
    for (kind, start) in starts {
        match start() {
            Ok(source) => all.push(source),
            Err(Unavailable::Skip(reason)) => skip(&format!("{test} ({kind})"), &reason),
            Err(Unavailable::Failed(error)) => panic!("{kind}: {error:#}"),
        }
    }
    all
}
