//! The README's test command: prepares what the tests need, runs all of them, says what was skipped.

use anyhow::Context;

use crate::cluster::Preparation;
use crate::skipped::{Report, VARIABLE};
use crate::steps::Steps;
use crate::{broker, cargo, interrupt};

/// Runs all tests; `arguments` go to `cargo test --workspace`.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    interrupt::watch()?;
    let mut steps = Steps::begin();
    let cluster = Preparation::begin();
    build()?;
    steps.done("cargo build");
    broker::prepare()?;
    steps.done("what the Kafka broker needs");

    let report = Report::begin(&cargo::target()).context("cannot write the report of skips")?;
    let cluster = cluster.up(&report)?;
    steps.done("the test cluster");
    let mut command = vec!["test", "--workspace", "--no-fail-fast"];
    command.extend(arguments.iter().map(String::as_str));
    let mut variables = vec![(VARIABLE, report.file().as_os_str())];
    variables.extend(cluster.variables());
    let result = cargo::run_with(&command, &variables);
    steps.done("tests");
    let ended = cluster.end();
    steps.done("the test cluster's end");
    let summary = report
        .summary()
        .context("cannot read the report of skips")?;
    println!("\n== {summary}");
    steps.end();
    result.and(ended)
}

/// Builds everything that is tested, and the programs that whole-system tests run: with one set of
/// features, so that nothing is built twice.
pub(crate) fn build() -> anyhow::Result<()> {
    cargo::run(&["build", "--workspace", "--all-targets"])
}
