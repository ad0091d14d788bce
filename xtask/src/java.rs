//! Java and Maven for the tests' Kafka broker: installed through apt where that is possible.

use std::fs;
use std::process::{Command, Stdio};

/// What the broker needs: a program, how to ask whether it works, and its package.
const NEEDED: [(&str, &str, &str); 2] = [
    ("java", "-version", "default-jre-headless"),
    ("mvn", "-version", "maven"),
];

/// Installs what is missing where it can. What still is missing then only skips the tests that
/// need it, which say so themselves.
pub(crate) fn prepare() -> bool {
    let packages: Vec<_> = NEEDED
        .iter()
        .filter(|(name, ask, _)| !works(name, ask))
        .map(|needed| needed.2)
        .collect();
    if packages.is_empty() {
        return true;
    }
    let list = packages.join(" ");
    if !is_root() || !works("apt-get", "--version") {
        println!("== {list}: not installed, and only root can do so through apt-get");
        return false;
    }
    println!("== installing {list} through apt-get, for the tests' Kafka broker");
    let is_done = apt(&["update", "-q"])
        && apt(&[
            &["install", "-q", "-y", "--no-install-recommends"],
            &packages[..],
        ]
        .concat());
    if !is_done {
        println!("== {list}: apt-get failed");
    }
    is_done
}

fn apt(arguments: &[&str]) -> bool {
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

fn works(program: &str, ask: &str) -> bool {
    let status = Command::new(program)
        .arg(ask)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// The effective user, as the kernel shows it.
fn is_root() -> bool {
    let Ok(status) = fs::read_to_string("/proc/self/status") else {
        return false;
    };
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    uids.and_then(|uids| uids.split_whitespace().nth(1)) == Some("0")
}
