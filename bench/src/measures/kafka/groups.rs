//! Many consumer groups of one topic at one broker: what reading all of them costs, and how soon all are known.
//!
//! Every group has a function at zero and no lag. Between zeron and the broker sits a proxy that counts requests and
//! connections and that the broker's answers name instead of it.

mod commit;
mod proxy;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use serde_json::{Value, json};

use self::proxy::Proxy;
use super::broker;
use crate::bench::{Bench, Csv, note, this_program};
use crate::figure::{Aim, Figure};
use crate::measures::{MIB, PATIENCE, rest};
use crate::process::{cpu_time, resident_bytes};
use crate::subject::zeron::Zeron;

const MEASURE: &str = "kafka-groups";
const INTERVAL: Duration = Duration::from_secs(5);
const PARTITIONS: i32 = 10;
/// After the first reading, before it is measured what the next ones cost.
const SETTLE: Duration = Duration::from_secs(10);

/// What was measured while every group was read over and over.
#[derive(Debug)]
struct Cost {
    known_after: Duration,
    evaluations: f64,
    requests: u64,
    cpu_percent: f64,
    threads: usize,
    connections: usize,
    resident: u64,
}

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let Some(broker) = broker::obtain(bench)? else {
        return Ok(());
    };
    let Ok(address) = broker.addresses.parse::<SocketAddr>() else {
        note("SKIPPED: kafka-groups needs one broker, named by its address: IP:PORT");
        return Ok(());
    };
    let count = bench.size(1_000, 50);
    let topic = format!("{MEASURE}-{}", std::process::id());
    let groups: Vec<String> = (0..count).map(|i| format!("{topic}-{i:04}")).collect();
    bench.block_on(create_topic(&broker.addresses, &topic))?;
    commit::commit_all(address, &groups, &topic, PARTITIONS)?;
    let proxy = Proxy::start(address)?;
    let cost = measure(bench, &proxy, &topic, &groups)?;
    write(&cost)?;
    figures(bench, count, &cost);
    Ok(())
}

fn measure(bench: &Bench, proxy: &Proxy, topic: &str, groups: &[String]) -> Result<Cost> {
    let brokers = proxy.address().to_string();
    let program = this_program()?;
    let documents: Vec<Value> = groups
        .iter()
        .flat_map(|group| documents(group, topic, &brokers, &program))
        .collect();
    let began = Instant::now();
    let zeron = bench.zeron(MEASURE, &documents)?;
    wait_until_known(&zeron, groups.len())?;
    let known_after = began.elapsed();
    rest(SETTLE);

    let pid = zeron.process.pid();
    let window = INTERVAL * bench.size(12, 2);
    proxy.take();
    let (from, before) = (Instant::now(), cpu_time(pid)?);
    rest(window);
    let used = cpu_time(pid)?.since(&before).as_secs_f64();
    let (requests, passed) = (proxy.take(), from.elapsed().as_secs_f64());
    note(format_args!(
        "requests in {passed:.1} s by kind: {requests:?}"
    ));
    let cost = Cost {
        known_after,
        evaluations: passed / INTERVAL.as_secs_f64(),
        requests: requests.values().sum(),
        cpu_percent: used / passed * 100.0,
        threads: std::fs::read_dir(format!("/proc/{pid}/task"))?.count(),
        connections: proxy.connections(),
        resident: resident_bytes(pid)?,
    };
    // All must be known still.
    wait_until_known(&zeron, groups.len())?;
    Ok(cost)
}

async fn create_topic(brokers: &str, topic: &str) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()?;
    let topics = [NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1))];
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    for made in admin.create_topics(&topics, &options).await? {
        made.map_err(|(topic, code)| anyhow::anyhow!("topic {topic}: {code}"))?;
    }
    Ok(())
}

fn documents(group: &str, topic: &str, brokers: &str, program: &str) -> [Value; 2] {
    let labels = json!({"app": group});
    let container =
        json!({"name": "main", "image": "bench", "command": [program, "origin", "--deaf"]});
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": group},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [container]},
        }},
    });
    let metadata = json!({"bootstrapServers": brokers, "topic": topic, "consumerGroup": group});
    let scaled_object = json!({
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": group},
        "spec": {
            "scaleTargetRef": {"name": group},
            "pollingInterval": INTERVAL.as_secs(),
            "triggers": [{"type": "kafka", "metadata": metadata}],
        },
    });
    [deployment, scaled_object]
}

/// Waits until the lag of every group is known, and zero.
fn wait_until_known(zeron: &Zeron, count: usize) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = zeron.admin("/v1/functions")?;
        let functions = answer["functions"].as_array().context("no functions")?;
        let is_known =
            |function: &&Value| function["triggers"][0]["value"]["known"]["value"] == 0.0;
        let known = functions.iter().filter(is_known).count();
        if known == count {
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "only {known} of {count} groups are known: {}",
            functions
                .first()
                .map_or(Value::Null, |it| it["triggers"].clone())
        );
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

fn write(cost: &Cost) -> Result<()> {
    let columns =
        "known_after_ms,evaluations,requests,cpu_percent,threads,connections,resident_bytes";
    let mut csv = Csv::create(MEASURE, "cost", columns)?;
    csv.row(&[
        &cost.known_after.as_millis(),
        &cost.evaluations,
        &cost.requests,
        &cost.cpu_percent,
        &cost.threads,
        &cost.connections,
        &cost.resident,
    ])?;
    csv.close()
}

#[allow(clippy::cast_precision_loss)]
fn figures(bench: &mut Bench, count: usize, cost: &Cost) {
    let mut figure = |what: &str, unit: &'static str, value: f64, aim: f64| {
        let figure = Figure::new(format!("{MEASURE}/{count}/{what}"), unit, value, 1);
        bench.figure(figure.with_aim(Aim::AtMost(aim)));
    };
    let requests = cost.requests as f64 / cost.evaluations;
    figure("requests", "per evaluation", requests, 20.0);
    figure("cpu", "% of a core", cost.cpu_percent, 5.0);
    figure("threads", "threads", cost.threads as f64, 20.0);
    figure("connections", "per broker", cost.connections as f64, 3.0);
    figure("resident", "MiB", cost.resident as f64 / MIB, 100.0);
    figure("all-known-after", "s", cost.known_after.as_secs_f64(), 5.0);
}
