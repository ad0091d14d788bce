//! Waiting for conditions, bounded.

use std::time::{Duration, Instant};

use anyhow::bail;

const EVERY: Duration = Duration::from_millis(50);

/// Looks until something is found, at most `limit`; the first error ends it.
pub(crate) fn until<T>(
    limit: Duration,
    what: &str,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() >= end {
            bail!("waited {limit:?} in vain for {what}");
        }
        std::thread::park_timeout(EVERY);
    }
}
