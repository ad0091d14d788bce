//! What functions at zero cost: memory and CPU of both roles at rest, and what they ask the API server for.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::counting::{Counting, Counts};
use super::roles::{Role, Running, start};
use super::{Cluster, MEASURE, Namespace, objects, start_up};
use crate::bench::{Bench, Csv, note};
use crate::figure::{Aim, Figure};
use crate::measures::cluster::namespace::Kind;
use crate::measures::rest;
use crate::process::{CpuTime, cpu_time, resident_bytes};

/// Until freed memory has gone back to the system, and statuses are written.
const SETTLE: Duration = Duration::from_secs(20);
const KIB: f64 = 1024.0;

/// One role at rest.
#[derive(Clone, Debug)]
struct Rest {
    resident: f64,
    /// Of one core.
    cpu_percent: f64,
    per_minute: Counts,
}

pub(super) fn run(bench: &mut Bench, cluster: &Cluster) -> Result<()> {
    let namespace = Namespace::create(&cluster.api, "idle")?;
    let header = "functions,role,resident_bytes,cpu_percent,requests,per_window";
    let mut csv = Csv::create(MEASURE, "idle", header)?;
    let mut made = 0;
    let mut floors: Option<[Rest; 2]> = None;
    for count in bench.size([0, 1_000, 5_000], [0, 20, 50]) {
        declare(&namespace, cluster, made..count)?;
        made = count;
        let rests = at_rest(bench, cluster, &namespace)?;
        for (role, rest) in [Role::Autoscaler, Role::Activator].iter().zip(&rests) {
            for (what, times) in &rest.per_minute {
                let (resident, cpu) = (&rest.resident, &rest.cpu_percent);
                csv.row(&[&count, &role.name(), resident, cpu, what, times])?;
            }
        }
        if let Some(floors) = &floors {
            figures(bench, count, floors, &rests);
        } else {
            floors = Some(rests);
        }
    }
    csv.close()?;
    // Five thousand objects take minutes to make: the same are started with.
    start_up::measure(bench, cluster, &namespace, made)?;
    namespace.clear()
}

/// Makes functions, objects alone: nothing of them ever runs.
pub(super) fn declare(
    namespace: &Namespace,
    cluster: &Cluster,
    numbers: std::ops::Range<usize>,
) -> Result<()> {
    let began = Instant::now();
    let count = numbers.len();
    let names: Vec<String> = numbers.map(|number| format!("fn-{number:05}")).collect();
    let deployments = names.iter().map(|name| {
        let mut object = objects::deployment(name, &cluster.image);
        // Its controller makes no ReplicaSet then: ten thousand fewer writes of others.
        object["spec"]["paused"] = true.into();
        (Kind::Deployment, object)
    });
    let objects = names
        .iter()
        .map(|name| (Kind::HttpScaledObject, objects::http_scaled_object(name)));
    namespace.create_all(deployments.chain(objects).collect())?;
    note(format_args!(
        "{count} functions declared in {:.0?}",
        began.elapsed()
    ));
    Ok(())
}

fn at_rest(bench: &Bench, cluster: &Cluster, namespace: &Namespace) -> Result<[Rest; 2]> {
    let window = bench.size(Duration::from_secs(60), Duration::from_secs(5));
    let proxies = [
        Counting::start(&cluster.api)?,
        Counting::start(&cluster.api)?,
    ];
    let autoscaler = start(
        bench,
        Role::Autoscaler,
        &proxies[0].kubeconfig(),
        namespace,
        None,
    )?;
    let reports = Some(autoscaler.listen);
    let activator = start(
        bench,
        Role::Activator,
        &proxies[1].kubeconfig(),
        namespace,
        reports,
    )?;
    let roles = [&autoscaler, &activator];
    settle(&proxies)?;
    rest(SETTLE);
    let before = [cpu(roles[0])?, cpu(roles[1])?];
    proxies.iter().map(Counting::take).for_each(drop);
    let began = Instant::now();
    rest(window);
    let passed = began.elapsed().as_secs_f64();
    let look = |index: usize| -> Result<Rest> {
        let used = cpu(roles[index])?.since(&before[index]).as_secs_f64();
        Ok(Rest {
            resident: resident_bytes(roles[index].process.pid())? as f64,
            cpu_percent: used / passed * 100.0,
            per_minute: proxies[index].take(),
        })
    };
    Ok([look(0)?, look(1)?])
}

/// Waits until nobody asks for anything any more but leases: all objects are read, and all statuses told. Two quiet
/// looks in a row, since the writes begin only after the reads.
fn settle(proxies: &[Counting; 2]) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(600);
    let mut quiet = 0;
    while quiet < 2 {
        rest(Duration::from_secs(5));
        let asked: u64 = proxies.iter().map(|proxy| other(&proxy.take())).sum();
        quiet = if asked == 0 { quiet + 1 } else { 0 };
        anyhow::ensure!(Instant::now() < deadline, "the roles never come to rest");
    }
    Ok(())
}

fn cpu(role: &Running) -> Result<CpuTime> {
    cpu_time(role.process.pid())
}

/// Requests besides leases and the renewal of watches: what a poll of the API would be.
fn other(counts: &Counts) -> u64 {
    let is_other = |what: &str| !what.ends_with(" leases") && !what.starts_with("watch ");
    let others = counts.iter().filter(|(what, _)| is_other(what));
    others.map(|(_, times)| times).sum()
}

fn figures(bench: &mut Bench, count: usize, floors: &[Rest; 2], rests: &[Rest; 2]) {
    let roles = [Role::Autoscaler, Role::Activator];
    for ((role, floor), rest) in roles.iter().zip(floors).zip(rests) {
        let name = |what: &str| format!("{MEASURE}/idle/{count}/{}/{what}", role.name());
        let each = (rest.resident - floor.resident) / count as f64 / KIB;
        let memory = Figure::new(name("memory-per-function"), "KiB", each, 1);
        bench.figure(memory.with_aim(Aim::AtMost(20.0)));
        let cpu = Figure::new(name("cpu"), "% of a core", rest.cpu_percent, 1);
        bench.figure(cpu.with_aim(Aim::AtMost(0.5)));
        let all: u64 = rest.per_minute.values().sum();
        bench.figure(Figure::new(
            name("api-requests"),
            "per window",
            all as f64,
            1,
        ));
        let polls = other(&rest.per_minute) as f64;
        let polls = Figure::new(name("api-polls"), "per window", polls, 1);
        bench.figure(polls.with_aim(Aim::AtMost(0.0)));
        note(format_args!("{}: {:?}", role.name(), rest.per_minute));
    }
}
