//! Waiting for conditions, bounded: a test that fails does not hang.

use std::time::{Duration, Instant};

/// How long a condition may take on a machine with much else to do.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How long a caller waits whose request may be a function's first: somewhat longer than a pod may take to start.
pub const COLD: Duration = Duration::from_secs(90);

/// How often a condition is looked at.
const EVERY: Duration = Duration::from_millis(10);

/// Waits until `look` finds something, at most [`PATIENCE`].
///
/// # Panics
/// When the time is over, with `what` was waited for.
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, look)
}

/// Waits until `look` finds something.
///
/// # Panics
/// When the time is over, with `what` was waited for.
pub fn within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited {limit:?} in vain: {what}");
        std::thread::park_timeout(EVERY);
    }
}

/// Looks again and again for `duration`, for things that must not happen.
///
/// # Panics
/// When `holds` is false at any look.
pub fn throughout(duration: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + duration;
    while Instant::now() < end {
        assert!(holds(), "did not hold for {duration:?}: {what}");
        std::thread::park_timeout(EVERY);
    }
}

/// Lets an outage, or a pause between requests, last: for durations that are the subject of a test, not to wait for anything.
pub fn last(duration: Duration) {
    let end = Instant::now() + duration;
    while let Some(left) = end
        .checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())
    {
        std::thread::park_timeout(left);
    }
}
