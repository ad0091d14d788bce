//! Functions at zero, some of them asked at once: until they answer, on both sides and of as many Deployments that are patched
//! by hand.

use std::time::{Duration, SystemTime};

use anyhow::Result;
use futures_util::future::join_all;
use tokio::net::TcpStream;

use super::MEASURE;
use super::installation::{Installation, Side};
use super::revisions::Revision;
use super::shapes::failed;
use crate::bench::{Bench, Csv, note};
use crate::figure::{Aim, Figure};
use crate::measures::cluster::namespace::{Kind, Namespace};
use crate::measures::cluster::request::between;
use crate::measures::cluster::{plain, pods};
use crate::measures::rest;
use crate::stats::{bootstrap_ratio, median, quantile};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between one number of them and the next.
const REST: Duration = Duration::from_secs(5);
/// Functions that are asked at once.
const COUNTS: &[usize] = &[1, 5, 25];
/// Of the last answer of 25, against Knative's.
const AIM: f64 = 0.8;

/// Who starts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Side(Side),
    ByHand,
}

impl Way {
    const ALL: [Self; 3] = [
        Self::Side(Side::Knative),
        Self::Side(Side::Zeron),
        Self::ByHand,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Side(side) => side.name(),
            Self::ByHand => "by-hand",
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Side(side) => side as usize,
            Self::ByHand => 2,
        }
    }
}

/// Seconds to each answer of those that were asked at once, and how many did not come.
#[derive(Clone, Debug, Default)]
struct Answers {
    seconds: Vec<f64>,
    failures: usize,
}

impl Answers {
    fn last(&self) -> f64 {
        self.seconds.iter().copied().fold(f64::NAN, f64::max)
    }
}

/// The rounds of one way.
type Rounds = Vec<Answers>;

pub(super) fn run(bench: &mut Bench, installation: &Installation) -> Result<()> {
    let _setting = installation.hurry()?;
    let counts = bench.size(COUNTS, &[1, 3]);
    let header = "functions,round,way,last_s,p50_s,failures";
    let mut csv = Csv::create(MEASURE, "scale-from-zero", header)?;
    let mut all: Vec<[Rounds; 3]> = counts.iter().map(|_| Default::default()).collect();
    for round in 0..bench.rounds(3, 1) {
        let mut ways = Way::ALL;
        ways.rotate_left(round % Way::ALL.len());
        for way in ways {
            let groups = match way {
                Way::Side(side) => through(installation, side, counts)?,
                Way::ByHand => by_hand(installation, counts)?,
            };
            for ((count, rounds), answers) in counts.iter().zip(&mut all).zip(groups) {
                let (last, p50) = (answers.last(), median(&answers.seconds));
                csv.row(&[count, &round, &way.name(), &last, &p50, &answers.failures])?;
                rounds[way.index()].push(answers);
            }
        }
    }
    csv.close()?;
    for (count, rounds) in counts.iter().zip(&all) {
        figures(bench, *count, rounds);
    }
    Ok(())
}

/// Names of each group.
fn names(counts: &[usize]) -> Vec<Vec<String>> {
    let group = |count: &usize| (0..*count).map(|n| format!("fn-{count}-{n}")).collect();
    counts.iter().map(group).collect()
}

/// Functions that went to zero by themselves, group by group.
fn through(installation: &Installation, side: Side, counts: &[usize]) -> Result<Rounds> {
    let cluster = &installation.cluster;
    installation.swap(side)?;
    let namespace = Namespace::create(&cluster.api, "kn-from-zero")?;
    let revisions = namespace.at_zero(cluster, &names(counts).concat())?;
    let mut left = &revisions[..];
    let mut rounds = Vec::new();
    for count in counts {
        let (group, rest_of) = left.split_at(*count);
        left = rest_of;
        rounds.push(cluster.api.block_on(at_once(group)));
        rest(REST);
    }
    namespace.clear_revisions(cluster)?;
    Ok(rounds)
}

async fn at_once(revisions: &[Revision]) -> Answers {
    let began = SystemTime::now();
    let asked = revisions.iter().map(|revision| async move {
        let stream = TcpStream::connect(revision.service).await?;
        revision.ask(stream, PATIENCE).await
    });
    let mut answers = Answers::default();
    for outcome in join_all(asked).await {
        match outcome {
            Ok(answered) => {
                let took = between(began, answered.first_byte);
                answers.seconds.push(took.as_secs_f64());
            }
            Err(error) => {
                note(format_args!("failure: {error:#}"));
                answers.failures += 1;
            }
        }
    }
    answers
}

/// Deployments, patched and asked at their pods.
fn by_hand(installation: &Installation, counts: &[usize]) -> Result<Rounds> {
    let cluster = &installation.cluster;
    let namespace = Namespace::create(&cluster.api, "kn-by-hand")?;
    let watch = pods::watch(&cluster.api, &namespace, plain::PORT)?;
    let groups = names(counts);
    namespace.deploy(&groups.concat(), &cluster.image)?;
    let mut rounds = Vec::new();
    for group in &groups {
        rest(REST);
        let began = SystemTime::now();
        let started = plain::wake(&cluster.api, &namespace, &watch, group, PATIENCE);
        let answers = cluster.api.block_on(started)?;
        let took = answers
            .iter()
            .map(|it| between(began, it.first_byte).as_secs_f64());
        rounds.push(Answers {
            seconds: took.collect(),
            failures: 0,
        });
    }
    namespace.delete_all(&[Kind::Deployment, Kind::Pod])?;
    Ok(rounds)
}

fn figures(bench: &mut Bench, count: usize, [knative, zeron, by_hand]: &[Rounds; 3]) {
    let at = format!("{MEASURE}/scale-from-zero/{count}");
    let last = |rounds: &Rounds| -> Vec<f64> { rounds.iter().map(Answers::last).collect() };
    let (ours, theirs, hand) = (last(zeron), last(knative), last(by_hand));
    let against = |name: &str, floor: &[f64]| {
        Figure::new(format!("{at}/{name}"), "s", median(&ours), ours.len())
            .with_floor(median(floor))
            .with_spread(bootstrap_ratio(&ours, floor, 0.5))
    };
    let figure = against("last-answer", &theirs);
    bench.figure(match count {
        25 => figure.with_aim(Aim::RatioAtMost(AIM)),
        _ => figure,
    });
    bench.figure(against("last-answer-to-by-hand", &hand));
    let each =
        |rounds: &Rounds| -> Vec<f64> { rounds.iter().flat_map(|it| it.seconds.clone()).collect() };
    let (ours, theirs) = (each(zeron), each(knative));
    for (name, q) in [("p50", 0.5), ("p95", 0.95)] {
        let figure = Figure::new(format!("{at}/{name}"), "s", quantile(&ours, q), ours.len());
        let spread = bootstrap_ratio(&ours, &theirs, q);
        bench.figure(figure.with_floor(quantile(&theirs, q)).with_spread(spread));
    }
    let failures = [knative, zeron].map(|rounds| -> f64 {
        let all: usize = rounds.iter().map(|it| it.failures).sum();
        all as f64
    });
    bench.figure(failed(
        format!("{at}/failures"),
        failures,
        zeron.len() * count,
    ));
}
