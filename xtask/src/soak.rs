//! Whole-system tests over and over for a given time: what fails once in a hundred runs shows here.

use std::ffi::OsStr;
use std::time::{Duration, Instant};

use crate::{cargo, cluster, targets, test};

/// Tells tests that take minutes to run.
const LONG: &str = "ZERON_TEST_SOAK";

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
    let needs_cluster = tests.iter().any(|file| targets::is_late(file));
    let go = needs_cluster
        .then(cluster::Preparation::begin)
        .transpose()?;
    test::prepared(go, &[], |variables| {
        let long = [(LONG, OsStr::new("1"))];
        repeat(time, &tests, &[variables, &long].concat())
    })
}

/// One file after the other.
fn repeat(time: Duration, tests: &[&str], variables: &[(&str, &OsStr)]) -> anyhow::Result<()> {
    let deadline = Instant::now() + time;
    let mut runs = 0;
    for file in tests.iter().cycle() {
        if Instant::now() >= deadline {
            break;
        }
        // The whole workspace, as it was built: another choice of packages builds anew.
        cargo::run_with(
            &["test", "--quiet", "--workspace", "--test", file],
            variables,
        )?;
        runs += 1;
    }
    println!(
        "== {runs} runs of {} test files in {time:?}, none failed",
        tests.len()
    );
    Ok(())
}
