//! Secrets and ConfigMaps that objects refer to: read by name, never listed.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::watch as signal;
use tokio::time::Instant;
use tracing::debug;

use super::driver::{Context, Message};
use super::resource;
use crate::projection::{ObjectKey, ObjectKind};

/// Reads under way at once.
const AT_ONCE: usize = 16;

/// Reads what `wanted` names: at once when it is new, and again from time to time.
pub(super) async fn run(context: Context, mut wanted: signal::Receiver<BTreeSet<ObjectKey>>) {
    let stop = context.stop.clone();
    let work = async {
        let mut known = HashSet::new();
        let mut next = Instant::now() + jittered(context.options.refresh);
        loop {
            let is_due = tokio::select! {
                changed = wanted.changed() => match changed {
                    Ok(()) => false,
                    Err(_) => return,
                },
                () = tokio::time::sleep_until(next) => true,
            };
            let all = wanted.borrow_and_update().clone();
            known.retain(|key| all.contains(key));
            let read: Vec<ObjectKey> = all
                .into_iter()
                .filter(|key| is_due || !known.contains(key))
                .collect();
            known.extend(read.iter().cloned());
            if is_due {
                next = Instant::now() + jittered(context.options.refresh);
            }
            if !fetch(&context, read).await {
                return;
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

/// Reads them; returns whether anybody still wants to know.
async fn fetch(context: &Context, keys: Vec<ObjectKey>) -> bool {
    let mut answers = stream::iter(keys)
        .map(|key| get(context, key))
        .buffer_unordered(AT_ONCE);
    while let Some(message) = answers.next().await {
        if let Some(message) = message
            && context.events.send(message).await.is_err()
        {
            return false;
        }
    }
    context.events.send(Message::Fetched).await.is_ok()
}

async fn get(context: &Context, key: ObjectKey) -> Option<Message> {
    let api = resource::by_name(&key.kind).of(&context.client, Some(&key.namespace));
    match api.get_opt(&key.name).await {
        Ok(Some(object)) => Some(Message::Upsert(key.kind, object.value)),
        Ok(None) => Some(Message::Delete(key)),
        Err(kube::Error::Api(status)) if status.code == 403 && key.kind == ObjectKind::Secret => {
            let hint = format!("zeron grant {} --secret {}", key.namespace, key.name);
            Some(Message::Denied(key, hint))
        }
        Err(error) => {
            // What was read before holds; it is tried again in time.
            debug!(object = %key, error = %error, "not read");
            None
        }
    }
}

/// A tenth more or less, so that many processes do not ask at once.
fn jittered(interval: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let random = u32::try_from(RandomState::new().hash_one(0) % 200).unwrap_or_default();
    interval * (900 + random) / 1_000
}
