//! Many functions at zero, asked at once: until the last has answered, on both sides in turn.

use std::time::{Duration, SystemTime};

use anyhow::Result;
use futures_util::future::join_all;
use tokio::net::TcpStream;

use super::MEASURE;
use super::installation::{Installation, Side};
use super::revisions::Revision;
use crate::bench::{Bench, Csv, note};
use crate::figure::{Aim, Figure};
use crate::measures::cluster::namespace::Namespace;
use crate::measures::cluster::request::between;
use crate::stats::{bootstrap_ratio, median};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn run(bench: &mut Bench, installation: &Installation) -> Result<()> {
    let _setting = installation.hurry()?;
    let (count, rounds) = (bench.size(25, 3), bench.rounds(3, 1));
    let mut csv = Csv::create(MEASURE, "many", "functions,round,side,last_ms,failures")?;
    let mut seconds: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    let mut failures = [0; 2];
    for round in 0..rounds {
        for side in Side::in_turn(round) {
            let (last, failed) = self::round(installation, side, count)?;
            csv.row(&[&count, &round, &side.name(), &last.as_millis(), &failed])?;
            seconds[side as usize].push(last.as_secs_f64());
            failures[side as usize] += failed;
        }
    }
    csv.close()?;
    let [knative, zeron] = &seconds;
    let last = Figure::new(
        format!("{MEASURE}/many/{count}/last-answer"),
        "s",
        median(zeron),
        rounds,
    );
    bench.figure(
        last.with_floor(median(knative))
            .with_spread(bootstrap_ratio(zeron, knative, 0.5))
            .with_aim(Aim::RatioAtMost(0.8)),
    );
    let [theirs, ours] = failures.map(|count| count as f64);
    let failed = Figure::new(
        format!("{MEASURE}/many/{count}/failures"),
        "requests",
        ours,
        rounds * count,
    );
    note(format_args!("many: Knative's own failed {theirs} requests"));
    bench.figure(failed.with_aim(Aim::AtMost(0.0)));
    Ok(())
}

/// Until the last answer, and how many did not come.
fn round(installation: &Installation, side: Side, count: usize) -> Result<(Duration, usize)> {
    let cluster = &installation.cluster;
    installation.swap(side)?;
    let namespace = Namespace::create(&cluster.api, "kn-many")?;
    let names: Vec<String> = (0..count).map(|number| format!("fn-{number}")).collect();
    let revisions = namespace.at_zero(cluster, &names)?;
    let done = cluster.api.block_on(at_once(&revisions));
    namespace.clear_revisions(cluster)?;
    Ok(done)
}

async fn at_once(revisions: &[Revision]) -> (Duration, usize) {
    let began = SystemTime::now();
    let asked = revisions.iter().map(|revision| async move {
        let stream = TcpStream::connect(revision.service).await?;
        revision.ask(stream, PATIENCE).await
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
