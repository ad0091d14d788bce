//! The jars of a Kafka broker: fetched through Maven once, kept in `target/test-deps/kafka`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::Unavailable;

const POM: &str = include_str!("pom.xml");

/// Written last, so that an interrupted download is not taken for a whole one.
const DONE: &str = "pom.done.xml";

/// Fetches the jars unless they are there, and returns the class path.
///
/// # Errors
/// [`Unavailable::Skip`] without Maven or when it cannot fetch them.
pub fn prepare() -> Result<String, Unavailable> {
    let folder = target().join("test-deps/kafka");
    fetch_once(&folder)?;
    Ok(format!("{}/*", folder.display()))
}

fn fetch_once(folder: &Path) -> Result<(), Unavailable> {
    let lock = lock(folder).map_err(Unavailable::Failed)?;
    let done = folder.join(DONE);
    if fs::read_to_string(&done).is_ok_and(|pom| pom == POM) {
        return Ok(());
    }
    fetch(folder)?;
    fs::write(&done, POM).map_err(|error| Unavailable::Failed(error.into()))?;
    drop(lock);
    Ok(())
}

/// Two test processes must not fetch at the same time.
fn lock(folder: &Path) -> anyhow::Result<File> {
    fs::create_dir_all(folder)?;
    let lock = File::create(folder.join("lock"))?;
    lock.lock().context("cannot lock the folder of jars")?;
    Ok(lock)
}

fn fetch(folder: &Path) -> Result<(), Unavailable> {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        // Jars of another version must not stay on the class path.
        if entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "jar")
        {
            fs::remove_file(entry.path()).map_err(|error| Unavailable::Failed(error.into()))?;
        }
    }
    let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/broker/pom.xml");
    let output = Command::new("mvn")
        .args(["--batch-mode", "--quiet", "-DincludeScope=runtime", "-f"])
        .arg(pom)
        .arg(format!("-DoutputDirectory={}", folder.display()))
        .arg("dependency:copy-dependencies")
        .output()
        .map_err(|_| Unavailable::Skip("maven (mvn) not found".to_owned()))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let first = text
        .lines()
        .find(|line| line.contains("ERROR"))
        .unwrap_or("no message");
    Err(Unavailable::Skip(format!(
        "maven cannot fetch Kafka's jars: {first}"
    )))
}

fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(target) => target.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
    }
}
