//! One function at zero: Zeron's own share of its start, and the whole against the same Deployment patched by hand.
//!
//! Own share, before: from sending the request until the API server received the write of the count. Own share,
//! after: from the moment at which the pod could be reached by somebody who knows where it is (its address was
//! stored, and it accepted) to the first byte of the answer. Functions and their twins are used once.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use tokio::net::TcpStream;

use super::roles::Roles;
use super::{Cluster, MEASURE, Namespace, objects};
use crate::bench::{Bench, Csv};
use crate::figure::{Aim, Figure};
use crate::measures::cluster::audit::Events;
use crate::measures::cluster::pods::{self, Pod};
use crate::measures::cluster::pressure::Pressure;
use crate::measures::cluster::request::{Answered, ask, between, connect, millis};
use crate::measures::cluster::watch::Watch;
use crate::measures::{PATIENCE, rest};
use crate::stats::{Random, bootstrap, bootstrap_ratio, median, quantile};

/// Pairs that are made, used and deleted together.
const BATCH: usize = 20;
/// Pairs that fill caches, and are dropped.
const WARM_UP: usize = 2;
/// Between two starts: nothing of one may run during the next.
const REST: Duration = Duration::from_millis(300);
/// And up to so much more: the kubelet looks at its containers once a second, and starts that always fell on the same
/// part of that second would take one of two times, whose median says nothing.
const PHASE: Duration = Duration::from_secs(1);

/// One start through Zeron.
#[derive(Clone, Debug)]
struct Through {
    name: String,
    answered: Answered,
    pod: Pod,
    /// When the prober was first accepted, where it was refused before.
    accepted: Option<SystemTime>,
}

/// Milliseconds of one pair.
#[derive(Clone, Copy, Debug)]
struct Pair {
    before: f64,
    after: f64,
    /// From the stored address until a watch of ours told it: the API server's part of `after`.
    watched: f64,
    whole: f64,
    by_hand: f64,
    /// Percent of the time of this pair in which somebody waited for a core.
    pressure: f64,
}

pub(super) fn run(bench: &mut Bench, cluster: &Cluster) -> Result<()> {
    let rounds = bench.rounds(100, 3);
    let namespace = Namespace::create(&cluster.api, "cold")?;
    let roles = Roles::start(bench, &cluster.kubeconfig, &namespace)?;
    let watch = pods::watch(&cluster.api, &namespace, objects::PORT)?;
    let mut pairs = Vec::new();
    let mut writers = Vec::new();
    let mut number = 0;
    while number < rounds + WARM_UP {
        let count = BATCH.min(rounds + WARM_UP - number);
        let batch: Vec<usize> = (number..number + count).collect();
        for (round, pair, writer) in self::batch(cluster, &namespace, &roles, &watch, &batch)? {
            if round >= WARM_UP {
                pairs.push(pair);
                writers.push(writer);
            }
        }
        number += count;
    }
    write(&pairs, &writers)?;
    figures(bench, &pairs);
    Ok(())
}

fn batch(
    cluster: &Cluster,
    namespace: &Namespace,
    roles: &Roles,
    watch: &Watch<Pod>,
    rounds: &[usize],
) -> Result<Vec<(usize, Pair, String)>> {
    let functions: Vec<String> = rounds.iter().map(|it| format!("fn-{it}")).collect();
    let twins: Vec<String> = rounds.iter().map(|it| format!("twin-{it}")).collect();
    namespace.deploy(&[functions.clone(), twins.clone()].concat(), &cluster.image)?;
    namespace.declare(&functions)?;
    rest(Duration::from_secs(2));
    let audit = cluster.audit()?;
    let mut random = Random::new(rounds.first().map_or(0, |&first| first as u64));
    let mut done = Vec::new();
    for ((&round, function), twin) in rounds.iter().zip(&functions).zip(&twins) {
        let pressure = Pressure::begin();
        let hand = || {
            cluster
                .api
                .block_on(by_hand(cluster, namespace, watch, twin))
        };
        let zeron = || cluster.api.block_on(through(roles, watch, function));
        let (by_hand, through) = if round % 2 == 0 {
            let by_hand = hand()?;
            rest(pause(&mut random));
            (by_hand, zeron()?)
        } else {
            let through = zeron()?;
            rest(pause(&mut random));
            (hand()?, through)
        };
        let pressure = pressure.percent();
        rest(pause(&mut random));
        done.push((round, by_hand, through, pressure));
    }
    let events = audit.events(&namespace.name)?;
    namespace.clear()?;
    done.into_iter()
        .map(|(round, by_hand, through, pressure)| {
            let (pair, writer) = judge(&events, by_hand, &through, pressure)?;
            Ok((round, pair, writer))
        })
        .collect()
}

fn pause(random: &mut Random) -> Duration {
    REST + PHASE.mul_f64(random.unit())
}

/// Patches a Deployment and asks its pod until it answers.
async fn by_hand(
    cluster: &Cluster,
    namespace: &Namespace,
    watch: &Watch<Pod>,
    name: &str,
) -> Result<Duration> {
    let began = SystemTime::now();
    cluster.api.scale(&namespace.name, name, 1).await?;
    let pod = watch.first(name, PATIENCE).await?;
    let accepted = connect(pod.address, PATIENCE).await?;
    let answered = ask(accepted.stream, name, PATIENCE).await?;
    Ok(between(began, answered.first_byte))
}

/// Asks a function at zero, while a prober looks when its pod accepts.
async fn through(roles: &Roles, watch: &Watch<Pod>, name: &str) -> Result<Through> {
    let stream = TcpStream::connect(roles.activator.listen).await?;
    let host = objects::host(name);
    let prober = async {
        let pod = watch.first(name, PATIENCE).await?;
        let accepted = connect(pod.address, PATIENCE).await?;
        anyhow::Ok((pod, accepted.began))
    };
    let (answered, (pod, accepted)) = tokio::try_join!(ask(stream, &host, PATIENCE), prober)?;
    Ok(Through {
        name: name.to_owned(),
        answered,
        pod,
        accepted,
    })
}

/// Compares what the client saw with what the API server saw. Also tells who wrote the count.
fn judge(
    events: &Events,
    by_hand: Duration,
    through: &Through,
    pressure: f64,
) -> Result<(Pair, String)> {
    let name = &through.name;
    let write = events
        .wake(name)
        .with_context(|| format!("{name}: no write of its count in the audit log"))?;
    let committed = events
        .address_of(&through.pod.name)
        .with_context(|| format!("{name}: no address of its pod in the audit log"))?;
    let reachable = through.accepted.map_or(committed, |it| it.max(committed));
    let Answered { sent, first_byte } = through.answered;
    let pair = Pair {
        before: millis(between(sent, write.received)),
        after: millis(between(reachable, first_byte)),
        watched: millis(between(committed, through.pod.seen)),
        whole: millis(through.answered.took()),
        by_hand: millis(by_hand),
        pressure,
    };
    Ok((pair, write.user_agent.clone()))
}

fn write(pairs: &[Pair], writers: &[String]) -> Result<()> {
    let header = "pair,until_write_ms,after_reachable_ms,watched_ms,whole_ms,by_hand_ms,pressure_percent,writer";
    let mut csv = Csv::create(MEASURE, "cold-start", header)?;
    for (number, (pair, writer)) in pairs.iter().zip(writers).enumerate() {
        let Pair {
            before,
            after,
            watched,
            whole,
            by_hand,
            pressure,
        } = pair;
        csv.row(&[
            &number, before, after, watched, whole, by_hand, pressure, writer,
        ])?;
    }
    csv.close()
}

fn figures(bench: &mut Bench, pairs: &[Pair]) {
    let column = |of: fn(&Pair) -> f64| pairs.iter().map(of).collect::<Vec<f64>>();
    let shares = [
        ("until-scale-write", column(|pair| pair.before)),
        ("reachable-to-first-byte", column(|pair| pair.after)),
    ];
    for (name, samples) in &shares {
        for (percentile, q, most) in [("p50", 0.5, 5.0), ("p95", 0.95, 15.0)] {
            let figure = Figure::new(
                format!("{MEASURE}/cold-start/{name}/{percentile}"),
                "ms",
                quantile(samples, q),
                samples.len(),
            );
            bench.figure(
                figure
                    .with_spread(bootstrap(samples, q))
                    .with_aim(Aim::AtMost(most)),
            );
        }
    }
    let watched = column(|pair| pair.watched);
    for (percentile, q) in [("p50", 0.5), ("p95", 0.95)] {
        bench.figure(Figure::new(
            format!("{MEASURE}/cold-start/stored-to-watched/{percentile}"),
            "ms",
            quantile(&watched, q),
            watched.len(),
        ));
    }
    let (whole, by_hand) = (column(|pair| pair.whole), column(|pair| pair.by_hand));
    for (percentile, q) in [("p5", 0.05), ("p95", 0.95)] {
        let figure = Figure::new(
            format!("{MEASURE}/cold-start/whole/{percentile}"),
            "ms",
            quantile(&whole, q),
            whole.len(),
        );
        bench.figure(figure.with_floor(quantile(&by_hand, q)));
    }
    let figure = Figure::new(
        format!("{MEASURE}/cold-start/whole/p50"),
        "ms",
        median(&whole),
        whole.len(),
    );
    bench.figure(
        figure
            .with_floor(median(&by_hand))
            .with_spread(bootstrap_ratio(&whole, &by_hand, 0.5))
            .with_aim(Aim::RatioReaches(1.03)),
    );
}
