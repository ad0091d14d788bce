//! How soon a connection that broke is made again, and whether that is worth a word.

use std::time::Duration;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Connections that broke one after the other.
#[derive(Debug)]
pub(super) struct Outage {
    pause: Duration,
    is_said: bool,
}

impl Default for Outage {
    fn default() -> Self {
        Self {
            pause: FIRST_PAUSE,
            is_said: false,
        }
    }
}

impl Outage {
    /// One broke that had `held` so long: until the next, and whether an outage begins with it. One that breaks at once
    /// belongs to the outage before it.
    pub(super) fn broken_after(&mut self, held: Duration) -> (Duration, bool) {
        if held > LONGEST_PAUSE {
            *self = Self::default();
        }
        let pause = self.pause;
        self.pause = LONGEST_PAUSE.min(pause * 2);
        (pause, !std::mem::replace(&mut self.is_said, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_said_once_and_ends_with_a_connection_that_holds() {
        let mut outage = Outage::default();
        let first = outage.broken_after(Duration::ZERO);
        assert_eq!(first, (FIRST_PAUSE, true));
        assert_eq!(
            outage.broken_after(Duration::ZERO),
            (FIRST_PAUSE * 2, false)
        );
        for _ in 0..10 {
            let (pause, is_new) = outage.broken_after(LONGEST_PAUSE);
            assert!(pause <= LONGEST_PAUSE && !is_new);
        }
        assert_eq!(outage.broken_after(LONGEST_PAUSE * 2), (FIRST_PAUSE, true));
        assert_eq!(
            outage.broken_after(Duration::ZERO),
            (FIRST_PAUSE * 2, false)
        );
    }
}
