//! The engine's clock: a trait for tests, and one that never jumps.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use zeron_core::Timestamp;

/// Tells the time. Never goes backwards.
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Wall time read once, then counted by the monotonic clock: a jump of the wall clock moves
/// neither windows nor cooldowns.
#[derive(Clone, Copy, Debug)]
pub struct MonotonicClock {
    wall: Timestamp,
    anchor: Instant,
}

impl MonotonicClock {
    /// Anchored to the wall time of this moment.
    pub fn new() -> Self {
        // A clock before 1970 is not set at all; any anchor will do then.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        Self::anchored(since_epoch.unwrap_or(Duration::ZERO))
    }

    fn anchored(since_epoch: Duration) -> Self {
        Self {
            wall: Timestamp::EPOCH + since_epoch,
            anchor: Instant::now(),
        }
    }
}

impl Default for MonotonicClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for MonotonicClock {
    fn now(&self) -> Timestamp {
        self.wall + Instant::now().saturating_duration_since(self.anchor)
    }
}
