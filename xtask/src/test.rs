//! The README's test command: prepares what the tests need, runs all of them, says what was skipped.

use std::ffi::{OsStr, OsString};

use anyhow::{Context, ensure};

use crate::cluster::{Preparation, Session, is_too_early};
use crate::skipped::{Report, VARIABLE};
use crate::steps::Steps;
use crate::targets::Targets;
use crate::{broker, cargo, interrupt, servers};

/// Environment variables by which tests find things.
pub(crate) type Variables<'a> = [(&'a str, &'a OsStr)];

/// Runs all tests, those first that need nothing that Go still builds; with `arguments`, what `cargo test --workspace`
/// makes of them.
pub(crate) fn run(arguments: &[String], go: Preparation) -> anyhow::Result<()> {
    if !arguments.is_empty() {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        return prepared(Some(go), &[], |variables| test(&arguments, variables));
    }
    let targets = Targets::find()?;
    prepared(Some(go), &targets.early(), |variables| {
        let late = test(&targets.late(), variables);
        late.and(test(&["--doc"], variables))
    })
}

fn test(arguments: &[&str], variables: &Variables<'_>) -> anyhow::Result<()> {
    interrupt::check()?;
    let all = ["test", "--workspace", "--no-fail-fast"];
    cargo::run_with(&[&all, arguments].concat(), variables)
}

/// Builds everything, prepares the broker and, where it is needed, a cluster, then runs `tests` with the variables by
/// which tests find them; at the end the cluster goes, and what was skipped is said. The files of `early` run while the
/// cluster is being built.
pub(crate) fn prepared(
    cluster: Option<Preparation>,
    early: &[&str],
    tests: impl FnOnce(&Variables<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    interrupt::watch()?;
    let mut steps = Steps::begin();
    build()?;
    steps.done("cargo build");
    broker::prepare()?;
    steps.done("what the Kafka broker needs");
    servers::prepare();
    steps.done("the event sources' servers");

    let report = Report::begin(&cargo::target()).context("cannot write the report of skips")?;
    let mut cluster = cluster;
    let first = match &mut cluster {
        Some(cluster) if !early.is_empty() => {
            let result = before(&report, &cluster.early(), early);
            steps.done("tests that need no cluster");
            result
        }
        _ => Ok(()),
    };
    let session = cluster.map(|it| it.up(&report)).transpose()?;
    steps.done("the test cluster");
    let mut variables = vec![(VARIABLE, report.file().as_os_str())];
    variables.extend(session.iter().flat_map(Session::variables));
    let result = tests(&variables);
    steps.done("tests");
    let ended = session.map_or(Ok(()), Session::end);
    steps.done("the test cluster's end");
    let summary = report
        .summary()
        .context("cannot read the report of skips")?;
    println!("\n== {summary}");
    steps.end();
    first.and(result).and(ended)
}

/// Runs tests that need no cluster; one that asks for it all the same is an error.
fn before(report: &Report, found: &[(&str, OsString)], tests: &[&str]) -> anyhow::Result<()> {
    let mut variables = vec![(VARIABLE, report.file().as_os_str())];
    variables.extend(found.iter().map(|(name, value)| (*name, value.as_os_str())));
    let result = test(tests, &variables);
    ensure!(
        !is_too_early(report)?,
        "a test asked for the cluster before it was up: its file belongs to LATE in xtask/src/targets.rs"
    );
    result
}

/// Builds everything that is tested, and the programs that whole-system tests run: with one set of
/// features, so that nothing is built twice.
fn build() -> anyhow::Result<()> {
    cargo::run(&["build", "--workspace", "--all-targets"])
}
