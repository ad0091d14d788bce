//! The API server's audit log: who asked for what, and when.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::PathBuf;

use serde_json::Value;

use super::Cluster;

/// A place in the log: what is written after it can be read.
#[derive(Clone, Debug)]
pub struct Audit {
    file: PathBuf,
    from: u64,
}

/// One request. What is logged of which is in `tests/cluster/audit.yaml`.
#[derive(Clone, Debug)]
pub struct Entry(pub Value);

impl Cluster {
    /// The log from now on; `None` for a cluster whose log is not here.
    pub fn audit(&self) -> Option<Audit> {
        let file = self.state()?.join("audit.log");
        let from = file.metadata().ok()?.len();
        Some(Audit { file, from })
    }
}

impl Audit {
    /// All requests since then that were answered.
    ///
    /// # Panics
    /// When the log is gone.
    pub fn entries(&self) -> Vec<Entry> {
        let mut file = File::open(&self.file).expect("the log stays while its cluster is up");
        file.seek(SeekFrom::Start(self.from))
            .expect("a file can be read anywhere");
        // The last line may be in the making.
        let lines = BufReader::new(file).lines().map_while(Result::ok);
        lines
            .filter_map(|line| serde_json::from_str(&line).ok().map(Entry))
            .collect()
    }

    /// Writes of the replica count of an object, oldest first.
    pub fn scale_writes(&self, namespace: &str, name: &str) -> Vec<Entry> {
        let is_write = |entry: &Entry| {
            let object = &entry.0["objectRef"];
            object["subresource"] == "scale"
                && object["namespace"] == namespace
                && object["name"] == name
                && matches!(entry.verb(), "update" | "patch")
        };
        self.entries().into_iter().filter(is_write).collect()
    }
}

impl Entry {
    /// `get`, `list`, `watch`, `create`, `update`, `patch` or `delete`.
    pub fn verb(&self) -> &str {
        self.0["verb"].as_str().unwrap_or_default()
    }

    /// Who asked.
    pub fn user(&self) -> &str {
        self.0["user"]["username"].as_str().unwrap_or_default()
    }

    /// The program that asked.
    pub fn user_agent(&self) -> &str {
        self.0["userAgent"].as_str().unwrap_or_default()
    }

    /// The status code of the answer.
    pub fn code(&self) -> u64 {
        self.0["responseStatus"]["code"].as_u64().unwrap_or(0)
    }

    /// Whether it was not refused. A write of what somebody else has just written is, and an activator's whose autoscaler is
    /// silent for a moment: it wakes only what is at zero.
    pub fn took_effect(&self) -> bool {
        self.code() == 200
    }

    /// When the request came, in RFC 3339 with microseconds.
    pub fn received(&self) -> &str {
        self.0["requestReceivedTimestamp"]
            .as_str()
            .unwrap_or_default()
    }

    /// The replicas that a write of `/scale` asked for: of an object, a merge patch or a JSON patch.
    pub fn replicas(&self) -> Option<u64> {
        let body = &self.0["requestObject"];
        if let Some(steps) = body.as_array() {
            let is_set = |step: &&Value| step["op"] != "test" && step["path"] == "/spec/replicas";
            return steps.iter().find(is_set)?["value"].as_u64();
        }
        // A count of zero is left out.
        body["spec"]
            .as_object()
            .map(|spec| spec.get("replicas").and_then(Value::as_u64).unwrap_or(0))
    }
}
