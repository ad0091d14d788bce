//! The two clocks: one for waiting, one for people.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use zeron_core::Timestamp;

/// One moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// Steady, for waiting.
    pub(crate) instant: Instant,
    /// The wall clock, for people.
    pub(crate) timestamp: Timestamp,
}

impl Now {
    pub(crate) fn read() -> Self {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let micros = u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX);
        Self {
            instant: Instant::now(),
            timestamp: Timestamp::from_micros(micros),
        }
    }
}
