//! Memory: resident size of `zeron up` at rest, per idle function, and per held request.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{MIB, PATIENCE, origin_target, rest, tiny_services};
use crate::affinity::Place;
use crate::bench::{Bench, Csv, note, this_program};
use crate::figure::{Aim, Figure};
use crate::loadgen::{self, Load};
use crate::process::{Process, resident_bytes};
use crate::stats::median;
use crate::subject::Listening;
use crate::subject::manifest::Service;

const MEASURE: &str = "memory";
const KIB: f64 = 1_024.0;
/// A process gives back what only its start needed five seconds after it.
const STARTED: Duration = Duration::from_secs(6);
/// How long requests are held: long enough to send them all and to look.
const HOLD: Duration = Duration::from_secs(25);

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let mut csv = Csv::create(MEASURE, "resident", "subject,state,count,bytes")?;
    idle(bench, &mut csv)?;
    held(bench, &mut csv)?;
    csv.close()
}

fn idle(bench: &mut Bench, csv: &mut Csv) -> Result<()> {
    let many = bench.size(10_000, 200);
    let floor = Listening::start(
        &["floor", "--upstream", "127.0.0.1:9"],
        &bench.cores,
        Place::Anywhere,
    )?;
    let floor = at_rest(&floor.process)?;
    csv.row(&[&"floor", &"idle", &1, &floor])?;
    let mut resident = [Vec::new(), Vec::new()];
    for _ in 0..bench.rounds(3, 1) {
        for (slot, count) in [1, many].into_iter().enumerate() {
            let services = tiny_services(bench, "idle", count)?;
            let documents: Vec<_> = services.iter().map(Service::document).collect();
            let zeron = bench.zeron(MEASURE, &documents)?;
            zeron.wait_until_cold(PATIENCE)?;
            let bytes = at_rest(&zeron.process)?;
            csv.row(&[&"zeron", &"idle", &count, &bytes])?;
            resident[slot].push(bytes);
        }
    }
    let (one, all) = (median(&resident[0]), median(&resident[1]));
    let rounds = resident[0].len();
    let figure = Figure::new(
        format!("{MEASURE}/idle/1-function"),
        "MiB",
        one / MIB,
        rounds,
    );
    bench.figure(figure.with_floor(floor / MIB).with_aim(Aim::AtMost(30.0)));
    let each = (all - one) / (many - 1) as f64 / KIB;
    let figure = Figure::new(
        format!("{MEASURE}/idle/per-function-of-{many}"),
        "KiB",
        each,
        rounds,
    );
    bench.figure(figure.with_aim(Aim::AtMost(20.0)));
    Ok(())
}

fn held(bench: &mut Bench, csv: &mut Csv) -> Result<()> {
    let requests = bench.size(5_000, 200);
    let floor = held_by_floor(bench, requests, csv)?;
    let zeron = held_by_zeron(bench, requests, csv)?;
    let figure = Figure::new(
        format!("{MEASURE}/held/per-request-of-{requests}"),
        "KiB",
        zeron / KIB,
        1,
    );
    bench.figure(figure.with_floor(floor / KIB).with_aim(Aim::AtMost(16.0)));
    Ok(())
}

/// The floor cannot hold: its requests wait at the origin, on upstream connections.
fn held_by_floor(bench: &Bench, requests: usize, csv: &mut Csv) -> Result<f64> {
    let origin = Listening::start(&["origin"], &bench.cores, Place::Generator)?;
    let upstream = origin.address.to_string();
    let floor = Listening::start(
        &["floor", "--upstream", &upstream],
        &bench.cores,
        Place::Anywhere,
    )?;
    let load = holding_load(floor.address, "held.localhost".to_owned(), requests);
    let (before, during) = hold(bench, &load, &floor.process, || Ok(true))?;
    csv.row(&[&"floor", &"before", &0, &before])?;
    csv.row(&[&"floor", &"held", &requests, &during])?;
    Ok((during - before) / requests as f64)
}

/// A function that does not listen for as long as this takes: every request waits in its queue.
fn held_by_zeron(bench: &Bench, requests: usize, csv: &mut Csv) -> Result<f64> {
    let command = [&this_program()?, "origin", "--ready-after", "600000"].map(str::to_owned);
    let service = Service::new("held", command.to_vec()).scaling("max-scale", "1");
    let zeron = bench.zeron(MEASURE, &[service.document()])?;
    zeron.wait_until_cold(PATIENCE)?;
    let load = holding_load(zeron.address, service.host(), requests);
    let are_queued = || Ok(zeron.status(&service.name, "queued")? >= requests as u64);
    let (before, during) = hold(bench, &load, &zeron.process, are_queued)?;
    csv.row(&[&"zeron", &"before", &0, &before])?;
    csv.row(&[&"zeron", &"held", &requests, &during])?;
    Ok((during - before) / requests as f64)
}

fn holding_load(address: std::net::SocketAddr, host: String, requests: usize) -> Load {
    Load {
        address,
        targets: vec![origin_target(host, "/?bytes=64&work_ms=600000", 64)],
        connections: requests,
        preconnect: false,
        timeout: HOLD,
    }
}

/// Resident bytes before and while `load` is held. Its clients leave at the end.
fn hold(
    bench: &Bench,
    load: &Load,
    process: &Process,
    are_held: impl Fn() -> Result<bool>,
) -> Result<(f64, f64)> {
    let before = at_rest(process)?;
    let arrivals = loadgen::constant(1_000.0, load.connections, 1);
    let last = arrivals.last().map_or(Duration::ZERO, |arrival| arrival.at);
    let look = async {
        tokio::time::sleep(last + Duration::from_secs(2)).await;
        let deadline = Instant::now() + HOLD;
        while !are_held()? {
            anyhow::ensure!(Instant::now() < deadline, "the requests were not all held");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        at_rest(process)
    };
    let (report, during) =
        bench.block_on(async { tokio::join!(loadgen::open_loop(load, &arrivals), look) });
    let held = report?.count(loadgen::Class::Timeout);
    if held < load.connections {
        note(format_args!(
            "only {held} of {} requests were held to the end",
            load.connections
        ));
    }
    Ok((before, during?))
}

/// Resident bytes once they no longer move: three looks within one hundredth, or the last of 10 s.
fn at_rest(process: &Process) -> Result<f64> {
    rest(STARTED);
    let mut seen: Vec<f64> = Vec::new();
    for _ in 0..50 {
        rest(Duration::from_millis(200));
        seen.push(resident_bytes(process.pid())? as f64);
        if let [.., first, second, third] = seen[..]
            && (first - third).abs() < first / 100.0
            && (second - third).abs() < first / 100.0
        {
            return Ok(third);
        }
    }
    Ok(seen[seen.len() - 1])
}
