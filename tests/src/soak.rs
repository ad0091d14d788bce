//! Tests that run in `cargo xtask soak` alone, or longer there.

use crate::broker;

/// Set by `cargo xtask soak`.
const SOAK: &str = "ZERON_TEST_SOAK";

/// Whether a test that takes minutes is to run; else it is reported as skipped.
pub fn soaks(test: &str) -> bool {
    if !is_soak() {
        broker::skip(test, "it takes minutes: `cargo xtask soak` runs it");
    }
    is_soak()
}

/// Whether what is tried once in a test run is to be tried over and over.
pub fn is_soak() -> bool {
    std::env::var_os(SOAK).is_some()
}
