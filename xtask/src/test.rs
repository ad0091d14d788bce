//! The README's test command: prepares what the tests need, runs all of them, says what was skipped.

use std::ffi::OsStr;

use anyhow::Context;

use crate::cluster::{Preparation, Session};
use crate::skipped::{Report, VARIABLE};
use crate::steps::Steps;
use crate::{broker, cargo, interrupt, servers};

/// Runs all tests; `arguments` go to `cargo test --workspace`.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let mut command = vec!["test", "--workspace", "--no-fail-fast"];
    command.extend(arguments.iter().map(String::as_str));
    prepared(true, |variables| cargo::run_with(&command, variables))
}

/// Builds everything, prepares the broker and, where it is needed, a cluster, then runs `tests` with the variables by
/// which tests find them; at the end the cluster goes, and what was skipped is said.
pub(crate) fn prepared(
    needs_cluster: bool,
    tests: impl FnOnce(&[(&str, &OsStr)]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    interrupt::watch()?;
    let mut steps = Steps::begin();
    let cluster = needs_cluster.then(Preparation::begin);
    build()?;
    steps.done("cargo build");
    broker::prepare()?;
    steps.done("what the Kafka broker needs");
    servers::prepare();
    steps.done("the event sources' servers");

    let report = Report::begin(&cargo::target()).context("cannot write the report of skips")?;
    let cluster = cluster.map(|it| it.up(&report)).transpose()?;
    steps.done("the test cluster");
    let mut variables = vec![(VARIABLE, report.file().as_os_str())];
    variables.extend(cluster.iter().flat_map(Session::variables));
    let result = tests(&variables);
    steps.done("tests");
    let ended = cluster.map_or(Ok(()), Session::end);
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
fn build() -> anyhow::Result<()> {
    cargo::run(&["build", "--workspace", "--all-targets"])
}
