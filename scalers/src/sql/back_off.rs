//! When a server that could not be reached is dialled again.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use zeron_core::metric::Unknown;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The last failure to connect, while there was no success after it.
#[derive(Debug, Default)]
pub(crate) struct BackOff {
    failed: Mutex<Option<Failed>>,
}

#[derive(Debug)]
struct Failed {
    reason: Unknown,
    pause: Duration,
    again_at: Instant,
}

impl BackOff {
    /// Why not to dial now: it failed a moment ago.
    pub(crate) fn refused(&self) -> Option<Unknown> {
        let failed = self.failed.lock();
        let failed = failed.as_ref().filter(|it| Instant::now() < it.again_at)?;
        Some(failed.reason.clone())
    }

    /// Dialling failed: the next pause is twice as long, and returned.
    pub(crate) fn failed(&self, reason: &Unknown) -> Duration {
        let mut failed = self.failed.lock();
        let last = failed.as_ref().map(|it| it.pause);
        let pause = last.map_or(FIRST_PAUSE, |last| (last * 2).min(LONGEST_PAUSE));
        *failed = Some(Failed {
            reason: reason.clone(),
            pause,
            again_at: Instant::now() + pause,
        });
        pause
    }

    /// Dialling succeeded.
    pub(crate) fn succeeded(&self) {
        *self.failed.lock() = None;
    }
}

#[cfg(test)]
mod tests {
    use zeron_core::metric::UnknownKind;

    use super::*;
    use crate::source::unknown;

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_five_seconds_and_end_with_a_success() {
        let back_off = BackOff::default();
        assert_eq!(back_off.refused(), None);
        let reason = unknown(UnknownKind::Transport, "refused");
        let pauses: Vec<_> = (0..8)
            .map(|_| back_off.failed(&reason).as_millis())
            .collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(back_off.refused(), Some(reason.clone()));
        tokio::time::sleep(LONGEST_PAUSE).await;
        assert_eq!(back_off.refused(), None);
        back_off.succeeded();
        assert_eq!(back_off.failed(&reason), FIRST_PAUSE);
    }
}
