//! KEDA itself and its HTTP add-on, built for tests and measurements that need them beside Zeron.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Context;

use super::go;

/// Names KEDA's operator to tests.
pub(crate) const OPERATOR: &str = "ZERON_TEST_KEDA";

/// Names the folder of the HTTP add-on's programs to tests.
pub(crate) const HTTP_ADD_ON: &str = "ZERON_TEST_HTTP_ADD_ON";

/// Names the folders of the originals' definitions of kinds to tests: KEDA's, then the HTTP add-on's.
pub(crate) const DEFINITIONS: &str = "ZERON_ORIGINAL_CRDS";

/// Names the folder of KEDA's generated schemas of scalers to tests.
pub(crate) const SCHEMAS: &str = "ZERON_ORIGINAL_SCHEMAS";

/// Where a module keeps its definitions of kinds.
const BASES: &str = "config/crd/bases";

/// Variables for tests, and their values.
pub(crate) type Originals = [(&'static str, OsString); 2];

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
    say_originals()
}

/// Builds the programs of the HTTP add-on, unless they are built or given, and returns their folder.
pub(crate) fn http_add_on() -> anyhow::Result<PathBuf> {
    match std::env::var_os(HTTP_ADD_ON) {
        Some(given) => Ok(given.into()),
        None => go::HTTP_ADD_ON.build(),
    }
}

/// Builds them and says where they are.
pub(crate) fn run_http_add_on() -> anyhow::Result<()> {
    println!("{HTTP_ADD_ON}={}", http_add_on()?.display());
    say_originals()
}

fn say_originals() -> anyhow::Result<()> {
    for (name, value) in originals()? {
        println!("{name}={}", value.display());
    }
    Ok(())
}

/// What the originals' modules say about their kinds and triggers, in Go's cache of modules: variables for tests.
pub(crate) fn originals() -> anyhow::Result<Originals> {
    let (keda, _) = go::KEDA.required("github.com/kedacore/keda/v2")?;
    let (add_on, _) = go::HTTP_ADD_ON.required("github.com/kedacore/http-add-on")?;
    let definitions = std::env::join_paths([keda.join(BASES), add_on.join(BASES)])
        .context("a folder of Go's cache of modules cannot be in a list of folders")?;
    Ok([
        (DEFINITIONS, definitions),
        (SCHEMAS, keda.join("schema/generated").into()),
    ])
}
