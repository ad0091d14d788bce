//! When to ask for replicas, and when the question was asked already.

use std::time::Duration;

use tokio::time::Instant;

/// A wake-up that has not helped for so long is sent again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Coalesces wake-ups of one function: one per change of endpoints, per doubling of the amount,
/// per [`AGAIN_AFTER`].
#[derive(Debug, Default)]
pub(crate) struct WakeGate {
    last: Option<(Instant, u32)>,
}

impl WakeGate {
    /// Whether to send one now for `amount` requests in flight and waiting.
    pub(crate) fn pass(&mut self, now: Instant, amount: u32) -> bool {
        let is_new = self.last.is_none_or(|(at, before)| {
            amount >= before.saturating_mul(2) || now.duration_since(at) >= AGAIN_AFTER
        });
        if is_new {
            self.last = Some((now, amount));
        }
        is_new
    }

    /// Endpoints changed: the next question is a new one.
    pub(crate) fn reset(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_question_is_asked_once() {
        let now = Instant::now();
        let mut gate = WakeGate::default();
        assert!(gate.pass(now, 1));
        assert!(gate.pass(now, 2), "the amount doubled");
        assert!(!gate.pass(now, 3));
        assert!(gate.pass(now, 4), "the amount doubled again");
        assert!(!gate.pass(now + Duration::from_millis(99), 5));
        assert!(gate.pass(now + AGAIN_AFTER, 5), "it has not helped");
        gate.reset();
        assert!(gate.pass(now + AGAIN_AFTER, 5), "endpoints changed");
    }
}
