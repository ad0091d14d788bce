//! Many functions at zero, hit at once: until the last has answered, against as many Deployments patched at once.

use std::time::{Duration, SystemTime};

use anyhow::Result;
use futures_util::future::join_all;
use tokio::net::TcpStream;

use super::roles::Roles;
use super::{Cluster, MEASURE, Namespace, objects};
use crate::bench::{Bench, Csv, note};
use crate::figure::{Aim, Figure};
use crate::measures::cluster::plain;
use crate::measures::cluster::pods::{self, Pod};
use crate::measures::cluster::request::{ask, between};
use crate::measures::cluster::watch::Watch;
use crate::measures::rest;
use crate::stats::{bootstrap_ratio, median};

/// A hundred pods on two cores take their time.
const PATIENCE: Duration = Duration::from_secs(180);

/// What became of one round.
#[derive(Clone, Copy, Debug)]
struct Round {
    zeron: Duration,
    by_hand: Duration,
    failures: usize,
}

pub(super) fn run(bench: &mut Bench, cluster: &Cluster) -> Result<()> {
    let namespace = Namespace::create(&cluster.api, "many")?;
    let roles = Roles::start(bench, &cluster.kubeconfig, &namespace)?;
    let watch = pods::watch(&cluster.api, &namespace, objects::PORT)?;
    let header = "functions,round,zeron_ms,by_hand_ms,failures";
    let mut csv = Csv::create(MEASURE, "many", header)?;
    let sizes: &[(usize, usize)] = bench.size(&[(10, 7), (25, 5), (100, 3)], &[(3, 1)]);
    for &(count, rounds) in sizes {
        let rounds = bench.options.rounds.unwrap_or(rounds);
        let mut done = Vec::new();
        for number in 0..rounds {
            let round = self::round(cluster, &namespace, &roles, &watch, (count, number))?;
            csv.row(&[
                &count,
                &number,
                &round.zeron.as_millis(),
                &round.by_hand.as_millis(),
                &round.failures,
            ])?;
            done.push(round);
        }
        figures(bench, count, &done);
    }
    csv.close()
}

fn round(
    cluster: &Cluster,
    namespace: &Namespace,
    roles: &Roles,
    watch: &Watch<Pod>,
    (count, number): (usize, usize),
) -> Result<Round> {
    let names = |what: &str| -> Vec<String> {
        (0..count)
            .map(|index| format!("{what}-{count}-{number}-{index}"))
            .collect()
    };
    let (functions, twins) = (names("fn"), names("twin"));
    let zeron = || -> Result<_> {
        namespace.deploy(&functions, &cluster.image)?;
        namespace.declare(&functions)?;
        rest(Duration::from_secs(2));
        let done = cluster.api.block_on(through(roles, &functions));
        namespace.clear()?;
        Ok(done)
    };
    let by_hand = || -> Result<_> {
        namespace.deploy(&twins, &cluster.image)?;
        rest(Duration::from_secs(2));
        let began = SystemTime::now();
        let started = plain::wake(&cluster.api, namespace, watch, &twins, PATIENCE);
        let answers = cluster.api.block_on(started);
        namespace.clear()?;
        let last = answers?.iter().map(|it| it.first_byte).max();
        Ok(between(began, last.unwrap_or(began)))
    };
    let ((zeron, failures), by_hand) = if number % 2 == 0 {
        let by_hand = by_hand()?;
        (zeron()?, by_hand)
    } else {
        (zeron()?, by_hand()?)
    };
    Ok(Round {
        zeron,
        by_hand,
        failures,
    })
}

/// Until the last answer, and how many did not come.
async fn through(roles: &Roles, names: &[String]) -> (Duration, usize) {
    let began = SystemTime::now();
    let asked = names.iter().map(|name| async move {
        let stream = TcpStream::connect(roles.activator.listen).await?;
        ask(stream, &objects::host(name), PATIENCE).await
    });
    let mut failures = 0;
    let mut last = began;
    for outcome in join_all(asked).await {
        match outcome {
            Ok(answered) => last = last.max(answered.first_byte),
            Err(error) => {
                note(format_args!("failure: {error:#}"));
                failures += 1;
            }
        }
    }
    (between(began, last), failures)
}

fn figures(bench: &mut Bench, count: usize, rounds: &[Round]) {
    let seconds = |of: fn(&Round) -> Duration| -> Vec<f64> {
        rounds.iter().map(|round| of(round).as_secs_f64()).collect()
    };
    let (zeron, by_hand) = (seconds(|round| round.zeron), seconds(|round| round.by_hand));
    let whole = Figure::new(
        format!("{MEASURE}/many/{count}/last-answer"),
        "s",
        median(&zeron),
        rounds.len(),
    );
    bench.figure(
        whole
            .with_floor(median(&by_hand))
            .with_spread(bootstrap_ratio(&zeron, &by_hand, 0.5))
            .with_aim(Aim::RatioAtMost(1.1)),
    );
    let failures: usize = rounds.iter().map(|round| round.failures).sum();
    let failures = Figure::new(
        format!("{MEASURE}/many/{count}/failures"),
        "requests",
        failures as f64,
        rounds.len() * count,
    );
    bench.figure(failures.with_aim(Aim::AtMost(0.0)));
}
