//! What replicas write is kept, rotated and bounded.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::{Rig, eventually, function};
use zeron_backend_process::{LogLine, Stream};
use zeron_core::Backend;

#[test]
fn lines_are_kept_per_replica_with_time_and_stream() {
    let rig = Rig::new();
    let mut writes = function(&[]);
    let script = "echo out; echo err >&2; exec sleep 1000";
    writes.workload.command = ["sh", "-c", script].map(str::to_owned).to_vec();
    writes.workload.port = None;
    let (id, _) = rig.up(writes, 2);
    let is_whole = |path: &std::path::PathBuf| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<_> = text
            .lines()
            .map(|line| LogLine::parse(line).unwrap())
            .collect();
        let has = |stream, text| lines.iter().any(|l| l.stream == stream && l.text == text);
        has(Stream::Stdout, "out") && has(Stream::Stderr, "err") && lines.len() == 2
    };
    eventually("both files are whole", || {
        let paths = rig.backend.log_paths(&id);
        paths.len() == 2 && paths.iter().all(is_whole)
    });
    for replica in rig.replicas(&id) {
        assert!(rig.backend.log_paths(&id).contains(&replica.log_path));
        let named = replica.log_path.to_str().unwrap();
        assert!(named.contains("/logs/default/Deployment/f/"), "{named}");
    }
}

#[test]
fn output_is_rotated_and_the_newest_is_kept() {
    let rig = Rig::with(|config| {
        config.logs.max_bytes = 100_000;
        config.logs.kept_files = 2;
    });
    let (id, _) = rig.up(function(&["chatty", "50000"]), 1);
    eventually("the last line is there", || {
        let newest = rig.replicas(&id)[0].log_path.clone();
        fs::read_to_string(newest).is_ok_and(|text| text.ends_with("line 49999\n"))
    });
    let paths = rig.backend.log_paths(&id);
    assert_eq!(paths.len(), 3);
    for path in paths {
        // A file is rotated before it outgrows its limit, unless one read alone does.
        assert!(fs::metadata(&path).unwrap().len() <= 500_000);
    }
}

#[test]
fn logs_of_ended_replicas_stay_up_to_the_limit() {
    let rig = Rig::with(|config| config.logs.kept_replicas = 3);
    let mut id = None;
    for n in 0..6 {
        let mut writes = function(&["chatty", "3"]);
        writes.workload.termination_grace = std::time::Duration::from_millis(n);
        let (function, _) = rig.up(writes, 1);
        rig.backend.scale(&function, 0, &[]);
        rig.wait(&function, |s| s.endpoints.is_empty());
        id = Some(function);
    }
    let id = id.unwrap();
    eventually("three are left", || rig.backend.log_paths(&id).len() == 3);
}

#[test]
fn the_tail_of_a_failure_is_bounded() {
    let rig = Rig::new();
    let mut fails = function(&[]);
    let script = "for i in $(seq 1000); do echo \"trouble $i\" >&2; done; exit 7";
    fails.workload.command = ["sh", "-c", script].map(str::to_owned).to_vec();
    let id = rig.start(fails, 1);
    let failure = rig.failure(&id, |failure| failure.message.contains("trouble"));
    assert!(
        failure.message.contains("trouble 1000"),
        "{}",
        failure.message
    );
    assert!(
        !failure.message.contains("trouble 990\n"),
        "{}",
        failure.message
    );
    assert!(failure.message.len() < 4096);
}
