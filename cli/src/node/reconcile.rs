//! Brings what runs to what the manifests say: the one owner of desired objects and revisions.
//!
//! Runs on a thread of its own, because reading files and the store block. Everything that may
//! change what should run arrives as a [`Command`]; every command passes [`Reconciler::settle`].

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use zeron_core::FunctionId;

use super::desired::Desired;
use super::parts::Parts;
use super::plan::Plan;
use super::ready::ReadyWatch;
use super::services::Services;
use super::view::View;
use crate::control::{ApplyReport, ApplyRequest, ChangeError, ObjectName};

/// Commands that may wait.
pub(crate) const QUEUE: usize = 1024;

/// Something that may change what should run.
#[derive(Debug)]
pub(crate) enum Command {
    /// Files changed.
    Reload,
    /// Somebody gave manifests.
    Apply(
        ApplyRequest,
        oneshot::Sender<Result<ApplyReport, ChangeError>>,
    ),
    /// Somebody took an object away.
    Delete(ObjectName, oneshot::Sender<Result<(), ChangeError>>),
    /// A new revision reached its initial scale.
    Ready(FunctionId),
}

/// Owns what should run.
#[derive(Debug)]
pub(crate) struct Reconciler {
    pub(crate) desired: Desired,
    pub(crate) services: Services,
    pub(crate) parts: Parts,
    pub(crate) ready: Arc<ReadyWatch>,
    pub(crate) plan: Plan,
    pub(crate) view: watch::Sender<Arc<View>>,
}

impl Reconciler {
    /// Follows commands until every sender is gone.
    pub(crate) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        self.settle();
        while let Some(command) = commands.blocking_recv() {
            self.follow(command);
        }
    }

    /// Answers once the parts know: whoever asked may look at once.
    fn follow(&mut self, command: Command) {
        match command {
            Command::Reload => {
                self.desired.reload();
                self.settle();
            }
            Command::Apply(request, reply) => {
                let outcome = self.desired.apply(&request);
                self.settle();
                // Whoever asked may have gone: what was applied stays applied.
                drop(reply.send(outcome));
            }
            Command::Delete(object, reply) => {
                let outcome = self.desired.delete(&object);
                self.settle();
                drop(reply.send(outcome));
            }
            Command::Ready(function) => {
                self.services.mark_ready(&function);
                self.settle();
            }
        }
    }

    /// Computes the plan anew and brings the parts to it.
    fn settle(&mut self) {
        for past in self.desired.take_past() {
            self.services.plan(&past);
        }
        let planned = self.services.plan(self.desired.catalog());
        self.ready.expect(&planned.awaited);
        let told = Arc::clone(&self.view.borrow());
        for problem in &planned.problems {
            if !told.problems.contains(problem) {
                tracing::error!("{problem}");
            }
        }
        self.parts.apply(&self.plan, &planned.plan);
        self.view
            .send_replace(Arc::new(View::new(&planned, self.desired.problems())));
        self.plan = planned.plan;
    }
}
