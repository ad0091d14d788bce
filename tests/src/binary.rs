//! Finds the binaries of this build, and builds one when it is missing or older than its sources.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use std::time::SystemTime;

/// Names a ready binary: nothing is built then.
const GIVEN: &str = "ZERON_BIN";

/// The binary under test.
pub(crate) fn zeron() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| match std::env::var_os(GIVEN) {
        Some(path) => path.into(),
        None => built("zeron"),
    })
}

/// The example function.
pub(crate) fn function() -> &'static Path {
    other("zeron-example-function")
}

/// The example consumer.
pub(crate) fn consumer() -> &'static Path {
    other("zeron-example-consumer")
}

/// The function that speaks HTTP/2.
pub(crate) fn origin() -> &'static Path {
    other("h2c-origin")
}

/// The repository's tasks.
pub(crate) fn xtask() -> &'static Path {
    other("xtask")
}

fn other(name: &'static str) -> &'static Path {
    static FOUND: Mutex<BTreeMap<&str, &Path>> = Mutex::new(BTreeMap::new());
    let mut found = FOUND.lock().expect("no test panics in here");
    // Kept for the life of the process, as the other is: one path per program.
    let build = || &*Box::leak(built(name).into_boxed_path());
    found.entry(name).or_insert_with(build)
}

fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    // target/PROFILE/deps/TEST
    let folder = test
        .ancestors()
        .nth(2)
        .expect("tests lie in target/PROFILE/deps");
    let binary = folder.join(name);
    if is_stale(&binary) {
        build(folder, name);
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

fn build(folder: &Path, name: &str) {
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        // With the features of the whole workspace, as it was built: another choice of packages builds anew.
        .args(["build", "--workspace", "--bin", name])
        .args(["--profile", profile])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .expect("cargo runs tests, so cargo is here");
    assert!(status.success(), "{name} could not be built");
}
