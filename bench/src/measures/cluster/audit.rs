//! The API server's audit log: who wrote what, and when, in microseconds of this machine's clock.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use serde_json::Value;

/// A place in the log.
#[derive(Clone, Debug)]
pub(crate) struct Audit {
    file: PathBuf,
    from: u64,
}

/// A write of a replica count that the API server accepted.
#[derive(Clone, Debug)]
pub(crate) struct ScaleWrite {
    pub(crate) name: String,
    pub(crate) replicas: u64,
    /// When the API server received it.
    pub(crate) received: SystemTime,
    /// The program that wrote.
    pub(crate) user_agent: String,
}

/// A pod's status that told its address for the first time.
#[derive(Clone, Debug)]
pub(crate) struct Addressed {
    pub(crate) pod: String,
    /// When the API server had stored it.
    pub(crate) committed: SystemTime,
}

/// What happened in one namespace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Events {
    pub(crate) scale_writes: Vec<ScaleWrite>,
    pub(crate) addressed: Vec<Addressed>,
}

impl Audit {
    /// The end of the log.
    pub(crate) fn from_now(file: &Path) -> Result<Self> {
        let from = file
            .metadata()
            .with_context(|| file.display().to_string())?
            .len();
        Ok(Self {
            file: file.to_owned(),
            from,
        })
    }

    /// What happened in `namespace` since then, oldest first.
    pub(crate) fn events(&self, namespace: &str) -> Result<Events> {
        let mut file = File::open(&self.file)?;
        file.seek(SeekFrom::Start(self.from))?;
        let mut events = Events::default();
        for line in BufReader::new(file).lines() {
            // The last line may be in the making.
            let Ok(entry) = serde_json::from_str::<Value>(&line?) else {
                continue;
            };
            if entry["objectRef"]["namespace"] == namespace
                && entry["stage"] == "ResponseComplete"
                && entry["responseStatus"]["code"] == 200
            {
                events.scale_writes.extend(scale_write(&entry));
                events.addressed.extend(addressed(&entry));
            }
        }
        Ok(events)
    }
}

impl Events {
    /// The first write that gave `name` replicas.
    pub(crate) fn wake(&self, name: &str) -> Option<&ScaleWrite> {
        self.scale_writes
            .iter()
            .find(|write| write.name == name && write.replicas > 0)
    }

    /// When the address of `pod` was stored.
    pub(crate) fn address_of(&self, pod: &str) -> Option<SystemTime> {
        self.addressed
            .iter()
            .find(|it| it.pod == pod)
            .map(|it| it.committed)
    }
}

fn scale_write(entry: &Value) -> Option<ScaleWrite> {
    let is_write = matches!(entry["verb"].as_str(), Some("update" | "patch"));
    let object = &entry["objectRef"];
    // Through `/scale`, or, as Knative does, the Deployment itself.
    let is_count = object["subresource"] == "scale"
        || object["resource"] == "deployments" && object["subresource"].is_null();
    if !is_count || !is_write {
        return None;
    }
    Some(ScaleWrite {
        name: entry["objectRef"]["name"].as_str()?.to_owned(),
        replicas: replicas(&entry["requestObject"])?,
        received: time(&entry["requestReceivedTimestamp"])?,
        user_agent: entry["userAgent"].as_str().unwrap_or_default().to_owned(),
    })
}

/// Of an object, a merge patch or a JSON patch.
fn replicas(body: &Value) -> Option<u64> {
    if let Some(steps) = body.as_array() {
        let is_set = |step: &&Value| step["op"] != "test" && step["path"] == "/spec/replicas";
        return steps.iter().find(is_set)?["value"].as_u64();
    }
    // A count of zero is left out of an object.
    let spec = body["spec"].as_object()?;
    Some(spec.get("replicas").and_then(Value::as_u64).unwrap_or(0))
}

fn addressed(entry: &Value) -> Option<Addressed> {
    let object = &entry["objectRef"];
    if object["resource"] != "pods" || object["subresource"] != "status" {
        return None;
    }
    entry["requestObject"]["status"]["podIP"]
        .as_str()
        .filter(|ip| !ip.is_empty())?;
    Some(Addressed {
        pod: object["name"].as_str()?.to_owned(),
        committed: time(&entry["stageTimestamp"])?,
    })
}

fn time(text: &Value) -> Option<SystemTime> {
    let stamp: jiff::Timestamp = text.as_str()?.parse().ok()?;
    let since = u64::try_from(stamp.as_microsecond()).ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_micros(since))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_json_patch_and_an_object_tell_their_count() {
        let patch = json!([
            {"op": "test", "path": "/spec/replicas", "value": 0},
            {"op": "replace", "path": "/spec/replicas", "value": 3},
        ]);
        assert_eq!(replicas(&patch), Some(3));
        assert_eq!(replicas(&json!({"spec": {"replicas": 10}})), Some(10));
        assert_eq!(replicas(&json!({"spec": {}})), Some(0));
        assert_eq!(replicas(&json!({})), None);
    }

    #[test]
    fn times_keep_their_microseconds() {
        let at = time(&json!("2026-11-21T15:00:52.573692Z")).unwrap();
        let later = time(&json!("2026-11-21T15:00:52.581463Z")).unwrap();
        assert_eq!(
            later.duration_since(at).unwrap(),
            Duration::from_micros(7_771)
        );
        assert_eq!(time(&json!("soon")), None);
    }

    #[test]
    fn a_status_without_an_address_is_not_the_moment() {
        let entry = |ip: Option<&str>| {
            json!({
                "objectRef": {"resource": "pods", "subresource": "status", "name": "p"},
                "stageTimestamp": "2026-11-21T15:00:52.581463Z",
                "requestObject": {"status": {"podIP": ip}},
            })
        };
        assert!(addressed(&entry(None)).is_none());
        assert_eq!(addressed(&entry(Some("10.244.0.2"))).unwrap().pod, "p");
    }
}
