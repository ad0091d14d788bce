//! The measure itself. Every round has a topic, a consumer group and a Deployment of its own; nobody consumes.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};

use super::super::roles::Roles;
use super::super::{Cluster, MEASURE, Namespace, objects};
use crate::bench::{Bench, Csv};
use crate::figure::{Aim, Figure};
use crate::measures::cluster::audit::Audit;
use crate::measures::cluster::namespace::{Kind, is_ready};
use crate::measures::cluster::request::between;
use crate::measures::kafka::broker;
use crate::measures::{PATIENCE, rest};
use crate::stats::{Random, bootstrap, median, quantile};

const REPLICAS: u32 = 10;
/// Messages for each replica.
const LAG: u32 = 5;
/// Polls before the backlog: the source is read, and known to be empty.
const SETTLE: Duration = Duration::from_secs(4);
/// `pollingInterval: 1`.
const INTERVAL: f64 = 1.0;

/// One round.
#[derive(Clone, Copy, Debug)]
struct Round {
    /// From before the first message is sent, and from when the last is stored.
    since_first: f64,
    since_last: f64,
    /// Writes of the count until it was ten.
    writes: usize,
}

pub(super) fn run(bench: &mut Bench, cluster: &Cluster) -> Result<()> {
    let Some(broker) = broker::obtain(bench)? else {
        return Ok(());
    };
    let rounds = bench.rounds(20, 2);
    let namespace = Namespace::create(&cluster.api, "kafka")?;
    let _roles = Roles::start(bench, &cluster.kubeconfig, &namespace)?;
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &broker.addresses)
        .set("message.timeout.ms", "30000");
    let mut random = Random::new(rounds as u64);
    let mut done = Vec::new();
    let header = "round,since_first_s,since_last_s,writes";
    let mut csv = Csv::create(MEASURE, "kafka", header)?;
    for number in 0..rounds {
        let name = format!("bench-{}-{number}", std::process::id());
        let topic = cluster.api.block_on(create_topic(&config, &name));
        topic?;
        declare(cluster, &namespace, &name, &broker.addresses)?;
        rest(SETTLE + Duration::from_secs(1).mul_f64(random.unit()));
        let audit = cluster.audit()?;
        let moments = cluster.api.block_on(produce(&config, &name))?;
        let round = until_ten(&audit, &namespace, &name, moments)?;
        csv.row(&[
            &number,
            &round.since_first,
            &round.since_last,
            &round.writes,
        ])?;
        done.push(round);
        namespace.clear()?;
    }
    figures(bench, &done);
    csv.close()
}

async fn create_topic(config: &ClientConfig, name: &str) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = config.create()?;
    let partitions = i32::try_from(REPLICAS)?;
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    for made in admin.create_topics([&topic], &options).await? {
        made.map_err(|(topic, code)| anyhow::anyhow!("topic {topic}: {code}"))?;
    }
    Ok(())
}

fn declare(cluster: &Cluster, namespace: &Namespace, name: &str, brokers: &str) -> Result<()> {
    namespace.deploy(&[name.to_owned()], &cluster.image)?;
    let object = objects::kafka_scaled_object(name, brokers, LAG, REPLICAS);
    namespace.create_all(vec![(Kind::ScaledObject, object)])?;
    namespace.wait_for_all(Kind::ScaledObject, "it is in force", 1, is_ready)
}

/// Produces a backlog for ten replicas at once; when it began, and when all of it was stored.
async fn produce(config: &ClientConfig, topic: &str) -> Result<(SystemTime, SystemTime)> {
    let producer: FutureProducer = config.create()?;
    // Its first message would wait for the connection otherwise.
    tokio::task::block_in_place(|| {
        use rdkafka::producer::Producer;
        producer
            .client()
            .fetch_metadata(Some(topic), PATIENCE)
            .map(drop)
    })?;
    let first = SystemTime::now();
    let sent = (0..REPLICAS * LAG).map(|number| {
        let partition = i32::try_from(number % REPLICAS).unwrap_or_default();
        let record = FutureRecord::<(), [u8]>::to(topic)
            .payload(b"message")
            .partition(partition);
        producer.send(record, PATIENCE)
    });
    for outcome in futures_util::future::join_all(sent).await {
        outcome.map_err(|(error, _)| error)?;
    }
    Ok((first, SystemTime::now()))
}

fn until_ten(
    audit: &Audit,
    namespace: &Namespace,
    name: &str,
    (first, last): (SystemTime, SystemTime),
) -> Result<Round> {
    let deadline = SystemTime::now() + PATIENCE;
    loop {
        let events = audit.events(&namespace.name)?;
        let mut writes = events.scale_writes.iter().filter(|it| it.name == name);
        let ten = writes.position(|write| write.replicas == u64::from(REPLICAS));
        if let Some(earlier) = ten {
            let write = events.scale_writes.iter().filter(|it| it.name == name);
            let write = write.clone().nth(earlier).context("it was there")?;
            return Ok(Round {
                since_first: between(first, write.received).as_secs_f64(),
                since_last: between(last, write.received).as_secs_f64(),
                writes: earlier + 1,
            });
        }
        anyhow::ensure!(SystemTime::now() < deadline, "{name} never gets to ten");
        rest(Duration::from_millis(100));
    }
}

fn figures(bench: &mut Bench, rounds: &[Round]) {
    let column = |of: fn(&Round) -> f64| rounds.iter().map(of).collect::<Vec<f64>>();
    let first = column(|round| round.since_first);
    let name = |what: &str| format!("{MEASURE}/kafka/{what}");
    let p50 = Figure::new(name("to-ten/p50"), "s", median(&first), rounds.len());
    bench.figure(
        p50.with_spread(bootstrap(&first, 0.5))
            .with_aim(Aim::AtMost(INTERVAL + 0.1)),
    );
    let max = Figure::new(name("to-ten/max"), "s", quantile(&first, 1.0), rounds.len());
    bench.figure(max.with_aim(Aim::AtMost(INTERVAL + 0.1)));
    let stored = column(|round| round.since_last);
    let max = quantile(&stored, 1.0);
    bench.figure(Figure::new(
        name("stored-to-ten/max"),
        "s",
        max,
        rounds.len(),
    ));
    let writes = column(|round| round.writes as f64);
    let most = Figure::new(
        name("writes"),
        "writes",
        quantile(&writes, 1.0),
        rounds.len(),
    );
    bench.figure(most.with_aim(Aim::AtMost(1.0)));
}
