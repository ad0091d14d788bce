//! What this machine can do right now, printed with every run: figures of a noisy machine do not count.

use std::fmt;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::affinity::Cores;
use crate::stats::quantile;
use crate::subject::loopback;

const ROUND_TRIPS: usize = 5_000;
const SPAWNS: usize = 60;
/// A median above so many times the minimum means that somebody else uses the machine.
const NOISY: f64 = 2.0;

/// Calibration of the machine.
#[derive(Debug)]
pub(crate) struct Calibration {
    round_trip: Spread,
    spawn: Spread,
    load: String,
    cores: usize,
}

impl Calibration {
    /// The machine is too busy for figures to count.
    pub(crate) fn is_noisy(&self) -> bool {
        self.round_trip.is_noisy() || self.spawn.is_noisy()
    }
}

impl fmt::Display for Calibration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "calibration (us, min / p50 / p99): loopback round trip on one core {}; spawn and reap {}; load average {}; {} cores",
            self.round_trip, self.spawn, self.load, self.cores
        )?;
        if self.is_noisy() {
            write!(
                f,
                "\nTOO NOISY: a median is above {NOISY} times its minimum; this run does not count"
            )?;
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Spread {
    min: f64,
    p50: f64,
    p99: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Self {
        Self {
            min: quantile(values, 0.0),
            p50: quantile(values, 0.5),
            p99: quantile(values, 0.99),
        }
    }

    fn is_noisy(&self) -> bool {
        self.p50 > NOISY * self.min
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} / {:.1} / {:.1}", self.min, self.p50, self.p99)
    }
}

/// Measures for about a second.
pub(crate) fn measure(cores: &Cores) -> Result<Calibration> {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    Ok(Calibration {
        round_trip: Spread::of(&round_trips()?),
        spawn: Spread::of(&spawns()?),
        load: load.split_whitespace().take(1).collect(),
        cores: if cores.are_separate() { 2 } else { 1 },
    })
}

/// 128 bytes there and back, both ends on this thread's core.
fn round_trips() -> Result<Vec<f64>> {
    let listener = TcpListener::bind(loopback(0))?;
    let address = listener.local_addr()?;
    let echo = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut buffer = [0; 128];
        while stream.read_exact(&mut buffer).is_ok() {
            stream.write_all(&buffer)?;
        }
        Ok(())
    });
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut buffer = [7; 128];
    let mut times = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        let began = Instant::now();
        stream.write_all(&buffer)?;
        stream.read_exact(&mut buffer)?;
        times.push(began.elapsed().as_secs_f64() * 1e6);
    }
    drop(stream);
    echo.join().ok().context("the echo thread panicked")??;
    Ok(times)
}

fn spawns() -> Result<Vec<f64>> {
    let once = || -> Result<f64> {
        let began = Instant::now();
        Command::new("true")
            .stdin(Stdio::null())
            .status()
            .context("cannot run `true`")?;
        Ok(began.elapsed().as_secs_f64() * 1e6)
    };
    (0..SPAWNS).map(|_| once()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_far_above_the_minimum_is_noisy() {
        assert!(!Spread::of(&[10.0, 11.0, 100.0]).is_noisy());
        assert!(Spread::of(&[10.0, 21.0, 100.0]).is_noisy());
    }
}
