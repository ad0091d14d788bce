//! Ways to the same function, in turn: directly, through the floor or a peer, through zeron.
//!
//! Added latency is the percentile through a proxy minus the same percentile of the direct way in the same round.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use rustix::process::Pid;

use crate::bench::{Bench, Csv, note};
use crate::figure::{Aim, Figure};
use crate::loadgen::{self, Load, Report, Target};
use crate::process::cpu_time;
use crate::stats::{bootstrap, median};

const CONNECTIONS: usize = 32;

/// Columns of the raw rounds.
pub(super) const COLUMNS: &str = "size,pace,round,way,p50_us,p99_us,cpu_us,per_second,failures";

/// One way to the function.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    pub(super) target: Target,
    /// The proxy's process, where there is one.
    pub(super) pid: Option<Pid>,
}

/// What is compared: directly, through the floor or peer, through zeron.
#[derive(Debug)]
pub(super) struct Comparison {
    pub(super) measure: &'static str,
    /// Bytes of the body.
    pub(super) size: usize,
    pub(super) ways: [Way; 3],
    pub(super) aims: fn(Pace) -> Aims,
}

/// Aims of one pace, as ratios to the floor.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Aims {
    pub(super) cpu: Option<f64>,
    pub(super) added_p50: Option<f64>,
    pub(super) added_p99: Option<f64>,
}

/// How requests come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    PerSecond(u32),
    Saturation,
}

impl Pace {
    fn name(self) -> String {
        match self {
            Self::PerSecond(rate) => format!("{rate}-per-s"),
            Self::Saturation => "saturation".to_owned(),
        }
    }
}

/// What one round of one way gave.
#[derive(Clone, Copy, Debug)]
struct Round {
    p50_us: f64,
    p99_us: f64,
    cpu_us: f64,
    per_second: f64,
    failures: usize,
}

impl Comparison {
    /// Measures at one pace and adds its figures.
    pub(super) fn run(&self, bench: &mut Bench, pace: Pace, csv: &mut Csv) -> Result<()> {
        let rounds = self.alternate(bench, pace, csv)?;
        self.figures(bench, pace, &rounds);
        Ok(())
    }

    /// One [`Round`] per way, again and again.
    fn alternate(&self, bench: &Bench, pace: Pace, csv: &mut Csv) -> Result<Vec<[Round; 3]>> {
        let seconds = bench.size(4.0, 0.3);
        let mut rounds = Vec::new();
        // The first round fills pools and caches, and is dropped.
        for number in 0..=bench.rounds(7, 1) {
            let mut one = Vec::new();
            for way in &self.ways {
                let round = measure(bench, way, pace, seconds)?;
                csv.row(&[
                    &self.size,
                    &pace.name(),
                    &number,
                    &way.name,
                    &round.p50_us,
                    &round.p99_us,
                    &round.cpu_us,
                    &round.per_second,
                    &round.failures,
                ])?;
                one.push(round);
            }
            if number > 0 {
                rounds.push([one[0], one[1], one[2]]);
            }
        }
        Ok(rounds)
    }

    fn figures(&self, bench: &mut Bench, pace: Pace, rounds: &[[Round; 3]]) {
        let at = format!("{}/{}B", pace.name(), self.size);
        let measure = self.measure;
        let aims = (self.aims)(pace);
        let column = |way: usize, pick: fn(&Round) -> f64| {
            rounds.iter().map(|r| pick(&r[way])).collect::<Vec<f64>>()
        };
        let (floor, zeron) = (column(1, |r| r.cpu_us), column(2, |r| r.cpu_us));
        let name = format!("{measure}/cpu-per-request/{at}");
        bench.figure(compare(name, aims.cpu, &floor, &zeron));
        match pace {
            Pace::PerSecond(_) => {
                for (name, most, pick) in [
                    (
                        "added-p50",
                        aims.added_p50,
                        (|r| r.p50_us) as fn(&Round) -> f64,
                    ),
                    ("added-p99", aims.added_p99, |r| r.p99_us),
                ] {
                    let direct = column(0, pick);
                    let added = |way| {
                        let pairs = column(way, pick).into_iter().zip(&direct);
                        pairs.map(|(via, direct)| via - direct).collect::<Vec<_>>()
                    };
                    let name = format!("{measure}/{name}/{at}");
                    bench.figure(compare(name, most, &added(1), &added(2)));
                }
            }
            Pace::Saturation => {
                let rates = column(2, |r| r.per_second);
                let figure = Figure::new(
                    format!("{measure}/rate/{at}"),
                    "per s",
                    median(&rates),
                    rounds.len(),
                )
                .with_floor(median(&column(1, |r| r.per_second)))
                .with_spread(bootstrap(&rates, 0.5));
                bench.figure(figure);
                note(format_args!(
                    "directly, {:.0} requests a second of {} B",
                    median(&column(0, |r| r.per_second)),
                    self.size
                ));
            }
        }
        let failures: usize = rounds.iter().flatten().map(|round| round.failures).sum();
        let failed = Figure::new(
            format!("{measure}/failures/{at}"),
            "requests",
            failures as f64,
            rounds.len(),
        );
        bench.figure(failed.with_aim(Aim::AtMost(0.0)));
    }
}

/// Medians of both sides, and of their ratios round by round.
fn compare(name: String, most: Option<f64>, floor: &[f64], zeron: &[f64]) -> Figure {
    // A floor that adds nothing is lost in noise: no ratio to it is known.
    let ratio = |(zeron, floor): (&f64, &f64)| {
        if *floor > 0.0 {
            zeron / floor
        } else {
            f64::NAN
        }
    };
    let ratios: Vec<f64> = zeron.iter().zip(floor).map(ratio).collect();
    let figure = Figure::new(name, "us", median(zeron), ratios.len())
        .with_ratio(median(&ratios))
        .with_floor(median(floor))
        .with_spread(bootstrap(&ratios, 0.5));
    match most {
        Some(most) => figure.with_aim(Aim::RatioAtMost(most)),
        None => figure,
    }
}

fn measure(bench: &Bench, way: &Way, pace: Pace, seconds: f64) -> Result<Round> {
    let load = Load {
        address: way.address,
        targets: vec![way.target.clone()],
        connections: CONNECTIONS,
        preconnect: true,
        timeout: super::PATIENCE,
    };
    let cpu = || way.pid.map(cpu_time).transpose();
    let before = cpu()?;
    let report = send(bench, &load, pace, seconds)?;
    let used = cpu()?
        .zip(before)
        .map(|(after, before)| after.since(&before));
    warn_if_late(&report, pace);
    Ok(Round {
        p50_us: report.latency_us(0.5),
        p99_us: report.latency_us(0.99),
        cpu_us: used.map_or(f64::NAN, |used| {
            used.as_secs_f64() * 1e6 / report.samples.len() as f64
        }),
        per_second: report.per_second(),
        failures: report.samples.len() - report.ok(),
    })
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // some thousands of requests
fn send(bench: &Bench, load: &Load, pace: Pace, seconds: f64) -> Result<Report> {
    match pace {
        Pace::PerSecond(rate) => {
            let arrivals =
                loadgen::constant(f64::from(rate), (f64::from(rate) * seconds) as usize, 1);
            bench.block_on(loadgen::open_loop(load, &arrivals))
        }
        Pace::Saturation => {
            bench.block_on(loadgen::closed_loop(load, Duration::from_secs_f64(seconds)))
        }
    }
}

fn warn_if_late(report: &Report, pace: Pace) {
    if let Pace::PerSecond(rate) = pace
        && report.late_us(0.5) > 1e6 / f64::from(rate)
    {
        note(format_args!(
            "the generator itself was late at {rate} requests a second: p50 {:.0} us",
            report.late_us(0.5)
        ));
    }
}
