//! Credentials that are kept elsewhere and rotate: HashiCorp Vault, and files.
//!
//! A trigger with such parameters is bound to a [`Renewing`] scaler. Before each evaluation it looks at them
//! in the `cache`, which asks again after [`FRESH_FOR`]; where they changed, the trigger is bound anew. What is
//! evaluated goes on, batched, to the sources themselves. A vault that does not answer makes its triggers
//! unknown, and delays no others: each vault has a scaler of its own.

mod cache;
mod file;
mod renewing;
mod vault;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use zeron_core::policy::{RemoteParameters, Secret, TriggerSpec};
use zeron_core::roles::{BoundTrigger, Scaler, TriggerProblem};

use crate::address::AddressPolicy;
use crate::registry::Builtin;
use cache::Cache;
use renewing::Renewing;

/// How long what was read is used: a rotation is seen within a minute, an evaluation's own interval included.
const FRESH_FOR: Duration = Duration::from_secs(30);

/// Parameters by name.
type Values = Arc<BTreeMap<String, Secret>>;

/// Everything that reads and keeps remote parameters.
#[derive(Debug)]
pub(crate) struct Credentials {
    cache: Arc<Cache>,
    scalers: Mutex<HashMap<String, Weak<Renewing>>>,
    next: AtomicU64,
}

impl Credentials {
    /// Nothing read yet. `file_root` is the folder of `filePath`; `None`: no files are read.
    pub(crate) fn new(addresses: AddressPolicy, file_root: Option<PathBuf>) -> Self {
        Self::fresh_for(FRESH_FOR, addresses, file_root)
    }

    fn fresh_for(time: Duration, addresses: AddressPolicy, file_root: Option<PathBuf>) -> Self {
        Self {
            cache: Arc::new(Cache::new(time, addresses, file_root)),
            scalers: Mutex::default(),
            next: AtomicU64::default(),
        }
    }

    /// Binds a trigger that has remote parameters.
    pub(crate) fn bind(&self, sources: &Arc<Builtin>, trigger: &TriggerSpec) -> BoundTrigger {
        let scaler = self.scaler(sources, &place(trigger));
        let handle = scaler.add(trigger.clone());
        BoundTrigger {
            source: scaler.name(),
            scaler: scaler as Arc<dyn Scaler>,
            handle,
        }
    }

    fn scaler(&self, sources: &Arc<Builtin>, place: &str) -> Arc<Renewing> {
        let mut scalers = self.scalers.lock();
        scalers.retain(|_, scaler| scaler.strong_count() > 0);
        if let Some(scaler) = scalers.get(place).and_then(Weak::upgrade) {
            return scaler;
        }
        // One that is made anew is another source: answers to the old one are not its own.
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let name = format!("{place}/{number}");
        let scaler = Renewing::new(&name, Arc::clone(sources), Arc::clone(&self.cache));
        let scaler = Arc::new(scaler);
        scalers.insert(place.to_owned(), Arc::downgrade(&scaler));
        scaler
    }
}

/// Where a trigger's remote parameters are, without secrets: triggers of one place wait for it together.
fn place(trigger: &TriggerSpec) -> String {
    let places = trigger.remote.iter().map(|remote| match remote {
        RemoteParameters::Vault(vault) => vault::server(vault),
        RemoteParameters::File { .. } => "files".to_owned(),
    });
    format!("credentials/{}", places.collect::<Vec<_>>().join("+"))
}

/// Problems that remain when the remote parameters have been read: what they will give is not missing.
pub(crate) fn without_remote(
    trigger: &TriggerSpec,
    problems: Vec<TriggerProblem>,
) -> Vec<TriggerProblem> {
    let comes = |name: &str| {
        trigger.remote.iter().any(|remote| match remote {
            RemoteParameters::Vault(vault) => vault.secrets.iter().any(|it| it.parameter == name),
            RemoteParameters::File { .. } => !trigger.metadata.contains_key(name),
        })
    };
    problems
        .into_iter()
        .filter(|problem| !problem.parameter.as_deref().is_some_and(comes))
        .collect()
}

/// The trigger with what was read; what the authentication itself gives counts less.
fn with_values(trigger: &TriggerSpec, values: &[Values]) -> TriggerSpec {
    let mut trigger = trigger.clone();
    trigger.remote.clear();
    for values in values {
        let values = values.iter().map(|(k, v)| (k.clone(), v.clone()));
        trigger.auth.extend(values);
    }
    trigger
}

#[cfg(test)]
mod tests;
