//! The two clocks: a monotonic one for waits (tokio's, so that tests may pause it), and the wall's.

use std::time::SystemTime;

use zeron_core::Timestamp;

/// Now, since the Unix epoch.
pub(crate) fn wall() -> Timestamp {
    let since_epoch = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_micros(u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX))
}
