//! What a process that stays does once its start is over.

use std::time::Duration;

/// Clients are connected by then, and first lists are read; of thousands of objects a while later.
const AFTER: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(60)];

/// Gives the pages of the program back that only the start needed, a while from now. What serves
/// meanwhile loses some hundred microseconds, once each.
///
/// # Panics
/// Outside a tokio runtime.
pub(crate) fn after_start() {
    tokio::spawn(async {
        for pause in AFTER {
            tokio::time::sleep(pause).await;
            match zeron_pages::let_go() {
                Ok(bytes) => tracing::debug!(bytes, "let go of the program's pages"),
                Err(error) => tracing::debug!(%error, "the program's pages stay in memory"),
            }
        }
    });
}
