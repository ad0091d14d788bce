//! The servers and tools that tests run beside ours: installed through apt where that is possible.

use std::path::Path;

use crate::apt;

/// What tests run, where it may be beside the `PATH`, and its package.
const NEEDED: [(&str, &str, &str); 10] = [
    ("redis-server", "/usr/bin", "redis-server"),
    ("redis-sentinel", "/usr/bin", "redis-sentinel"),
    ("rabbitmq-server", "/usr/sbin", "rabbitmq-server"),
    ("nats-server", "/usr/sbin", "nats-server"),
    ("initdb", "/usr/lib/postgresql", "postgresql"),
    ("pgbouncer", "/usr/sbin", "pgbouncer"),
    ("mariadbd", "/usr/sbin", "mariadb-server"),
    ("prometheus", "/usr/bin", "prometheus"),
    ("nginx", "/usr/sbin", "nginx"),
    ("faketime", "/usr/bin", "faketime"),
];

/// Installs what is missing where it can. What still is missing then only skips the tests that
/// need it, which say so themselves. Services that packages would start are not started.
pub(crate) fn prepare() -> bool {
    let packages: Vec<_> = NEEDED
        .iter()
        .filter(|(program, folder, _)| !is_there(program, Path::new(folder)))
        .map(|needed| needed.2)
        .collect();
    packages.is_empty() || apt::install(&packages, "the tests' servers")
}

/// On the `PATH`, in `folder`, or in a version's `bin` below it.
fn is_there(program: &str, folder: &Path) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = std::fs::read_dir(folder).into_iter().flatten().flatten();
    std::env::split_paths(&path)
        .chain([folder.to_owned()])
        .chain(versions.map(|version| version.path().join("bin")))
        .any(|folder| folder.join(program).is_file())
}
