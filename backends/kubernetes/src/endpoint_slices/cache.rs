//! What was read of Services a moment ago: triggers that are polled together list once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Mutex as Turn;
use tokio::time::Instant;
use zeron_core::metric::Unknown;

use super::SlicedEndpoint;

/// No longer than the shortest time between two polls: triggers share what was read, polls of one trigger do not.
pub(super) const FRESH_FOR: Duration = Duration::from_secs(1);

/// Endpoints by namespace and Service. Only what somebody reads, or read within [`FRESH_FOR`], is kept when the next
/// one asks.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<HashMap<(String, String), Arc<Entry>>>);

/// What was read last, and when that began. Locked by whoever reads.
type Entry = Turn<Option<(Instant, Arc<[SlicedEndpoint]>)>>;

impl Cache {
    /// What was read of a Service; where that is old, `read` reads it. Failures are not kept: whoever waited reads anew.
    pub(super) async fn get(
        &self,
        namespace: &str,
        service: &str,
        read: impl Future<Output = Result<Arc<[SlicedEndpoint]>, Unknown>>,
    ) -> Result<Arc<[SlicedEndpoint]>, Unknown> {
        let entry = self.entry(namespace, service);
        let mut known = entry.lock().await;
        if let Some((at, found)) = known.as_ref()
            && at.elapsed() < FRESH_FOR
        {
            return Ok(Arc::clone(found));
        }
        let began = Instant::now();
        let found = read.await?;
        *known = Some((began, Arc::clone(&found)));
        Ok(found)
    }

    fn entry(&self, namespace: &str, service: &str) -> Arc<Entry> {
        let mut entries = self.0.lock();
        entries.retain(|_, entry| is_wanted(entry));
        let key = (namespace.to_owned(), service.to_owned());
        Arc::clone(entries.entry(key).or_default())
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

/// Whether somebody reads it now, or may use it.
fn is_wanted(entry: &Arc<Entry>) -> bool {
    let is_fresh = |(at, _): &(Instant, _)| at.elapsed() < FRESH_FOR;
    Arc::strong_count(entry) > 1
        || entry
            .try_lock()
            .is_ok_and(|known| known.as_ref().is_some_and(is_fresh))
}
