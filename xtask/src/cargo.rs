//! Runs cargo in this workspace, showing the command first.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::interrupt;

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// The folder of everything that is built or fetched.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(target) => target.into(),
        None => root().join("target"),
    }
}

/// The cargo that runs this.
pub(crate) fn program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Runs `cargo ARGUMENTS`; an error when it fails.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    run_with(arguments, &[])
}

/// The same with additional environment variables.
pub(crate) fn run_with(arguments: &[&str], env: &[(&str, &OsStr)]) -> anyhow::Result<()> {
    println!("== cargo {}", arguments.join(" "));
    let mut command = Command::new(program());
    command
        .args(arguments)
        .envs(env.iter().copied())
        .current_dir(root());
    let status = interrupt::run(&mut command).context("cargo")?;
    ensure!(
        status.success(),
        "cargo {} failed ({status})",
        arguments.join(" ")
    );
    Ok(())
}
