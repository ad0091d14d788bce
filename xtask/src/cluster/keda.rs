//! KEDA itself, built for tests and measurements that need it beside Zeron.

use std::path::PathBuf;

use super::go;

/// Names KEDA's operator to tests.
pub(crate) const OPERATOR: &str = "ZERON_TEST_KEDA";

/// Builds the operator, and beside it the metrics adapter, unless it is built or given, and returns
/// its path.
pub(crate) fn operator() -> anyhow::Result<PathBuf> {
    match std::env::var_os(OPERATOR) {
        Some(given) => Ok(given.into()),
        None => {
            let folder = go::KEDA.build()?;
            go::KEDA_ADAPTER.build()?;
            Ok(folder.join("operator"))
        }
    }
}

/// Builds it and says where it is.
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
    let (folder, _) = go::KEDA.required("github.com/kedacore/keda/v2")?;
    Ok(folder.join("config/crd/bases"))
}
