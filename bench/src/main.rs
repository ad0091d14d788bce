//! Measures zeron: `cargo run --release -p zeron-bench -- <measure>`. See `docs/benchmarks.md`.
//!
//! [`options`] says what is asked for, [`mod@bench`] holds what all [`measures`] share, [`loadgen`] sends, [`subject`] is
//! what is measured and what it is compared with, [`stats`] and [`figure`] turn samples into figures.

mod affinity;
mod bench;
mod calibration;
mod figure;
mod http1;
mod loadgen;
mod measures;
mod options;
mod process;
mod stats;
mod subject;

use std::future::Future;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use bench::Bench;
use options::{Options, Role};
use subject::{floor, origin};

/// The same allocator in the bench, the floor, the origin and zeron.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match &options.role {
        Role::Origin(origin) => alone(origin::run(origin)),
        Role::Floor(floor) => alone(floor::run(floor)),
        Role::ColdStart
        | Role::WarmHop
        | Role::ColdRate
        | Role::Burst
        | Role::Memory
        | Role::ZeroRace
        | Role::Kafka
        | Role::KafkaGroups
        | Role::Sources(_)
        | Role::Triggers
        | Role::Overload
        | Role::Kubernetes(_)
        | Role::Knative(_)
        | Role::All
        | Role::Calibrate => measure(options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a role on a runtime of one thread.
fn alone(role: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(role)
}

fn measure(options: Options) -> Result<()> {
    process::end_children_when_interrupted()?;
    let mut bench = Bench::new(options)?;
    measures::run(&mut bench)?;
    bench.finish()
}
