//! What the admin API asks of the running node, and the shapes in which it answers.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zeron_backend_process::ReplicaStatus;
use zeron_core::roles::BoxFuture;
use zeron_core::status::FunctionStatus;
use zeron_core::{Decision, FunctionId, ObjectRef, Timestamp};

/// The running node, as the admin API sees it. Reads return at once; changes are asynchronous.
pub(crate) trait ControlPlane: Send + Sync + fmt::Debug + 'static {
    /// Every function, in the order of their ids.
    fn list(&self) -> Vec<FunctionView>;

    /// One function; `None` when it does not exist.
    fn get(&self, id: &FunctionId) -> Option<FunctionView> {
        self.list().into_iter().find(|view| view.status.id == *id)
    }

    /// Which part of all functions this is; `None` where nobody shares them.
    fn shards(&self) -> Option<Shards> {
        None
    }

    /// The kept decisions of a function, oldest first. Empty when it has none.
    fn decisions(&self, id: &FunctionId) -> Vec<Arc<Decision>>;

    /// The log files of a function's replicas, rotated ones and those of ended replicas too, oldest
    /// writing first. Reads a folder: belongs into `spawn_blocking`.
    fn log_files(&self, id: &FunctionId) -> Vec<LogFile>;

    /// Adds or replaces objects; all of them or, when anything is wrong, none.
    fn apply(&self, request: ApplyRequest) -> BoxFuture<'_, Result<ApplyReport, ChangeError>>;

    /// Deletes an applied object.
    fn delete(&self, object: ObjectName) -> BoxFuture<'_, Result<(), ChangeError>>;

    /// What is wrong with the manifests as they are now.
    fn problems(&self) -> Vec<Problem>;

    /// Whether requests can be served.
    fn readiness(&self) -> Readiness;
}

/// Which of the shards, by which autoscalers share functions, are held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shards {
    /// How many there are, for all autoscalers together.
    pub(crate) count: u32,
    /// Those that this one decides for.
    pub(crate) held: BTreeSet<u32>,
}

/// One function with what only the node knows of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FunctionView {
    /// What the engine knows.
    #[serde(flatten)]
    pub(crate) status: FunctionStatus,
    /// Where it is reached; empty for a function without a route.
    pub(crate) urls: Vec<String>,
    /// Share of its Service's traffic; `None` for what is not a revision.
    pub(crate) traffic_percent: Option<u32>,
    /// How long the newest cold start took, in milliseconds.
    pub(crate) last_cold_start_ms: Option<f64>,
    /// Its replicas, oldest first.
    pub(crate) replicas: Vec<ReplicaView>,
}

impl FunctionView {
    /// Whether it is a ScaledJob, whose replicas are the pods of Jobs and no state of anybody's.
    pub(crate) fn is_of_jobs(&self) -> bool {
        self.status.owner.kind == "ScaledJob"
    }
}

/// One replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReplicaView {
    /// Its own name, which its logs have too.
    pub(crate) name: String,
    /// Process id, while it runs.
    pub(crate) pid: Option<u32>,
    /// `host:port`; `None` for a function without a port.
    pub(crate) address: Option<String>,
    /// In one word, such as `Ready`, `Starting` or `Draining`.
    pub(crate) state: String,
    /// When its process was started.
    pub(crate) started_at: Option<Timestamp>,
    /// When it first answered its readiness probe.
    pub(crate) ready_at: Option<Timestamp>,
}

impl From<ReplicaStatus> for ReplicaView {
    fn from(status: ReplicaStatus) -> Self {
        Self {
            name: status.name,
            pid: status.pid,
            address: status.address.map(|address| address.to_string()),
            state: format!("{:?}", status.state),
            started_at: status.started_at,
            ready_at: status.ready_at,
        }
    }
}

/// One file of a replica's output, in the container runtimes' format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogFile {
    /// The replica's own name.
    pub(crate) replica: String,
    /// The file that is written now, or one that was rotated.
    pub(crate) path: PathBuf,
}

impl LogFile {
    /// The file at `path`: `REPLICA.log`, or `REPLICA.log.N` after a rotation. `None`: it is
    /// neither.
    pub(crate) fn from_path(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let replica = name[..name.rfind(".log")?].to_owned();
        Some(Self { replica, path })
    }
}

/// Objects to add or replace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApplyRequest {
    /// Manifests, each with one or more documents.
    pub(crate) sources: Vec<SourceText>,
    /// Warnings are errors.
    #[serde(default)]
    pub(crate) is_strict: bool,
}

/// The text of one manifest and where it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SourceText {
    /// What problems call it: a path, or `-` for standard input.
    pub(crate) name: String,
    /// The folder that relative paths in it start from.
    pub(crate) folder: PathBuf,
    /// YAML.
    pub(crate) text: String,
}

/// What an apply did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApplyReport {
    /// In the order of the manifests.
    pub(crate) objects: Vec<AppliedObject>,
    /// What was accepted and yet deserves a look.
    pub(crate) warnings: Vec<Problem>,
}

/// One object of an apply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AppliedObject {
    /// Which.
    pub(crate) object: ObjectRef,
    /// What happened to it.
    pub(crate) action: ApplyAction,
}

/// What an apply did to one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum ApplyAction {
    /// It is new.
    Created,
    /// It was there and differs.
    Configured,
    /// It was there and is the same.
    Unchanged,
}

/// An object as a person names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ObjectName {
    /// Such as `Service`; compared without regard to case.
    pub(crate) kind: String,
    /// `default` where none is given.
    pub(crate) namespace: String,
    /// The object's name.
    pub(crate) name: String,
}

/// `Kind namespace/name`.
impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// Something wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Problem {
    /// How bad it is.
    pub(crate) severity: Severity,
    /// The manifest.
    pub(crate) file: Option<String>,
    /// Line in it, from 1.
    pub(crate) line: Option<u64>,
    /// Column in it, from 1.
    pub(crate) column: Option<u64>,
    /// The object, as `Kind namespace/name`.
    pub(crate) object: Option<String>,
    /// Path of the field, such as `spec.template.spec.containers[0].image`.
    pub(crate) field: Option<String>,
    /// The value and what is allowed, in words.
    pub(crate) message: String,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Severity {
    /// The object works all the same.
    Warning,
    /// The object cannot be used.
    Error,
}

impl From<&zeron_manifest::Problem> for Problem {
    fn from(problem: &zeron_manifest::Problem) -> Self {
        Self {
            severity: if problem.is_error() {
                Severity::Error
            } else {
                Severity::Warning
            },
            file: Some(problem.location.file.to_string()),
            line: Some(problem.location.line.into()),
            column: Some(problem.location.column.into()),
            object: problem.object.as_ref().map(ToString::to_string),
            field: Some(problem.field.clone()).filter(|field| !field.is_empty()),
            message: problem.message.clone(),
        }
    }
}

/// `FILE:LINE:COLUMN: error: OBJECT: FIELD: MESSAGE`, without what is not known.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
            for part in [self.line, self.column].into_iter().flatten() {
                write!(f, "{part}:")?;
            }
            f.write_str(" ")?;
        }
        f.write_str(match self.severity {
            Severity::Warning => "warning: ",
            Severity::Error => "error: ",
        })?;
        for part in [&self.object, &self.field].into_iter().flatten() {
            write!(f, "{part}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Why an apply or a delete was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    /// The manifests are wrong; nothing was changed.
    #[error("the manifests have problems")]
    Invalid(Vec<Problem>),
    /// There is no such object.
    #[error("{0} does not exist")]
    NotFound(ObjectName),
    /// The object comes from a file that is watched: only the file can change it.
    #[error("{object} comes from {file}: change that file")]
    FromFile {
        /// The object.
        object: ObjectName,
        /// Its manifest.
        file: String,
    },
    /// The change could not be kept.
    #[error("the change could not be stored")]
    Store(#[source] crate::store::StoreError),
    /// The node is about to end.
    #[error("zeron is stopping")]
    Stopping,
    /// This zeron decides for a cluster.
    #[error("objects of a cluster are changed through its API server: use kubectl")]
    InCluster,
}

/// Whether requests can be served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Readiness {
    /// Listeners are bound, manifests were read, and no drain has begun.
    pub(crate) is_ready: bool,
    /// Why not.
    pub(crate) reasons: Vec<String>,
}
