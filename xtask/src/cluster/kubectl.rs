//! Speaks to the API server through kubectl.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::state::State;

/// The program, with the credentials of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    /// It is not tried yet.
    pub(crate) fn new(program: PathBuf, kubeconfig: PathBuf) -> Self {
        Self {
            program,
            kubeconfig,
        }
    }

    /// The cluster of this folder, as its administrator.
    pub(crate) fn of(state: &State) -> Self {
        Self::new(state.path("bin/kubectl"), state.path("kubeconfig"))
    }

    /// What a command printed; an error with what it complained of.
    pub(crate) fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.run_with(arguments, "")
    }

    /// Applies manifests.
    pub(crate) fn apply(&self, manifests: &str) -> anyhow::Result<()> {
        self.run_with(
            &["apply", "--server-side", "--force-conflicts", "-f", "-"],
            manifests,
        )
        .map(drop)
    }

    /// The same of a command that reads manifests from its standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> anyhow::Result<String> {
        let mut child = Command::new(&self.program)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .arg("--request-timeout=10s")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that did not read it says why itself.
            drop(stdin.write_all(input.as_bytes()));
        }
        let output = child.wait_with_output()?;
        ensure!(
            output.status.success(),
            "kubectl {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
