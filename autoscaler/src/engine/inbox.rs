//! What others tell the engine, kept until it looks: per function the newest wins, so the inbox
//! holds at most one entry of each kind per function.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use zeron_core::path::PathFacts;
use zeron_core::{EndpointSink, EndpointSnapshot, Function, FunctionId, JobCounts};

use super::Found;
use crate::state::TriggerKey;

/// A snapshot, or the end of its function.
pub(crate) type Endpoints = Option<Arc<EndpointSnapshot>>;

/// What to do with a function.
#[derive(Clone, Debug)]
pub(crate) enum Command {
    Apply(Arc<Function>, Option<Found>),
    /// Removed, and declared again before the engine looked: nothing of before counts.
    Replace(Arc<Function>, Option<Found>),
    Remove,
}

/// Everything that came since the engine last looked.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    pub(crate) commands: HashMap<FunctionId, Command>,
    pub(crate) endpoints: HashMap<FunctionId, Endpoints>,
    /// What the platform holds, whoever wrote it.
    pub(crate) declared: HashMap<FunctionId, u32>,
    pub(crate) jobs: HashMap<FunctionId, JobCounts>,
    pub(crate) paths: HashMap<FunctionId, PathFacts>,
    pub(crate) pushes: BTreeSet<(FunctionId, TriggerKey)>,
    /// Who waits until all that came before is taken in; dropped once it is.
    pub(crate) waiting: Vec<oneshot::Sender<()>>,
}

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    mail: Mutex<Mail>,
    arrived: Notify,
}

impl Inbox {
    pub(crate) fn apply(&self, function: Arc<Function>, found: Option<Found>) {
        let mut mail = self.mail.lock();
        let before = mail.commands.remove(&function.id);
        let id = function.id.clone();
        let command = match before {
            Some(Command::Remove | Command::Replace(..)) => Command::Replace(function, found),
            // An edit in the meantime does not undo how it was found.
            Some(Command::Apply(_, before)) => Command::Apply(function, found.or(before)),
            None => Command::Apply(function, found),
        };
        mail.commands.insert(id, command);
        drop(mail);
        self.arrived.notify_one();
    }

    pub(crate) fn remove(&self, function: FunctionId) {
        self.mail.lock().commands.insert(function, Command::Remove);
        self.arrived.notify_one();
    }

    /// What is seen of a switched path. What was found before stays found.
    pub(crate) fn observe_path(&self, function: &FunctionId, mut facts: PathFacts) {
        let mut mail = self.mail.lock();
        let before = mail.paths.get(function).and_then(|before| before.found);
        facts.found = before.or(facts.found);
        mail.paths.insert(function.clone(), facts);
        drop(mail);
        self.arrived.notify_one();
    }

    /// A source says that a trigger has work.
    pub(crate) fn push(&self, function: &FunctionId, key: TriggerKey) {
        self.mail.lock().pushes.insert((function.clone(), key));
        self.arrived.notify_one();
    }

    /// Ends, with an error, once the engine has taken in what came before.
    pub(crate) fn taken_in(&self) -> oneshot::Receiver<()> {
        let (waiting, taken_in) = oneshot::channel();
        self.mail.lock().waiting.push(waiting);
        self.arrived.notify_one();
        taken_in
    }

    /// Waits for mail.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Takes everything.
    pub(crate) fn take(&self) -> Mail {
        std::mem::take(&mut *self.mail.lock())
    }
}

impl EndpointSink for Inbox {
    fn publish(&self, function: &FunctionId, snapshot: Endpoints) {
        let mut mail = self.mail.lock();
        if snapshot.is_none() {
            // Nor are there any Jobs of it.
            mail.jobs.remove(function);
        }
        mail.endpoints.insert(function.clone(), snapshot);
        drop(mail);
        self.arrived.notify_one();
    }

    fn declared(&self, function: &FunctionId, replicas: u32) {
        self.mail.lock().declared.insert(function.clone(), replicas);
        self.arrived.notify_one();
    }

    fn jobs(&self, function: &FunctionId, counts: JobCounts) {
        self.mail.lock().jobs.insert(function.clone(), counts);
        self.arrived.notify_one();
    }
}
