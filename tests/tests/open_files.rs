//! The limit of open files: `zeron up` takes what the machine allows, functions keep what it was started with.
#![allow(clippy::unwrap_used)]

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use zeron_tests::{Service, Setup, until};

/// Far below any hard limit, and enough for a small `zeron up` that could not raise it.
const SOFT: u64 = 300;

/// Soft and hard limit of a process; `None`: it is not there any more.
fn open_files(pid: u32) -> Option<(String, String)> {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find(|it| it.starts_with("Max open files"))?;
    let mut words = line.split_whitespace().skip(3).map(str::to_owned);
    Some((words.next()?, words.next()?))
}

#[test]
fn zeron_takes_the_hard_limit_and_functions_keep_the_soft_one() {
    let started_with = Rlimit {
        current: Some(SOFT),
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    setrlimit(Resource::Nofile, started_with).unwrap();
    let zeron = Setup::new().function(&Service::new("echo").min(1)).up();
    assert_eq!(zeron.get("echo", "/").status, 200);
    let (soft, hard) = open_files(zeron.pid()).unwrap();
    assert_eq!(soft, hard);
    assert_ne!(soft, SOFT.to_string());
    let replica = zeron.replicas("echo")[0];
    until("the replica's own limit", || {
        let (soft, of_replica) = open_files(replica)?;
        (soft == SOFT.to_string() && of_replica == hard).then_some(())
    });
}
