//! Debian packages: installed through apt-get where that is possible, which is said.

use std::fs;
use std::process::{Command, Stdio};

/// Installs `packages` as root through apt-get, for `purpose`. False, after saying why, where that is impossible.
pub(crate) fn install(packages: &[&str], purpose: &str) -> bool {
    let list = packages.join(" ");
    if !is_root() || !works("apt-get", "--version") {
        println!("== {list}: not installed, and only root can do so through apt-get");
        return false;
    }
    println!("== installing {list} through apt-get, for {purpose}");
    let install = [
        &["install", "-q", "-y", "--no-install-recommends"],
        packages,
    ];
    let is_done = run(&["update", "-q"]) && run(&install.concat());
    if !is_done {
        println!("== {list}: apt-get failed");
    }
    is_done
}

fn run(arguments: &[&str]) -> bool {
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        // Packages of servers do not start a service of the machine.
        .env("RUNLEVEL", "1")
        .stdin(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// Whether `program ask` runs and succeeds.
pub(crate) fn works(program: &str, ask: &str) -> bool {
    let status = Command::new(program)
        .arg(ask)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// Whether the effective user, as the kernel shows it, is root.
pub(crate) fn is_root() -> bool {
    let Ok(status) = fs::read_to_string("/proc/self/status") else {
        return false;
    };
    let uids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    uids.and_then(|uids| uids.split_whitespace().nth(1)) == Some("0")
}
