//! Java and Maven for the tests' Kafka broker: installed through apt where that is possible.

use crate::apt;

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
        .filter(|(name, ask, _)| !apt::works(name, ask))
        .map(|needed| needed.2)
        .collect();
    packages.is_empty() || apt::install(&packages, "the tests' Kafka broker")
}
