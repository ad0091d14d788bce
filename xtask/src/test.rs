//! The README's test command: prepares what the tests need, runs all of them, says what was skipped.

use anyhow::Context;

use crate::skipped::{Report, VARIABLE};
use crate::{broker, cargo};

/// Runs all tests; `arguments` go to `cargo test --workspace`.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    build()?;
    broker::prepare()?;

    let report = Report::begin(&cargo::target()).context("cannot write the report of skips")?;
    let mut command = vec!["test", "--workspace", "--no-fail-fast"];
    command.extend(arguments.iter().map(String::as_str));
    let result = cargo::run_with(&command, &[(VARIABLE, report.file().as_os_str())]);
    println!(
        "\n== {}",
        report
            .summary()
            .context("cannot read the report of skips")?
    );
    result
}

/// Builds everything that is tested, and the programs that whole-system tests run: with one set of
/// features, so that nothing is built twice.
pub(crate) fn build() -> anyhow::Result<()> {
    cargo::run(&["build", "--workspace", "--all-targets"])
}
