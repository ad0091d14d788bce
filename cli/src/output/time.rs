//! Times as people read them.

use std::time::{Duration, SystemTime};

use zeron_core::Timestamp;

/// The time now.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::EPOCH + since
}

/// How long ago `at` was, such as `45s`, `3m10s`, `5h2m` or `12d`.
pub(crate) fn age(now: Timestamp, at: Timestamp) -> String {
    duration(now.since(at))
}

/// A duration in at most two units; below ten seconds with a tenth.
pub(crate) fn duration(duration: Duration) -> String {
    let pair = |big: u64, small: u64, units: [&str; 2]| match small {
        0 => format!("{big}{}", units[0]),
        _ => format!("{big}{}{small}{}", units[0], units[1]),
    };
    let seconds = duration.as_secs();
    match seconds {
        0 if duration.is_zero() => "0s".to_owned(),
        0 if duration.as_millis() < 100 => format!("{}ms", duration.as_millis()),
        0..10 if duration.subsec_millis() >= 100 => format!("{:.1}s", duration.as_secs_f64()),
        0..120 => format!("{seconds}s"),
        120..7_200 => pair(seconds / 60, seconds % 60, ["m", "s"]),
        7_200..172_800 => pair(seconds / 3_600, seconds % 3_600 / 60, ["h", "m"]),
        _ => pair(seconds / 86_400, seconds % 86_400 / 3_600, ["d", "h"]),
    }
}

/// A point in time in UTC, to the millisecond.
pub(crate) fn clock(at: Timestamp) -> String {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_millisecond(millis) {
        Ok(time) => format!("{time:.3}"),
        Err(_) => format!("{millis} ms"),
    }
}
