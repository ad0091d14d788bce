//! What every source needs: one client per server and credentials, shared by all its triggers.
//!
//! A source implements [`Client`]; [`Sources`] finds or makes the client of a key, and [`SharedScaler`] keeps
//! its triggers. A client lives as long as one of its triggers.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use zeron_core::metric::{MetricReading, Unknown, UnknownKind};
use zeron_core::roles::{BoundTrigger, BoxFuture, Scaler, TriggerHandle};

/// What is read for one trigger: its metrics, or why there are none.
pub type Readings = Result<Vec<MetricReading>, Unknown>;

/// What is called when a trigger becomes active.
pub type OnChange = Arc<dyn Fn(TriggerHandle) + Send + Sync>;

/// A client of one server with one set of credentials.
pub trait Client: Send + Sync + fmt::Debug + 'static {
    /// A trigger's parsed parameters, and its memory from one evaluation to the next.
    type Trigger: Send + Sync + fmt::Debug + 'static;

    /// Reads all `triggers` within `timeout`: one answer per trigger, in their order. Connects on
    /// first use. A failure of one trigger does not fail the others.
    fn read<'a>(
        &'a self,
        triggers: &'a [Arc<Self::Trigger>],
        timeout: Duration,
    ) -> BoxFuture<'a, Vec<Readings>>;

    /// Follows a trigger where the server can push; the watch ends by [`Client::forget`] or with the client.
    /// `false`: it cannot. Called within a runtime.
    fn watch(
        &self,
        handle: TriggerHandle,
        trigger: &Arc<Self::Trigger>,
        on_change: OnChange,
    ) -> bool {
        let _ = (handle, trigger, on_change);
        false
    }

    /// Why nothing is pushed for a trigger that is followed; `None`: nothing is known to be wrong.
    fn push_trouble(&self, handle: TriggerHandle, trigger: &Self::Trigger) -> Option<String> {
        let _ = (handle, trigger);
        None
    }

    /// A trigger is gone.
    fn forget(&self, handle: TriggerHandle, trigger: &Self::Trigger) {
        let _ = (handle, trigger);
    }
}

/// The clients of one source type, by what tells them apart.
#[derive(Debug)]
pub struct Sources<K, C: Client> {
    scalers: Mutex<HashMap<K, Weak<SharedScaler<C>>>>,
    next: AtomicU64,
}

impl<K, C: Client> Default for Sources<K, C> {
    fn default() -> Self {
        Self {
            scalers: Mutex::default(),
            next: AtomicU64::default(),
        }
    }
}

impl<K: Eq + Hash + Clone, C: Client> Sources<K, C> {
    /// Binds `trigger` to the client of `key`, which `make` makes where there is none. `shown` names
    /// the source in messages, without secrets: `redis/localhost:6379`.
    pub fn bind(
        &self,
        key: &K,
        shown: &str,
        make: impl FnOnce() -> C,
        trigger: C::Trigger,
    ) -> BoundTrigger {
        let scaler = self.scaler(key, shown, make);
        BoundTrigger {
            source: Arc::clone(&scaler.name),
            handle: scaler.add(trigger),
            scaler,
        }
    }

    fn scaler(&self, key: &K, shown: &str, make: impl FnOnce() -> C) -> Arc<SharedScaler<C>> {
        let mut scalers = self.scalers.lock();
        scalers.retain(|_, scaler| scaler.strong_count() > 0);
        if let Some(scaler) = scalers.get(key).and_then(Weak::upgrade) {
            return scaler;
        }
        // Two sets of credentials for one address are two sources.
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let scaler = Arc::new(SharedScaler {
            name: format!("{shown}/{number}").into(),
            client: make(),
            triggers: Mutex::default(),
            next: AtomicU64::default(),
        });
        scalers.insert(key.clone(), Arc::downgrade(&scaler));
        scaler
    }
}

/// One client with its triggers.
#[derive(Debug)]
pub struct SharedScaler<C: Client> {
    name: Arc<str>,
    client: C,
    triggers: Mutex<HashMap<TriggerHandle, Arc<C::Trigger>>>,
    next: AtomicU64,
}

impl<C: Client> SharedScaler<C> {
    fn add(&self, trigger: C::Trigger) -> TriggerHandle {
        let handle = TriggerHandle(self.next.fetch_add(1, Ordering::Relaxed));
        self.triggers.lock().insert(handle, Arc::new(trigger));
        handle
    }

    async fn read(&self, handles: &[TriggerHandle], timeout: Duration) -> Vec<Readings> {
        let triggers: Vec<_> = {
            let known = self.triggers.lock();
            handles.iter().map(|it| known.get(it).cloned()).collect()
        };
        let wanted: Vec<_> = triggers.iter().flatten().cloned().collect();
        let mut answers = self.client.read(&wanted, timeout).await.into_iter();
        triggers
            .iter()
            .map(|trigger| match trigger {
                Some(_) => answers.next().unwrap_or_else(|| Err(not_read("left out"))),
                None => Err(not_read("the trigger was released")),
            })
            .collect()
    }
}

impl<C: Client> Scaler for SharedScaler<C> {
    fn evaluate<'a>(
        &'a self,
        triggers: &'a [TriggerHandle],
        timeout: Duration,
    ) -> BoxFuture<'a, Vec<Readings>> {
        Box::pin(self.read(triggers, timeout))
    }

    fn watch(&self, trigger: TriggerHandle, on_change: OnChange) -> bool {
        let declared = self.triggers.lock().get(&trigger).cloned();
        declared.is_some_and(|it| self.client.watch(trigger, &it, on_change))
    }

    fn push_trouble(&self, trigger: TriggerHandle) -> Option<String> {
        let declared = self.triggers.lock().get(&trigger).cloned()?;
        self.client.push_trouble(trigger, &declared)
    }

    fn release(&self, trigger: TriggerHandle) {
        let released = self.triggers.lock().remove(&trigger);
        if let Some(released) = released {
            self.client.forget(trigger, &released);
        }
    }
}

/// An [`Unknown`] of `kind`.
pub fn unknown(kind: UnknownKind, message: impl Into<String>) -> Unknown {
    Unknown {
        kind,
        message: message.into(),
    }
}

fn not_read(message: &str) -> Unknown {
    unknown(UnknownKind::NotRead, message)
}
