//! kubectl, as people use it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::Cluster;

impl Cluster {
    /// What `kubectl ARGUMENTS` prints.
    ///
    /// # Panics
    /// When it fails.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments)
            .unwrap_or_else(|complaint| panic!("kubectl {}: {complaint}", arguments.join(" ")))
    }

    /// What it prints, or what it complains of.
    ///
    /// # Errors
    /// Its standard error, when it fails or cannot be run.
    pub fn try_kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        let own = self.state().map(|state| state.join("bin/kubectl"));
        let program = own.filter(|program| program.exists());
        let output = Command::new(program.unwrap_or_else(|| PathBuf::from("kubectl")))
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| error.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stderr))
        }
    }
}
