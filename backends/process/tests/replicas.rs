//! Replicas as real processes: started, reached, scaled, failed, stopped.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashSet;
use std::num::NonZeroU16;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{Rig, eventually, function, get, is_running, named, read_pid, ready};
use zeron_backend_process::Enforcement;
use zeron_core::Backend;
use zeron_core::workload::{EnvVar, Port, ProbeCheck, ReadinessProbe};

#[test]
fn a_replica_becomes_ready_and_is_reached_and_ends_when_nobody_wants_it() {
    let rig = Rig::new();
    let (id, endpoints) = rig.up(function(&["serve", "hello"]), 1);
    assert_eq!(get(&endpoints[0]), "hello");
    let pids = rig.pids(&id);
    rig.backend.scale(&id, 0, &[]);
    let draining = rig.wait(&id, |s| s.ready() == 0);
    // Draining is published before the signal is sent.
    let all = rig.followed.all(&id);
    assert!(
        all.iter()
            .any(|(s, _)| s.endpoints.iter().any(|e| e.is_draining))
    );
    assert_eq!(draining.live(), 0);
    rig.wait(&id, |s| s.endpoints.is_empty());
    assert!(!is_running(pids[0]));
    assert!(rig.replicas(&id).is_empty());
}

#[test]
fn many_replicas_of_many_functions_never_share_a_port() {
    let rig = Rig::new();
    let mut ports = HashSet::new();
    let ids: Vec<_> = (0..4)
        .map(|n| rig.start(named(&format!("f{n}"), &["serve"]), 8))
        .collect();
    for id in &ids {
        let snapshot = rig.wait(id, |s| s.ready() == 8);
        for endpoint in ready(&snapshot) {
            assert!(ports.insert(endpoint.address.unwrap().port()));
        }
    }
    assert_eq!(ports.len(), 32);
}

#[test]
fn the_failure_of_a_replica_that_exits_at_once_quotes_its_stderr_and_refuses_waiters() {
    let rig = Rig::new();
    let id = rig.start(function(&["fail", "the database is missing"]), 1);
    // Its last words are waited for, though not for ever: a later try has them.
    let failure = rig.failure(&id, |failure| {
        failure.is_final && failure.message.contains("the database is missing")
    });
    assert_eq!(failure.reason, "CrashLoopBackOff");
    assert!(
        failure.message.contains("exited with status 3"),
        "{}",
        failure.message
    );
    assert!(failure.retry_at.is_some());
    let first = rig.followed.all(&id);
    let first = first.iter().find_map(|(s, _)| s.failure.clone()).unwrap();
    assert_eq!(
        (first.reason.as_str(), first.is_final),
        ("ExitCode3", false)
    );
    // While the next attempt is under way, requests may wait for it.
    rig.failure(&id, |failure| {
        !failure.is_final && failure.retry_at.is_none()
    });
    assert!(rig.backend.failures(&id) >= 2);
}

#[test]
fn a_program_that_does_not_exist_fails_at_once_and_is_named() {
    let rig = Rig::new();
    let mut missing = function(&[]);
    missing.workload.command = vec!["no-such-program".to_owned()];
    let id = rig.start(missing, 1);
    let failure = rig.failure(&id, |_| true);
    assert_eq!(
        (failure.reason.as_str(), failure.is_final),
        ("StartError", true)
    );
    assert!(
        failure.message.contains("no-such-program"),
        "{}",
        failure.message
    );
}

#[test]
fn a_replica_that_never_becomes_ready_fails_at_its_deadline() {
    let rig = Rig::new();
    let mut never = function(&["sleep"]);
    never.workload.start_deadline = Duration::from_millis(200);
    let id = rig.start(never, 1);
    let failure = rig.failure(&id, |_| true);
    assert_eq!(failure.reason, "ProgressDeadlineExceeded");
    assert!(failure.is_final);
    // It is stopped, and the next attempt is another process.
    let published = rig.followed.all(&id);
    let first = published
        .iter()
        .find_map(|(s, _)| Some(s.endpoints.first()?.id))
        .unwrap();
    rig.wait(&id, |s| s.endpoints.iter().any(|e| e.id != first));
}

#[test]
fn a_replica_that_ends_after_it_was_ready_is_replaced_at_once() {
    let rig = Rig::new();
    let (id, first) = rig.up(function(&["serve"]), 1);
    let pid = rig.pids(&id)[0];
    kill(pid);
    let failed = rig.failure(&id, |_| true);
    assert_eq!(
        (failed.reason.as_str(), failed.is_final),
        ("Signal9", false)
    );
    let second = rig.wait(&id, |s| s.ready() == 1);
    assert_ne!(second.endpoints[0].id, first[0].id);
    assert_eq!(second.failure, None);
}

#[test]
fn a_replica_that_ignores_sigterm_is_killed_after_its_grace() {
    let rig = Rig::new();
    let mut stubborn = function(&["stubborn"]);
    stubborn.workload.termination_grace = Duration::from_millis(300);
    let (id, _) = rig.up(stubborn, 1);
    let pid = rig.pids(&id)[0];
    let begun = Instant::now();
    rig.backend.scale(&id, 0, &[]);
    rig.wait(&id, |s| s.endpoints.is_empty());
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(!is_running(pid));
}

#[test]
fn grandchildren_end_with_their_replica() {
    let rig = Rig::new();
    let file = rig.path("grandchild");
    let (id, _) = rig.up(function(&["family", &file]), 1);
    let grandchild = read_pid(Path::new(&file));
    assert!(is_running(grandchild));
    rig.backend.scale(&id, 0, &[]);
    rig.wait(&id, |s| s.endpoints.is_empty());
    eventually("the grandchild is gone", || !is_running(grandchild));
}

#[test]
fn what_a_replica_leaves_behind_when_it_exits_is_killed() {
    let rig = Rig::new();
    let file = rig.path("grandchild");
    let id = rig.start(function(&["leave", &file]), 1);
    rig.failure(&id, |failure| failure.is_final);
    rig.backend.scale(&id, 0, &[]);
    let grandchild = read_pid(Path::new(&file));
    eventually("the grandchild is gone", || !is_running(grandchild));
}

#[test]
fn scaling_in_takes_victims_first_and_leaves_the_others_alone() {
    let rig = Rig::new();
    let (id, endpoints) = rig.up(function(&["serve"]), 3);
    let victim = endpoints[0].id;
    rig.backend.scale(&id, 2, &[victim]);
    let left = rig.wait(&id, |s| s.endpoints.len() == 2);
    assert!(left.endpoints.iter().all(|e| e.id != victim));
}

#[test]
fn a_changed_workload_replaces_replicas_without_ever_dropping_below_the_number() {
    let rig = Rig::new();
    let (id, _) = rig.up(function(&["serve", "one"]), 3);
    let before = rig.followed.all(&id).len();
    rig.start(function(&["serve", "two"]), 3);
    let after = rig.wait(&id, |s| {
        s.endpoints.len() == 3 && s.ready() == 3 && s.endpoints.iter().all(|e| e.id.0 > 3)
    });
    for endpoint in ready(&after) {
        assert_eq!(get(&endpoint), "two");
    }
    let all = rig.followed.all(&id);
    assert!(all[before..].iter().all(|(s, _)| s.ready() >= 3));
}

#[test]
fn a_fixed_port_serves_one_replica_and_refuses_the_second() {
    let rig = Rig::new();
    let chosen = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = chosen.local_addr().unwrap().port();
    drop(chosen);
    let mut fixed = function(&["serve", "fixed"]);
    fixed.workload.port = Some(Port::Fixed(NonZeroU16::new(port).unwrap()));
    let id = rig.start(fixed, 2);
    let snapshot = rig.wait(&id, |s| s.ready() == 1);
    assert_eq!(snapshot.endpoints[0].address.unwrap().port(), port);
    assert_eq!(snapshot.pending, 1);
    let failure = snapshot.failure.clone().unwrap();
    assert_eq!(
        (failure.reason.as_str(), failure.is_final),
        ("FixedPort", false)
    );
    assert!(failure.message.contains("$(PORT)"));
}

#[test]
fn a_fixed_port_that_somebody_has_is_a_failure_that_names_it() {
    let rig = Rig::new();
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut fixed = function(&["serve"]);
    fixed.workload.port = Some(Port::Fixed(NonZeroU16::new(port).unwrap()));
    let id = rig.start(fixed, 1);
    let failure = rig.failure(&id, |_| true);
    assert_eq!(
        (failure.reason.as_str(), failure.is_final),
        ("PortTaken", true)
    );
    assert!(failure.message.contains(&port.to_string()));
    drop(taken);
    rig.wait(&id, |s| s.ready() == 1);
}

#[test]
fn an_http_probe_waits_for_a_positive_answer_and_a_period_notices_its_end() {
    let rig = Rig::new();
    let file = rig.path("is-ready");
    let mut probed = function(&["unready", &file]);
    probed.workload.readiness = ReadinessProbe {
        check: ProbeCheck::Http {
            path: "/ready".to_owned(),
            headers: Vec::new(),
            port: None,
        },
        period: Some(Duration::from_millis(20)),
        failure_threshold: 2,
        ..ReadinessProbe::default()
    };
    let id = rig.start(probed, 1);
    let running = rig.wait(&id, |s| s.live() == 1);
    assert_eq!(running.ready(), 0);
    std::fs::write(&file, "").unwrap();
    rig.wait(&id, |s| s.ready() == 1);
    std::fs::remove_file(&file).unwrap();
    let unready = rig.wait(&id, |s| s.ready() == 0);
    assert_eq!(unready.live(), 1);
    std::fs::write(&file, "").unwrap();
    rig.wait(&id, |s| s.ready() == 1);
}

#[test]
fn a_function_without_a_port_is_ready_when_it_runs() {
    let rig = Rig::new();
    let mut worker = function(&["sleep"]);
    worker.workload.port = None;
    worker.workload.readiness.check = ProbeCheck::Started;
    let (_, endpoints) = rig.up(worker, 2);
    assert!(endpoints.iter().all(|endpoint| endpoint.address.is_none()));
}

#[test]
fn a_removed_function_is_published_as_gone_and_its_processes_end() {
    let rig = Rig::new();
    let (id, _) = rig.up(function(&["serve"]), 2);
    let pids = rig.pids(&id);
    rig.backend.remove(&id);
    rig.followed.wait_removed(&id);
    eventually("its processes are gone", || {
        !pids.iter().any(|pid| is_running(*pid))
    });
}

#[test]
fn a_late_subscriber_begins_with_the_state_now() {
    let rig = Rig::new();
    let (id, _) = rig.up(function(&["serve"]), 1);
    rig.backend
        .apply(std::sync::Arc::new(named("idle", &["serve"])));
    let late = std::sync::Arc::new(common::Followed::default());
    rig.backend.subscribe(std::sync::Arc::clone(&late) as _);
    late.wait(&id, |s| s.ready() == 1);
    late.wait(&named("idle", &[]).id, |s| s.endpoints.is_empty());
}

#[test]
fn children_get_their_port_and_names_and_no_descriptors_of_ours() {
    let rig = Rig::new();
    let mut told = function(&["environment"]);
    told.workload.env.push(EnvVar {
        name: "OWN".to_owned(),
        value: "port=$(PORT)".to_owned(),
    });
    let (id, endpoints) = rig.up(told, 1);
    let status = &rig.replicas(&id)[0];
    let port = endpoints[0].address.unwrap().port();
    let log = || std::fs::read_to_string(&status.log_path).unwrap_or_default();
    eventually("the environment is logged", || {
        log().contains("ZERON_REPLICA=")
    });
    for line in [
        format!("PORT={port}"),
        format!("OWN=port={port}"),
        format!("ZERON_REPLICA={}", status.name),
    ] {
        assert!(log().contains(&line), "{line} in {}", log());
    }
    let kind = |fd: std::io::Result<std::fs::DirEntry>| std::fs::read_link(fd.ok()?.path()).ok();
    // A probe's connection may be open for a moment.
    eventually("its own listener to be its only socket", || {
        let fds = std::fs::read_dir(format!("/proc/{}/fd", status.pid.unwrap())).unwrap();
        let kinds: Vec<_> = fds
            .filter_map(kind)
            .map(|k| k.display().to_string())
            .collect();
        let is_ours = kinds.iter().any(|k| k.starts_with("anon_inode:"));
        assert!(!is_ours, "descriptors of our threads: {kinds:?}");
        kinds.iter().filter(|k| k.starts_with("socket:")).count() == 1
    });
}

#[tokio::test]
async fn shutdown_ends_everything_within_its_grace() {
    let rig = Rig::new();
    let (polite, _) = rig.up(named("polite", &["serve"]), 3);
    let (stubborn, _) = rig.up(named("stubborn", &["stubborn"]), 2);
    let pids = [rig.pids(&polite), rig.pids(&stubborn)].concat();
    let begun = Instant::now();
    rig.backend.shutdown(Duration::from_millis(300)).await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(!pids.iter().any(|pid| is_running(*pid)));
    // Again, with nobody left to answer.
    rig.backend.shutdown(Duration::ZERO).await;
    rig.backend.scale(&polite, 1, &[]);
    assert!(rig.replicas(&polite).is_empty());
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn limits_are_kept_by_what_the_status_names() {
    let rig = Rig::new();
    let mut limited = function(&["serve"]);
    limited.workload.limits.memory_bytes = Some(256 << 20);
    limited.workload.limits.cpu_millis = Some(500);
    let (id, _) = rig.up(limited, 1);
    let status = || rig.replicas(&id).remove(0);
    eventually("limits are set", || status().enforced.memory.is_some());
    let enforced = status().enforced;
    let proc = |file: &str| {
        let path = format!("/proc/{}/{file}", status().pid.unwrap());
        std::fs::read_to_string(path).unwrap()
    };
    match enforced.memory.unwrap() {
        Enforcement::Rlimit => assert!(proc("limits").contains(&(256 << 20).to_string())),
        Enforcement::CgroupV1 | Enforcement::CgroupV2 => assert!(proc("cgroup").contains("zeron-")),
        other => panic!("{other:?}"),
    }
    assert!(enforced.cpu.is_some());
}
