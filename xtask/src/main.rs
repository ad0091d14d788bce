//! Repository tasks: test dependencies, the whole test run, soak, a local broker.

mod apt;
mod broker;
mod cargo;
mod cluster;
mod image;
mod interrupt;
mod java;
mod servers;
mod skipped;
mod soak;
mod steps;
mod targets;
mod test;

use clap::{Parser, Subcommand};

/// Tasks of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", disable_version_flag = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Prepares what the tests need and runs all of them; lists and counts what was skipped.
    Test {
        /// Passed on to `cargo test --workspace`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Everything that must pass: format, lints, docs, then `test`.
    Ci,
    /// Runs the whole-system tests with faults over and over; the first failure ends it.
    Soak {
        /// How long, such as 10m. The test file that runs when the time is up is finished.
        #[arg(long = "for", value_parser = humantime::parse_duration)]
        time: std::time::Duration,
        /// Only these test files of `zeron-tests`.
        tests: Vec<String>,
    },
    /// Starts a local Kafka broker for the examples and runs it until Ctrl-C.
    Broker {
        /// Where clients reach it.
        #[arg(long, default_value = "127.0.0.1:9092")]
        address: std::net::SocketAddr,
    },
    /// Makes an image without a Docker daemon: the binary, its libraries, certificates of authorities.
    Image {
        #[command(flatten)]
        order: image::Order,
        /// Gives it to the node of the running test cluster.
        #[arg(long)]
        load: bool,
    },
    /// A real single-node Kubernetes of this machine, for tests and for trying things out.
    Cluster {
        #[command(subcommand)]
        action: cluster::Action,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().task {
        Task::Test { arguments } => test::run(&arguments, cluster::Preparation::begin()?),
        Task::Ci => ci(),
        Task::Soak { time, tests } => soak::run(time, &tests),
        Task::Broker { address } => broker::run(address),
        Task::Image { order, load } => {
            let archive = image::run(&order)?;
            if load {
                cluster::load(&archive)
            } else {
                Ok(())
            }
        }
        Task::Cluster { action } => cluster::run(action),
    }
}

/// Module docs name private modules on purpose: they are read in the source.
const DOC_FLAGS: &str = "-D warnings -A rustdoc::private_intra_doc_links";

fn ci() -> anyhow::Result<()> {
    cargo::run(&["fmt", "--all", "--check"])?;
    // Go builds what the cluster needs beside all that follows.
    let go = cluster::Preparation::begin()?;
    cargo::run(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ])?;
    cargo::run_with(
        &["doc", "--workspace", "--no-deps", "--locked"],
        &[("RUSTDOCFLAGS", DOC_FLAGS.as_ref())],
    )?;
    test::run(&[], go)
}
