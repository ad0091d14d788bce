//! Event sources: from an event to the decision that wakes its function, polled every second, and pushed.
//!
//! Every sample has a thing (list, stream, row, ...) and a function of its own, all at zero. Events come at random
//! moments, on connections that are open already: what counts is the way from the server to the decision.

mod feeds;

use std::time::{Duration, Instant, UNIX_EPOCH};

use anyhow::Result;
use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::{Value, json};
use zeron_tests::broker::Unavailable;

use self::feeds::Feed;
use super::{PATIENCE, rest};
use crate::bench::{Bench, Csv, note, this_program};
use crate::figure::{Aim, Figure};
use crate::stats::{Random, bootstrap, quantile};
use crate::subject::zeron::Zeron;

const MEASURE: &str = "sources";
/// The shortest interval that KEDA has.
const INTERVAL_MS: f64 = 1_000.0;
/// Over the interval, and for a push.
const SLACK_MS: f64 = 50.0;
/// How often it is looked whether a decision was made.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Which sources.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Options {
    /// The sources by their types; all of them when none is named.
    #[arg(value_name = "TYPE", value_parser = PossibleValuesParser::new(feeds::ALL.map(|(name, _)| name)))]
    types: Vec<String>,
}

pub(super) fn run(bench: &mut Bench, options: &Options) -> Result<()> {
    let rounds = bench.rounds(20, 2);
    let mut csv = Csv::create(MEASURE, "samples", "source,round,ms")?;
    let is_asked =
        |name: &str| options.types.is_empty() || options.types.iter().any(|it| it == name);
    for (name, start) in feeds::ALL.into_iter().filter(|(name, _)| is_asked(name)) {
        let feed = match start() {
            Ok(feed) => feed,
            Err(Unavailable::Skip(reason)) => {
                note(format_args!("SKIPPED {name}: {reason}"));
                continue;
            }
            Err(Unavailable::Failed(error)) => return Err(error),
        };
        measure(bench, name, feed, rounds, &mut csv)?;
    }
    csv.close()
}

/// All samples of one source, polled and (where it can) pushed.
fn measure(
    bench: &mut Bench,
    source: &str,
    mut feed: Box<dyn Feed>,
    rounds: usize,
    csv: &mut Csv,
) -> Result<()> {
    for is_pushed in [false, true] {
        if is_pushed && !feed.can_push() {
            continue;
        }
        let name = format!("{source}{}", if is_pushed { "-push" } else { "" });
        let things: Vec<String> = (0..rounds).map(|round| format!("{name}-{round}")).collect();
        for thing in &things {
            feed.make(thing)?;
        }
        let zeron = bench.zeron(MEASURE, &documents(&*feed, &things, is_pushed)?)?;
        zeron.wait_until_cold(PATIENCE)?;
        wait_until_known(&zeron, things.len())?;
        let mut random = Random::new(7);
        let mut samples = Vec::new();
        for (round, thing) in things.iter().enumerate() {
            rest(Duration::from_millis(random.below(1_000) as u64));
            let began = feed.emit(thing)?;
            let decided = wait_until_decided(&zeron, thing)?;
            let took = decided - began.duration_since(UNIX_EPOCH)?.as_secs_f64() * 1e3;
            csv.row(&[&name, &round, &took])?;
            samples.push(took);
        }
        figures(bench, &name, &mut samples, is_pushed);
    }
    Ok(())
}

fn figures(bench: &mut Bench, name: &str, samples: &mut [f64], is_pushed: bool) {
    samples.sort_by(f64::total_cmp);
    let slowest = samples.last().copied().unwrap_or(f64::NAN);
    let spread = bootstrap(samples, 0.5);
    let p50 = Figure::new(
        format!("{MEASURE}/{name}/p50"),
        "ms",
        quantile(samples, 0.5),
        samples.len(),
    );
    bench.figure(p50.with_spread(spread));
    let most = if is_pushed {
        SLACK_MS
    } else {
        INTERVAL_MS + SLACK_MS
    };
    let figure = Figure::new(
        format!("{MEASURE}/{name}/max"),
        "ms",
        slowest,
        samples.len(),
    );
    bench.figure(figure.with_aim(Aim::AtMost(most)));
}

fn documents(feed: &dyn Feed, things: &[String], is_pushed: bool) -> Result<Vec<Value>> {
    let program = this_program()?;
    let mut documents = feed.authentication();
    let has_authentication = !documents.is_empty();
    for thing in things {
        let labels = json!({"app": thing});
        let container =
            json!({"name": "main", "image": "bench", "command": [program, "origin", "--deaf"]});
        documents.push(json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": thing},
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container]},
            }},
        }));
        let mut trigger =
            json!({"type": feed.kind(is_pushed), "metadata": feed.metadata(thing, is_pushed)});
        if has_authentication {
            trigger["authenticationRef"] = json!({"name": "bench"});
        }
        documents.push(json!({
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": {"name": thing},
            "spec": {"scaleTargetRef": {"name": thing}, "pollingInterval": 1, "triggers": [trigger]},
        }));
    }
    Ok(documents)
}

/// Waits until every trigger was read.
fn wait_until_known(zeron: &Zeron, count: usize) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = zeron.admin("/v1/functions")?;
        let functions = answer["functions"].as_array().cloned().unwrap_or_default();
        let is_known = |it: &&Value| it["triggers"][0]["value"]["known"].is_object();
        if functions.iter().filter(is_known).count() == count {
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "not every trigger is known: {}",
            functions
                .first()
                .map_or(Value::Null, |it| it["triggers"].clone())
        );
        rest(LOOK_EVERY);
    }
}

/// When the first decision above zero was made, in milliseconds of Unix time.
fn wait_until_decided(zeron: &Zeron, thing: &str) -> Result<f64> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let decisions = zeron.decisions(thing)?;
        let woke = decisions.iter().find(|it| it["desired"].as_u64() > Some(0));
        // Microseconds of Unix time.
        if let Some(at) = woke.and_then(|it| it["at"].as_f64()) {
            return Ok(at / 1e3);
        }
        anyhow::ensure!(Instant::now() < deadline, "{thing} was not woken");
        rest(LOOK_EVERY);
    }
}
