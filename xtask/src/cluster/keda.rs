//! KEDA itself, built for tests and measurements that need it beside Zeron.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};

use super::go;
use crate::cargo;

/// Names KEDA's operator to tests.
pub(crate) const OPERATOR: &str = "ZERON_TEST_KEDA";

/// Builds the operator, unless it is built or given, and returns its path.
pub(crate) fn operator() -> anyhow::Result<PathBuf> {
    match std::env::var_os(OPERATOR) {
        Some(given) => Ok(given.into()),
        None => Ok(go::KEDA.build()?.join("operator")),
    }
}

/// Builds all of it and says where it is.
pub(crate) fn run(has_adapter: bool) -> anyhow::Result<()> {
    println!("{OPERATOR}={}", operator()?.display());
    if has_adapter {
        let folder = go::KEDA_ADAPTER.build()?;
        println!(
            "ZERON_TEST_KEDA_ADAPTER={}",
            folder.join("adapter").display()
        );
    }
    println!("ZERON_TEST_KEDA_CRDS={}", definitions()?.display());
    Ok(())
}

/// Its definitions of kinds, in Go's cache of modules.
fn definitions() -> anyhow::Result<PathBuf> {
    let output = Command::new("go")
        .args([
            "list",
            "-m",
            "-f",
            "{{.Dir}}",
            "github.com/kedacore/keda/v2",
        ])
        .current_dir(cargo::root().join("tests/cluster/keda"))
        .output()
        .context("cannot run go")?;
    ensure!(
        output.status.success(),
        "go list: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(PathBuf::from(folder).join("config/crd/bases"))
}
