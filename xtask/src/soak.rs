//! Whole-system tests over and over for a given time: what fails once in a hundred runs shows here.

use std::time::{Duration, Instant};

use crate::{broker, cargo, test};

/// Test files of `zeron-tests` in which processes, clients or brokers fail.
const FAULTS: [&str; 9] = [
    "cold_start",
    "lifecycle",
    "failures",
    "clients",
    "admission",
    "bodies",
    "revisions",
    "kafka",
    "kafka_scaler",
];

/// Runs `tests`, or [`FAULTS`], by turns until `time` has passed or one fails.
pub(crate) fn run(time: Duration, tests: &[String]) -> anyhow::Result<()> {
    let tests: Vec<&str> = match tests {
        [] => FAULTS.to_vec(),
        named => named.iter().map(String::as_str).collect(),
    };
    test::build()?;
    broker::prepare()?;
    let deadline = Instant::now() + time;
    let mut runs = 0;
    for file in tests.iter().cycle() {
        if Instant::now() >= deadline {
            break;
        }
        // The whole workspace, as it was built: another choice of packages builds anew.
        cargo::run(&["test", "--quiet", "--workspace", "--test", file])?;
        runs += 1;
    }
    println!(
        "== {runs} runs of {} test files in {time:?}, none failed",
        tests.len()
    );
    Ok(())
}
