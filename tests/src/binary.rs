//! Finds the `zeron` binary of this build, and builds it when it is missing or older than its sources.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// Names a ready binary: nothing is built then.
const GIVEN: &str = "ZERON_BIN";

/// The binary under test.
pub(crate) fn zeron() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| match std::env::var_os(GIVEN) {
        Some(path) => path.into(),
        None => built(),
    })
}

fn built() -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    // target/PROFILE/deps/TEST
    let folder = test
        .ancestors()
        .nth(2)
        .expect("tests lie in target/PROFILE/deps");
    let binary = folder.join("zeron");
    if is_stale(&binary) {
        build(folder);
    }
    binary
}

/// Compares it with the sources that cargo noted beside it.
fn is_stale(binary: &Path) -> bool {
    let modified = |path: &Path| path.metadata().and_then(|file| file.modified());
    let Ok(built) = modified(binary) else {
        return true;
    };
    let Ok(sources) = std::fs::read_to_string(binary.with_extension("d")) else {
        return true;
    };
    let is_newer = |source: &str| modified(Path::new(source)).unwrap_or(SystemTime::now()) > built;
    sources.split_whitespace().skip(1).any(is_newer)
}

fn build(folder: &Path) {
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--package", "zeron", "--profile", profile])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo runs tests, so cargo is here");
    assert!(status.success(), "zeron could not be built");
}
