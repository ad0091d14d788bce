//! The measure itself.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::Value;

use super::broker;
use crate::bench::{Bench, Csv, this_program};
use crate::figure::{Aim, Figure};
use crate::measures::PATIENCE;
use crate::stats::{Random, bootstrap, quantile};
use crate::subject::events::{Events, What};
use crate::subject::manifest::Consumer;

const MEASURE: &str = "kafka";
const INTERVAL: Duration = Duration::from_secs(1);
/// Polls before the first message: every source is read, and known to be empty.
const SETTLE: Duration = Duration::from_secs(4);
/// Mean distance of two messages.
const BETWEEN: Duration = Duration::from_millis(300);

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let Some(broker) = broker::obtain(bench)? else {
        return Ok(());
    };
    let samples = bench.rounds(100, 3);
    let events = Events::listen()?;
    let names: Vec<String> = (0..samples)
        .map(|number| format!("bench-{}-{number}", std::process::id()))
        .collect();
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &broker.addresses)
        .set("linger.ms", "0")
        .set("message.timeout.ms", "30000");
    bench.block_on(create_topics(&config, &names))?;
    let consumers = names
        .iter()
        .map(|name| consumer(&events, name, &broker.addresses))
        .collect::<Result<Vec<_>>>()?;
    let documents: Vec<Value> = consumers.iter().flat_map(Consumer::documents).collect();
    let zeron = bench.zeron(MEASURE, &documents)?;
    zeron.wait_until_cold(PATIENCE)?;
    crate::measures::rest(SETTLE);
    let waits = bench.block_on(produce(&config, events, &names))?;
    zeron.admin("/v1/functions").context("zeron is gone")?;
    let mut csv = Csv::create(MEASURE, "messages", "message,produced_to_started_us")?;
    for (number, wait) in waits.iter().enumerate() {
        csv.row(&[&number, &wait.as_micros()])?;
    }
    figures(bench, &waits);
    csv.close()
}

fn consumer(events: &Events, name: &str, brokers: &str) -> Result<Consumer> {
    Ok(Consumer {
        name: name.to_owned(),
        command: vec![this_program()?, "origin".to_owned(), "--deaf".to_owned()],
        env: events.environment(name),
        brokers: brokers.to_owned(),
        polling_interval: 1,
    })
}

async fn create_topics(config: &ClientConfig, names: &[String]) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = config.create()?;
    let topics: Vec<NewTopic<'_>> = names
        .iter()
        .map(|name| NewTopic::new(name, 1, TopicReplication::Fixed(1)))
        .collect();
    for made in admin
        .create_topics(
            &topics,
            &AdminOptions::new().operation_timeout(Some(PATIENCE)),
        )
        .await?
    {
        made.map_err(|(topic, code)| anyhow::anyhow!("topic {topic}: {code}"))?;
    }
    Ok(())
}

/// Produces one message per topic at random moments; how long after each its process started.
async fn produce(
    config: &ClientConfig,
    mut events: Events,
    names: &[String],
) -> Result<Vec<Duration>> {
    let producer: FutureProducer = config.create()?;
    let early: Vec<_> = events.drain().into_iter().map(|event| event.name).collect();
    anyhow::ensure!(early.is_empty(), "started without a message: {early:?}");
    let mut random = Random::new(names.len() as u64);
    let mut produced = HashMap::new();
    for name in names {
        tokio::time::sleep(BETWEEN.mul_f64(2.0 * random.unit())).await;
        // From before it is sent: the time to the broker and back is part of what a user waits for.
        produced.insert(name.clone(), SystemTime::now());
        let record = FutureRecord::<(), [u8]>::to(name).payload(b"message");
        producer
            .send(record, PATIENCE)
            .await
            .map_err(|(error, _)| error)?;
    }
    let mut waits = Vec::new();
    while !produced.is_empty() {
        let event = tokio::time::timeout(PATIENCE, events.next()).await;
        let event =
            event.with_context(|| format!("{} functions never started", produced.len()))??;
        if let Some(at) = produced
            .remove(&event.name)
            .filter(|_| event.what == What::Start)
        {
            waits.push(event.at.duration_since(at).unwrap_or_default());
        }
    }
    Ok(waits)
}

fn figures(bench: &mut Bench, waits: &[Duration]) {
    let seconds: Vec<f64> = waits.iter().map(Duration::as_secs_f64).collect();
    let figure = |name: &str, q| {
        Figure::new(
            format!("{MEASURE}/message-to-process/{name}"),
            "s",
            quantile(&seconds, q),
            seconds.len(),
        )
    };
    let interval = INTERVAL.as_secs_f64();
    let p50 = figure("p50", 0.5)
        .with_floor(interval / 2.0)
        .with_spread(bootstrap(&seconds, 0.5));
    bench.figure(p50.with_aim(Aim::AtMost(0.6)));
    bench.figure(
        figure("max", 1.0)
            .with_floor(interval)
            .with_aim(Aim::AtMost(interval + 0.1)),
    );
}
