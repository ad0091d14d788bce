//! Warm hop: what a request costs on its way through a proxy that has nothing to decide.
//!
//! Three ways to the same origin, in turn: directly, through the floor, through zeron. Added latency is the
//! percentile through a proxy minus the same percentile of the direct way in the same round.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;

use crate::affinity::Place;
use crate::bench::{Bench, Csv, note, this_program};
use crate::figure::{Aim, Figure};
use crate::loadgen::{self, Load, Report, Target};
use crate::process::{Process, cpu_time};
use crate::stats::{bootstrap, median};
use crate::subject::manifest::Service;
use crate::subject::{Listening, origin};

const MEASURE: &str = "warm-hop";
const CONNECTIONS: usize = 32;
const SIZES: [usize; 2] = [64, 4096];
const RATES: [u32; 3] = [1_000, 3_000, 6_000];

/// One way to the origin.
struct Way<'a> {
    name: &'static str,
    address: SocketAddr,
    host: String,
    /// The proxy, where there is one.
    process: Option<&'a Process>,
}

/// What one round of one way gave.
#[derive(Clone, Copy)]
struct Round {
    p50_us: f64,
    p99_us: f64,
    cpu_us: f64,
    per_second: f64,
    failures: usize,
}

/// How requests come.
#[derive(Clone, Copy)]
enum Pace {
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

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let direct = Listening::start(&["origin"], &bench.cores, Place::Generator)?;
    let upstream = direct.address.to_string();
    let floor = Listening::start(
        &["floor", "--upstream", &upstream],
        &bench.cores,
        Place::Proxy,
    )?;
    let core = bench.cores.generator().to_string();
    let command = [
        this_program()?,
        "origin".to_owned(),
        "--core".to_owned(),
        core,
    ];
    let service = Service::new("warm", command.to_vec())
        .scaling("min-scale", "1")
        .scaling("max-scale", "1");
    let zeron = bench.zeron_at(MEASURE, &[service.document()], Place::Proxy, Some(1))?;
    let host = service.host();
    let ways = [
        Way {
            name: "direct",
            address: direct.address,
            host: host.clone(),
            process: None,
        },
        Way {
            name: "floor",
            address: floor.address,
            host: host.clone(),
            process: Some(&floor.process),
        },
        Way {
            name: "zeron",
            address: zeron.address,
            host,
            process: Some(&zeron.process),
        },
    ];
    let mut csv = Csv::create(
        MEASURE,
        "rounds",
        "size,pace,round,way,p50_us,p99_us,cpu_us,per_second,failures",
    )?;
    for size in SIZES {
        for pace in RATES
            .map(Pace::PerSecond)
            .into_iter()
            .chain([Pace::Saturation])
        {
            let rounds = alternate(bench, &ways, size, pace, &mut csv)?;
            figures(bench, size, pace, &rounds);
        }
    }
    csv.close()
}

/// `rounds[i]` holds one [`Round`] per way.
fn alternate(
    bench: &Bench,
    ways: &[Way<'_>; 3],
    size: usize,
    pace: Pace,
    csv: &mut Csv,
) -> Result<Vec<[Round; 3]>> {
    let seconds = bench.size(4.0, 0.3);
    let mut rounds = Vec::new();
    // The first round fills pools and caches, and is dropped.
    for number in 0..=bench.rounds(7, 1) {
        let mut one = Vec::new();
        for way in ways {
            let round = measure(bench, way, size, pace, seconds)?;
            csv.row(&[
                &size,
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

fn measure(bench: &Bench, way: &Way<'_>, size: usize, pace: Pace, seconds: f64) -> Result<Round> {
    let load = Load {
        address: way.address,
        targets: vec![Target {
            host: way.host.clone(),
            path: format!("/?bytes={size}"),
            body: Some(origin::body(size)),
        }],
        connections: CONNECTIONS,
        preconnect: true,
        timeout: super::PATIENCE,
    };
    let cpu = || {
        way.process
            .map(|process| cpu_time(process.pid()))
            .transpose()
    };
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

fn figures(bench: &mut Bench, size: usize, pace: Pace, rounds: &[[Round; 3]]) {
    let at = format!("{}/{size}B", pace.name());
    let failures: usize = rounds.iter().flatten().map(|round| round.failures).sum();
    let column = |way: usize, pick: fn(&Round) -> f64| {
        rounds.iter().map(|r| pick(&r[way])).collect::<Vec<f64>>()
    };
    let compare = |name: &str, most: f64, floor: &[f64], zeron: &[f64]| {
        let ratios: Vec<f64> = zeron
            .iter()
            .zip(floor)
            .map(|(zeron, floor)| zeron / floor)
            .collect();
        Figure::new(
            format!("{MEASURE}/{name}/{at}"),
            "us",
            median(zeron),
            rounds.len(),
        )
        .with_ratio(median(&ratios))
        .with_floor(median(floor))
        .with_spread(bootstrap(&ratios, 0.5))
        .with_aim(Aim::RatioAtMost(most))
    };
    let cpu = compare(
        "cpu-per-request",
        1.4,
        &column(1, |r| r.cpu_us),
        &column(2, |r| r.cpu_us),
    );
    bench.figure(cpu);
    match pace {
        Pace::PerSecond(_) => {
            for (name, most, pick) in [
                ("added-p50", 1.3, (|r| r.p50_us) as fn(&Round) -> f64),
                ("added-p99", 1.5, |r| r.p99_us),
            ] {
                let direct = column(0, pick);
                let added = |way| {
                    column(way, pick)
                        .iter()
                        .zip(&direct)
                        .map(|(via, direct)| via - direct)
                        .collect::<Vec<_>>()
                };
                bench.figure(compare(name, most, &added(1), &added(2)));
            }
        }
        Pace::Saturation => {
            let rates = column(2, |r| r.per_second);
            let figure = Figure::new(
                format!("{MEASURE}/rate/{at}"),
                "per s",
                median(&rates),
                rounds.len(),
            )
            .with_floor(median(&column(1, |r| r.per_second)))
            .with_spread(bootstrap(&rates, 0.5));
            bench.figure(figure);
            let ceiling = median(&column(0, |r| r.per_second));
            note(format_args!(
                "the generator's own ceiling at {size} B is {ceiling:.0} requests a second"
            ));
        }
    }
    let failed = Figure::new(
        format!("{MEASURE}/failures/{at}"),
        "requests",
        failures as f64,
        rounds.len(),
    );
    bench.figure(failed.with_aim(Aim::AtMost(0.0)));
}
