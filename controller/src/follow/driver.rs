//! Owns the projection: takes events in, hands changes out, in batches of at most 10 ms.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{mpsc, watch as signal};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::lease::{KedaLeases, Record};
use super::resource::{Resource, resources};
use super::stale::StaleKinds;
use super::{DeclaredSink, FollowOptions, custom, lease, references, watch};
use crate::projection::{Changes, ObjectKey, ObjectKind, Projection};

/// How long changes are gathered after some were handed out.
const BATCH: Duration = Duration::from_millis(10);
/// How long the start waits for Secrets and ConfigMaps that objects refer to.
const REFERENCES_WAIT: Duration = Duration::from_millis(1_500);

/// What every task has.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) client: Client,
    pub(super) options: Arc<FollowOptions>,
    pub(super) events: mpsc::Sender<Message>,
    pub(super) stop: CancellationToken,
    pub(super) stale: StaleKinds,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// What tasks tell the driver.
#[derive(Debug)]
pub(super) enum Message {
    /// An object is there, or changed.
    Upsert(ObjectKind, Value),
    /// An object is gone.
    Delete(ObjectKey),
    /// These are all objects of a kind, in a namespace or everywhere.
    Listed {
        kind: ObjectKind,
        namespace: Option<Arc<str>>,
        seen: HashSet<ObjectKey>,
    },
    /// A Secret may not be read.
    Denied(ObjectKey, String),
    /// All references that were wanted were read.
    Fetched,
    /// KEDA's lease in a namespace; `None`: nobody holds it.
    Lease(String, Option<Record>),
    /// Whether there is a lease is known.
    LeaseListed,
    /// A kind that objects want to scale.
    Found(Box<Resource>),
}

/// A list that was not seen yet: kind, and namespace where it is of one only.
type List = (ObjectKind, Option<Arc<str>>);

/// Owns the projection.
#[derive(Debug)]
pub(super) struct Driver {
    context: Context,
    projection: Arc<Mutex<Projection>>,
    sink: Arc<dyn DeclaredSink>,
    synced: signal::Sender<bool>,
    leases: KedaLeases,
    /// Lists for which the start waits.
    awaited: HashSet<List>,
    is_lease_listed: bool,
    wanted: signal::Sender<BTreeSet<ObjectKey>>,
    /// Custom kinds that are looked for or followed.
    kinds: BTreeSet<(String, String)>,
}

impl Driver {
    pub(super) fn new(
        context: Context,
        projection: Arc<Mutex<Projection>>,
        sink: Arc<dyn DeclaredSink>,
        synced: signal::Sender<bool>,
    ) -> Self {
        let builtin = [("apps/v1", "Deployment"), ("apps/v1", "StatefulSet")];
        let owned = |(version, kind): (&str, &str)| (version.to_owned(), kind.to_owned());
        Self {
            context,
            projection,
            sink,
            synced,
            leases: KedaLeases::default(),
            awaited: HashSet::new(),
            is_lease_listed: false,
            wanted: signal::channel(BTreeSet::new()).0,
            kinds: builtin.map(owned).into(),
        }
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        for resource in resources(self.context.options.reads_credentials) {
            self.follow(&resource, true);
        }
        tokio::spawn(lease::run(self.context.clone()));
        tokio::spawn(references::run(
            self.context.clone(),
            self.wanted.subscribe(),
        ));
        let stop = self.context.stop.clone();
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.drive(&mut inbox) => {}
        }
    }

    async fn drive(&mut self, inbox: &mut mpsc::Receiver<Message>) {
        self.start(inbox).await;
        loop {
            let expiry = self.leases.expiry(std::time::Instant::now());
            let expiry = expiry.map(Instant::from_std);
            tokio::select! {
                message = inbox.recv() => match message {
                    Some(message) => self.take(message),
                    None => return,
                },
                () = sleep_until(expiry) => {}
            }
            // Whatever is there already goes along; the next batch waits a little.
            for _ in 0..super::QUEUE {
                let Ok(message) = inbox.try_recv() else { break };
                self.take(message);
            }
            self.hand_out();
            tokio::time::sleep(BATCH).await;
        }
    }

    /// Takes all lists, then hands out everything at once.
    async fn start(&mut self, inbox: &mut mpsc::Receiver<Message>) {
        let began = Instant::now();
        while !self.awaited.is_empty() || !self.is_lease_listed {
            let Some(message) = inbox.recv().await else {
                return;
            };
            self.take(message);
        }
        self.update_keda();
        let listed = began.elapsed();
        let mut changes = self.projection.lock().take_changes();
        if self.want() {
            let deadline = Instant::now() + REFERENCES_WAIT;
            self.take_references(inbox, deadline).await;
            let newer = self.projection.lock().take_changes();
            changes = changes.followed_by(newer);
        }
        info!(
            functions = changes.applied.len(),
            objects = %self.projection.lock(),
            listed_ms = u64::try_from(listed.as_millis()).unwrap_or(u64::MAX),
            ready_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "declared objects are known"
        );
        self.sink.apply(changes);
        self.synced.send_replace(true);
    }

    async fn take_references(&mut self, inbox: &mut mpsc::Receiver<Message>, deadline: Instant) {
        loop {
            match tokio::time::timeout_at(deadline, inbox.recv()).await {
                Ok(Some(Message::Fetched)) => return,
                Ok(Some(message)) => self.take(message),
                Ok(None) => return,
                Err(_) => {
                    warn!("some Secrets or ConfigMaps are not read yet");
                    return;
                }
            }
        }
    }

    fn follow(&mut self, resource: &Resource, is_awaited: bool) {
        let namespaces = &self.context.options.namespaces;
        let scopes: Vec<Option<Arc<str>>> = match resource.is_namespaced && !namespaces.is_empty() {
            true => namespaces.iter().map(|n| Some(n.as_str().into())).collect(),
            false => vec![None],
        };
        for namespace in scopes {
            if is_awaited {
                self.awaited
                    .insert((resource.kind.clone(), namespace.clone()));
            }
            tokio::spawn(watch::run(
                self.context.clone(),
                resource.clone(),
                namespace,
            ));
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Upsert(kind, object) => {
                if let Err(error) = self.projection.lock().upsert(&kind, object) {
                    warn!(kind = kind.api().1, error = %error, "object passed over");
                }
            }
            Message::Delete(key) => self.projection.lock().delete(&key),
            Message::Listed {
                kind,
                namespace,
                seen,
            } => {
                let is_in =
                    |key: &ObjectKey| namespace.as_ref().is_none_or(|n| key.namespace == *n);
                let mut projection = self.projection.lock();
                for key in projection.keys(&kind) {
                    if is_in(&key) && !seen.contains(&key) {
                        projection.delete(&key);
                    }
                }
                drop(projection);
                self.awaited.remove(&(kind, namespace));
            }
            Message::Denied(key, hint) => {
                let mut projection = self.projection.lock();
                projection.deny(&key.namespace, &key.name, &hint);
            }
            Message::Fetched => {}
            Message::Lease(namespace, record) => {
                let (now, wall) = (std::time::Instant::now(), jiff::Timestamp::now());
                self.leases.observe(&namespace, record, now, wall);
            }
            Message::LeaseListed => self.is_lease_listed = true,
            Message::Found(resource) => self.follow(&resource, false),
        }
    }

    fn update_keda(&mut self) {
        let life = self.leases.life(std::time::Instant::now());
        self.projection.lock().set_keda(life);
    }

    fn hand_out(&mut self) {
        self.update_keda();
        let changes: Changes = self.projection.lock().take_changes();
        self.want();
        if !changes.is_empty() {
            self.sink.apply(changes);
        }
    }

    /// Asks for what objects refer to now. Returns whether anything new is asked for.
    fn want(&mut self) -> bool {
        let projection = self.projection.lock();
        let reads_secrets = self.context.options.reads_credentials;
        let is_read = |key: &&ObjectKey| reads_secrets || key.kind != ObjectKind::Secret;
        let wanted: BTreeSet<ObjectKey> =
            projection.references().filter(is_read).cloned().collect();
        let new_kinds: Vec<_> = projection
            .wanted_kinds()
            .difference(&self.kinds)
            .cloned()
            .collect();
        drop(projection);
        for (api_version, kind) in new_kinds {
            self.kinds.insert((api_version.clone(), kind.clone()));
            tokio::spawn(custom::find(self.context.clone(), api_version, kind));
        }
        let is_new = !wanted.is_subset(&self.wanted.borrow());
        self.wanted.send_if_modified(|old| {
            let is_changed = *old != wanted;
            *old = wanted;
            is_changed
        });
        is_new
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
