//! From `scale(1)` to a published ready endpoint, against a direct spawn of the same program until
//! a connect to it succeeds. In pairs, so that both see the same machine.
#![allow(clippy::unwrap_used)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{CHILD, Rig, named};
use zeron_core::Backend;

const PAIRS: usize = 300;

fn main() {
    let rig = Rig::new();
    let function = named("f", &["serve"]);
    let id = function.id.clone();
    rig.backend.apply(std::sync::Arc::new(function));
    let (mut ours, mut theirs, mut differences) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        let direct = direct();
        let begun = Instant::now();
        rig.backend.scale(&id, 1, &[]);
        rig.wait(&id, |s| s.ready() == 1);
        let through = begun.elapsed();
        rig.backend.scale(&id, 0, &[]);
        rig.wait(&id, |s| s.endpoints.is_empty());
        ours.push(micros(through));
        theirs.push(micros(direct));
        differences.push(micros(through) - micros(direct));
    }
    print("scale(1) -> ready", &mut ours);
    print("direct spawn -> connect", &mut theirs);
    print("difference", &mut differences);
}

/// Spawns the program by hand and connects without a pause until it succeeds.
fn direct() -> Duration {
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = port.local_addr().unwrap();
    drop(port);
    let begun = Instant::now();
    let mut child = Command::new(CHILD)
        .arg("serve")
        .env_clear()
        .env("PORT", address.port().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while TcpStream::connect(address).is_err() {
        std::hint::spin_loop();
    }
    let took = begun.elapsed();
    child.kill().unwrap();
    child.wait().unwrap();
    took
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap()
}

fn print(what: &str, samples: &mut [i64]) {
    samples.sort_unstable();
    let at = |percent: usize| samples[(samples.len() - 1) * percent / 100];
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{what}: p10 {} us, p50 {} us, p90 {} us, p99 {} us",
        at(10),
        at(50),
        at(90),
        at(99)
    )
    .unwrap();
}
