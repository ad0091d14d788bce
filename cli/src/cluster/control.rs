//! An autoscaler as `zeron ls`, `describe`, `why` and `timeline` see it: the functions that it owns.

use std::sync::Arc;

use parking_lot::Mutex;
use zeron_autoscaler::EngineHandle;
use zeron_backend_kubernetes::Pods;
use zeron_backend_kubernetes::pods::Replica;
use zeron_controller::projection::{ObjectReport, Outcome};
use zeron_controller::status::in_words;
use zeron_core::roles::BoxFuture;
use zeron_core::status::FunctionStatus;
use zeron_core::{Decision, FunctionId};

use super::ownership::Ownership;
use crate::admin::Health;
use crate::control::{
    ApplyReport, ApplyRequest, ChangeError, ControlPlane, FunctionView, LogFile, ObjectName,
    Problem, Readiness, ReplicaView, Severity, Shards,
};

/// Reads from the parts; objects are changed through the API server.
#[derive(Debug)]
pub(super) struct ClusterControl {
    pub(super) engine: EngineHandle,
    pub(super) pods: Pods,
    pub(super) ownership: Arc<Mutex<Ownership>>,
    pub(super) health: Arc<dyn Health>,
}

impl ClusterControl {
    fn view(&self, status: FunctionStatus) -> FunctionView {
        let replicas = self.pods.replicas(&status.id);
        FunctionView {
            status,
            urls: Vec::new(),
            traffic_percent: None,
            last_cold_start_ms: None,
            replicas: replicas.iter().map(replica).collect(),
        }
    }
}

fn replica(replica: &Replica) -> ReplicaView {
    let state = match (replica.is_draining, replica.is_ready) {
        (true, _) => "Draining",
        (false, true) => "Ready",
        (false, false) => "Starting",
    };
    ReplicaView {
        name: replica.name.to_string(),
        pid: None,
        address: None,
        state: state.to_owned(),
        started_at: Some(replica.created),
        ready_at: None,
    }
}

impl ControlPlane for ClusterControl {
    fn list(&self) -> Vec<FunctionView> {
        let statuses = self.engine.list().into_iter();
        statuses.map(|status| self.view(status)).collect()
    }

    fn get(&self, id: &FunctionId) -> Option<FunctionView> {
        self.engine.status(id).map(|status| self.view(status))
    }

    fn shards(&self) -> Option<Shards> {
        Some(self.ownership.lock().shards())
    }

    fn decisions(&self, id: &FunctionId) -> Vec<Arc<Decision>> {
        self.engine.history(id)
    }

    fn log_files(&self, _: &FunctionId) -> Vec<LogFile> {
        Vec::new()
    }

    fn apply(&self, _: ApplyRequest) -> BoxFuture<'_, Result<ApplyReport, ChangeError>> {
        Box::pin(async { Err(ChangeError::InCluster) })
    }

    fn delete(&self, _: ObjectName) -> BoxFuture<'_, Result<(), ChangeError>> {
        Box::pin(async { Err(ChangeError::InCluster) })
    }

    fn problems(&self) -> Vec<Problem> {
        let ownership = self.ownership.lock();
        ownership.reported().flat_map(problems).collect()
    }

    fn readiness(&self) -> Readiness {
        self.health.readiness()
    }
}

fn problems(report: &ObjectReport) -> Vec<Problem> {
    let problem = |severity, message: String| Problem {
        severity,
        file: None,
        line: None,
        column: None,
        object: Some(report.object.to_string()),
        field: None,
        message,
    };
    let wrong = match &report.outcome {
        Outcome::Ok | Outcome::NotManaged => Vec::new(),
        Outcome::Invalid { problems, .. } => problems.clone(),
        Outcome::TargetMissing { message } => vec![message.clone()],
        Outcome::Conflict(conflict) => vec![in_words(conflict)],
        Outcome::NotBuiltIn { types } => {
            vec![format!(
                "triggers that are not built in: {}",
                types.join(", ")
            )]
        }
    };
    let errors = wrong
        .into_iter()
        .map(|message| problem(Severity::Error, message));
    let soft = report.partial.iter().chain(&report.warnings).cloned();
    errors
        .chain(soft.map(|message| problem(Severity::Warning, message)))
        .collect()
}
