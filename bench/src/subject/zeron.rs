//! The subject: `zeron up` as a black box. Started with manifests, watched through its admin API, stopped by SIGTERM.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use super::{free_port, loopback, manifest};
use crate::affinity::{Cores, Place};
use crate::http1;
use crate::process::Process;

/// Until `/readyz` answers 200; 10,000 functions are read in this time.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// One call of the admin API.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(10);

/// How to start it.
#[derive(Clone, Debug)]
pub(crate) struct Options<'a> {
    /// The binary.
    pub(crate) program: &'a Path,
    /// Where its threads may run; its functions inherit that.
    pub(crate) place: Place,
    /// Worker threads of the data plane; `None`: its default.
    pub(crate) workers: Option<u32>,
    /// Further flags.
    pub(crate) flags: &'a [String],
    /// Where stdout and stderr go.
    pub(crate) log: PathBuf,
}

/// A running `zeron up`.
#[derive(Debug)]
pub(crate) struct Zeron {
    /// Its process; functions are other processes.
    pub(crate) process: Process,
    /// The data plane.
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
    _folder: TempDir,
}

impl Zeron {
    /// Starts it with `documents` and waits until it is ready.
    pub(crate) fn start(options: &Options<'_>, documents: &[Value], cores: &Cores) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let manifests = folder.path().join("manifests");
        std::fs::create_dir(&manifests)?;
        manifest::write(&manifests, documents)?;
        let (address, admin) = (loopback(free_port()?), loopback(free_port()?));
        let mut command = Command::new(options.program);
        command.arg("up").arg(&manifests);
        command.args([
            "--listen",
            &address.to_string(),
            "--admin-listen",
            &admin.to_string(),
        ]);
        command.arg("--state-dir").arg(folder.path().join("state"));
        if let Some(workers) = options.workers {
            command.args(["--workers", &workers.to_string()]);
        }
        let log = File::create(&options.log)?;
        command
            .args(options.flags)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let process = Process::spawn(&mut command, cores, options.place)?;
        let mut zeron = Self {
            process,
            address,
            admin,
            _folder: folder,
        };
        zeron
            .wait_until_ready()
            .with_context(|| last_words(&options.log))?;
        Ok(zeron)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if self.ask("/readyz").is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            if let Some(status) = self.process.try_wait()? {
                bail!("zeron up ended with {status}");
            }
            if Instant::now() > deadline {
                bail!("zeron up was not ready within {READY_WITHIN:?}");
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Asks the admin API, which refuses names that are not its own address.
    fn ask(&self, path: &str) -> Result<http1::Answer> {
        http1::get(self.admin, &self.admin.to_string(), path, ADMIN_TIMEOUT)
    }

    /// An answer of the admin API.
    pub(crate) fn admin(&self, path: &str) -> Result<Value> {
        let answer = self.ask(path)?;
        anyhow::ensure!(answer.status == 200, "{path}: status {}", answer.status);
        serde_json::from_slice(&answer.body).with_context(|| format!("{path} is not JSON"))
    }

    /// The decisions about Service `name` that are remembered, oldest first.
    pub(crate) fn decisions(&self, name: &str) -> Result<Vec<Value>> {
        let mut decisions = list(
            self.admin(&format!("/v1/functions/default/{name}/decisions"))?,
            "decisions",
        )?;
        decisions.sort_by_key(|decision| decision["at"].as_u64());
        Ok(decisions)
    }

    /// A number of Service `name`'s status.
    pub(crate) fn status(&self, name: &str, field: &str) -> Result<u64> {
        let function = self.admin(&format!("/v1/functions/default/{name}"))?;
        function[field]
            .as_u64()
            .with_context(|| format!("{name} has no {field}"))
    }

    /// Waits until every function has no replica, asked for or running.
    pub(crate) fn wait_until_cold(&self, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        loop {
            let functions = list(self.admin("/v1/functions")?, "functions")?;
            let is_cold = |function: &Value| {
                ["desired", "ready", "starting"]
                    .iter()
                    .all(|field| function[field] == 0)
            };
            if functions.iter().all(is_cold) {
                return Ok(());
            }
            anyhow::ensure!(
                Instant::now() < deadline,
                "functions not at zero within {timeout:?}"
            );
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }
}

/// A list, bare or in an object under `field`.
fn list(value: Value, field: &str) -> Result<Vec<Value>> {
    match value {
        Value::Array(items) => Ok(items),
        Value::Object(mut object) => match object.remove(field) {
            Some(Value::Array(items)) => Ok(items),
            _ => bail!("no list of {field}"),
        },
        _ => bail!("no list of {field}"),
    }
}

/// The end of a log, for an error message.
fn last_words(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(15)..].join("\n");
    format!("the end of {}:\n{tail}", log.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_are_taken_bare_or_wrapped() {
        assert_eq!(list(json!([1]), "functions").unwrap().len(), 1);
        assert_eq!(
            list(json!({"functions": [1, 2]}), "functions")
                .unwrap()
                .len(),
            2
        );
        assert!(list(json!({"items": []}), "functions").is_err());
    }
}
