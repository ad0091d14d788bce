//! The running node as the admin API sees it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use zeron_core::roles::BoxFuture;
use zeron_core::status::FunctionStatus;
use zeron_core::{Decision, FunctionId};

use super::parts::Parts;
use super::reconcile::Command;
use super::view::View;
use crate::control::{
    ApplyReport, ApplyRequest, ChangeError, ControlPlane, FunctionView, LogFile, ObjectName,
    Problem, Readiness, ReplicaView,
};

/// Reads from the parts, changes through the reconciler.
#[derive(Debug)]
pub(crate) struct NodeControl {
    pub(crate) parts: Parts,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) view: watch::Receiver<Arc<View>>,
    /// Port of the data plane, for addresses.
    pub(crate) port: u16,
    pub(crate) draining: tokio_util::sync::CancellationToken,
}

impl NodeControl {
    fn function_view(&self, status: FunctionStatus, view: &View) -> FunctionView {
        let id = status.id.clone();
        let load = self.parts.activator.load(&id);
        let replicas = self.parts.backend.replicas(&id);
        FunctionView {
            urls: self.urls_of(&id, view),
            traffic_percent: match id.kind() {
                "Revision" => Some(view.shares.get(&id).copied().unwrap_or(0)),
                _ => None,
            },
            last_cold_start_ms: last_start(&replicas).map(|d| d.as_secs_f64() * 1e3),
            replicas: replicas.into_iter().map(ReplicaView::from).collect(),
            status: match load {
                Some(load) => FunctionStatus {
                    in_flight: load.in_flight,
                    queued: load.queued,
                    ..status
                },
                None => status,
            },
        }
    }

    /// Every address of every route, sorted.
    pub(super) fn urls(&self, view: &View) -> Vec<String> {
        let hosts: BTreeSet<&String> = view.hosts.values().flatten().collect();
        hosts.into_iter().map(|host| self.url(host)).collect()
    }

    fn urls_of(&self, id: &FunctionId, view: &View) -> Vec<String> {
        view.hosts
            .get(id)
            .into_iter()
            .flatten()
            .map(|host| self.url(host))
            .collect()
    }

    fn url(&self, host: &str) -> String {
        match host.split_once('/') {
            Some((host, path)) => format!("http://{host}:{}/{path}", self.port),
            None => format!("http://{host}:{}/", self.port),
        }
    }

    async fn change<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, ChangeError>>) -> Command,
    ) -> Result<T, ChangeError> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(command(reply))
            .await
            .map_err(|_| ChangeError::Stopping)?;
        answer.await.map_err(|_| ChangeError::Stopping)?
    }
}

/// From the start of the newest replica's process to its readiness.
fn last_start(replicas: &[zeron_backend_process::ReplicaStatus]) -> Option<Duration> {
    let started = replicas
        .iter()
        .rev()
        .find_map(|r| Some((r.started_at?, r.ready_at?)));
    started.map(|(started, ready)| ready.since(started))
}

impl ControlPlane for NodeControl {
    fn list(&self) -> Vec<FunctionView> {
        let view = Arc::clone(&self.view.borrow());
        let statuses = self.parts.engine.list();
        statuses
            .into_iter()
            .map(|status| self.function_view(status, &view))
            .collect()
    }

    fn get(&self, id: &FunctionId) -> Option<FunctionView> {
        let view = Arc::clone(&self.view.borrow());
        self.parts
            .engine
            .status(id)
            .map(|status| self.function_view(status, &view))
    }

    fn decisions(&self, id: &FunctionId) -> Vec<Arc<Decision>> {
        self.parts.engine.history(id)
    }

    fn log_files(&self, id: &FunctionId) -> Vec<LogFile> {
        let files = self.parts.backend.log_paths(id);
        files.into_iter().filter_map(LogFile::from_path).collect()
    }

    fn apply(&self, request: ApplyRequest) -> BoxFuture<'_, Result<ApplyReport, ChangeError>> {
        Box::pin(self.change(|reply| Command::Apply(request, reply)))
    }

    fn delete(&self, object: ObjectName) -> BoxFuture<'_, Result<(), ChangeError>> {
        Box::pin(self.change(|reply| Command::Delete(object, reply)))
    }

    fn problems(&self) -> Vec<Problem> {
        self.view.borrow().problems.clone()
    }

    fn readiness(&self) -> Readiness {
        let is_ready = !self.draining.is_cancelled();
        let reasons = if is_ready {
            Vec::new()
        } else {
            vec![String::from("zeron is stopping")]
        };
        Readiness { is_ready, reasons }
    }
}
