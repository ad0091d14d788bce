//! Cold start: what zeron adds to the start of a function.
//!
//! Pairs of the same tiny binary: spawned directly until its first byte, and asked for through zeron while at zero.
//! Both count from before anything happens, both open a connection of their own. Every function is used once.

use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{PATIENCE, TINY_PATH, rest, tiny_services};
use crate::affinity::Place;
use crate::bench::{Bench, Csv};
use crate::figure::{Aim, Figure};
use crate::http1::{self, Answer};
use crate::stats::{bootstrap, quantile};
use crate::subject::direct;
use crate::subject::zeron::Zeron;

const MEASURE: &str = "cold-start";
/// Pairs that fill caches, and are dropped.
const WARM_UP: usize = 5;
/// Between pairs: nothing of one pair may run during the next.
const REST: Duration = Duration::from_millis(100);

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let pairs = bench.rounds(300, 4);
    // Both sides are free to use every core, the client too: no side moves a thread while a clock runs.
    let before = bench.cores.enter(Place::Anywhere)?;
    let program = bench.function_program()?;
    let services = tiny_services(bench, "cold", pairs + WARM_UP)?;
    let documents: Vec<_> = services.iter().map(|service| service.document()).collect();
    let zeron = bench.zeron(MEASURE, &documents)?;
    zeron.wait_until_cold(PATIENCE)?;
    let mut csv = Csv::create(MEASURE, "pairs", "pair,direct_us,zeron_us,difference_us")?;
    let (mut direct, mut through) = (Vec::new(), Vec::new());
    for (number, service) in services.iter().enumerate() {
        rest(REST);
        let (floor, subject) = pair(bench, &program, &zeron, &service.host(), number % 2 == 0)?;
        if number < WARM_UP {
            continue;
        }
        let difference = subject - floor;
        let us = |ms: f64| format!("{:.1}", ms * 1e3);
        csv.row(&[
            &(number - WARM_UP),
            &us(floor),
            &us(subject),
            &us(difference),
        ])?;
        direct.push(floor);
        through.push(subject);
    }
    before.restore()?;
    figures(bench, &direct, &through);
    csv.close()
}

/// Milliseconds directly and through zeron, in either order.
fn pair(
    bench: &Bench,
    program: &Path,
    zeron: &Zeron,
    host: &str,
    is_direct_first: bool,
) -> Result<(f64, f64)> {
    let directly = || direct::start(program, TINY_PATH, &bench.cores, PATIENCE);
    let (start, (through, answer)) = if is_direct_first {
        let start = directly()?;
        let first_byte = (start.first_byte, start.answer.clone());
        start.end();
        rest(REST);
        (first_byte, through(zeron, host)?)
    } else {
        let through = through(zeron, host)?;
        rest(REST);
        let start = directly()?;
        let first_byte = (start.first_byte, start.answer.clone());
        start.end();
        (first_byte, through)
    };
    anyhow::ensure!(
        answer.status == 200,
        "{host}: status {}: {}",
        answer.status,
        String::from_utf8_lossy(&answer.body)
    );
    anyhow::ensure!(
        answer.body == start.1.body,
        "{host}: another body than the function gives directly"
    );
    Ok((millis(start.0), millis(through)))
}

fn through(zeron: &Zeron, host: &str) -> Result<(Duration, Answer)> {
    let began = Instant::now();
    let stream = TcpStream::connect(zeron.address)?;
    let begun = http1::first_byte(stream, host, TINY_PATH, PATIENCE)?;
    let first_byte = begun.at - began;
    Ok((first_byte, http1::finish(begun)?))
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn figures(bench: &mut Bench, direct: &[f64], through: &[f64]) {
    let differences: Vec<f64> = through
        .iter()
        .zip(direct)
        .map(|(through, direct)| through - direct)
        .collect();
    for (name, q, most) in [("p50", 0.5, 1.0), ("p99", 0.99, 5.0)] {
        let difference = Figure::new(
            format!("{MEASURE}/difference/{name}"),
            "ms",
            quantile(&differences, q),
            direct.len(),
        );
        bench.figure(
            difference
                .with_spread(bootstrap(&differences, q))
                .with_aim(Aim::AtMost(most)),
        );
        let whole = Figure::new(
            format!("{MEASURE}/first-byte/{name}"),
            "ms",
            quantile(through, q),
            direct.len(),
        );
        bench.figure(
            whole
                .with_floor(quantile(direct, q))
                .with_spread(bootstrap(through, q)),
        );
    }
}
