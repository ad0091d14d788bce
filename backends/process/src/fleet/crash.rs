//! What follows from replicas that do not live: when the next is tried, and who is told.

use std::time::{Duration, Instant};

use zeron_core::StartFailure;

use crate::clock::Now;

/// Wait after the second failure in a row; doubled by each further one.
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// Longest wait (the kubelet's `MaxContainerBackOff`).
const MAX_DELAY: Duration = Duration::from_secs(300);
/// A replica that was ready for so long ends the row.
pub(crate) const HEALTHY_AFTER: Duration = Duration::from_secs(10);
/// Waiting requests are refused when the next attempt is at least so far away.
const TOO_LONG_TO_WAIT: Duration = Duration::from_secs(10);

/// What went wrong with one replica.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    /// One CamelCase word.
    pub(crate) reason: String,
    pub(crate) message: String,
    /// When the replica was asked for.
    pub(crate) begun: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// The process could not be started.
    NotStarted {
        /// Another attempt would most likely fail too.
        is_final: bool,
    },
    /// The process ended.
    Exited { was_ready: bool },
    /// The process did not become ready in time.
    Overdue,
}

/// A row of failures of one function. The first exit is answered at once, the second after 100 ms,
/// then twice as long each time up to 5 min; 10 s of readiness end the row.
///
/// Replicas that fail together count once: only a replica that was asked for after the latest
/// failure makes the row longer.
#[derive(Clone, Debug)]
pub(crate) struct Crash {
    /// Failures in a row.
    rounds: u32,
    /// Of these, the latest ones of replicas that were never ready.
    unready_rounds: u32,
    last: Instant,
    retry_at: Option<Instant>,
    failure: Option<StartFailure>,
}

impl Crash {
    pub(crate) fn new(now: Now) -> Self {
        Self {
            rounds: 0,
            unready_rounds: 0,
            last: now.instant,
            retry_at: None,
            failure: None,
        }
    }

    /// Counts `fault`. The moment of the next attempt, unless that is now.
    pub(crate) fn record(&mut self, fault: Fault, now: Now) -> Option<Instant> {
        if self.rounds == 0 || fault.begun >= self.last {
            self.rounds += 1;
            self.unready_rounds = match fault.kind {
                FaultKind::Exited { was_ready: true } => 0,
                _ => self.unready_rounds + 1,
            };
            self.last = now.instant;
            let delay = self.delay(fault.kind);
            self.retry_at = (!delay.is_zero()).then_some(now.instant + delay);
        }
        let delay = self
            .retry_at
            .map(|at| at.saturating_duration_since(now.instant));
        let is_final = match fault.kind {
            FaultKind::NotStarted { is_final } => is_final,
            FaultKind::Overdue => true,
            FaultKind::Exited { .. } => {
                self.unready_rounds >= 2 || delay.is_some_and(|d| d >= TOO_LONG_TO_WAIT)
            }
        };
        let (reason, message) = match (fault.kind, delay) {
            (FaultKind::Exited { .. }, Some(delay)) => (
                "CrashLoopBackOff".to_owned(),
                format!("{} (next attempt in {delay:?})", fault.message),
            ),
            _ => (fault.reason, fault.message),
        };
        self.failure = Some(StartFailure {
            reason,
            message,
            at: now.timestamp,
            retry_at: delay.map(|delay| now.timestamp + delay),
            is_final,
        });
        self.retry_at
    }

    fn delay(&self, kind: FaultKind) -> Duration {
        let doublings = match kind {
            FaultKind::Exited { .. } if self.rounds == 1 => return Duration::ZERO,
            FaultKind::Exited { .. } => self.rounds - 2,
            FaultKind::NotStarted { .. } | FaultKind::Overdue => self.rounds - 1,
        };
        FIRST_DELAY
            .saturating_mul(1 << doublings.min(20))
            .min(MAX_DELAY)
    }

    /// A replica became ready: nobody is to be told of a failure any more.
    pub(crate) fn forgive(&mut self) {
        self.failure = None;
        self.unready_rounds = 0;
    }

    /// Whether replicas may be started now.
    pub(crate) fn may_start(&self, now: Instant) -> bool {
        self.retry_at.is_none_or(|at| at <= now)
    }

    /// The wait is over: the next attempt is under way, and requests may wait for it.
    pub(crate) fn begin_retry(&mut self, now: Instant) -> bool {
        if self.retry_at.is_none() || !self.may_start(now) {
            return false;
        }
        self.retry_at = None;
        if let Some(failure) = &mut self.failure {
            failure.is_final = false;
            failure.retry_at = None;
        }
        true
    }

    /// In a loop: one replica at a time is tried until one is ready.
    pub(crate) fn is_loop(&self) -> bool {
        self.rounds >= 2
    }

    pub(crate) fn rounds(&self) -> u32 {
        self.rounds
    }

    pub(crate) fn failure(&self) -> Option<&StartFailure> {
        self.failure.as_ref()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn exit(begun: Instant, was_ready: bool) -> Fault {
        Fault {
            kind: FaultKind::Exited { was_ready },
            reason: "ExitCode1".to_owned(),
            message: "exited with status 1".to_owned(),
            begun,
        }
    }

    fn after(now: Now, wait: Duration) -> Now {
        Now {
            instant: now.instant + wait,
            timestamp: now.timestamp + wait,
        }
    }

    #[test]
    fn the_first_exit_is_answered_at_once_and_later_ones_wait_twice_as_long_up_to_five_minutes() {
        let mut now = Now::read();
        let mut crash = Crash::new(now);
        assert_eq!(crash.record(exit(now.instant, false), now), None);
        let mut waits = Vec::new();
        for _ in 0..14 {
            let at = crash.record(exit(now.instant, false), now).unwrap();
            waits.push(at - now.instant);
            assert!(!crash.may_start(now.instant));
            now = after(now, at - now.instant);
            assert!(crash.begin_retry(now.instant));
        }
        assert_eq!(waits[..3], [100, 200, 400].map(Duration::from_millis));
        assert_eq!(waits[13], MAX_DELAY);
    }

    #[test]
    fn the_second_exit_before_ready_refuses_waiting_requests_until_the_next_attempt() {
        let now = Now::read();
        let mut crash = Crash::new(now);
        crash.record(exit(now.instant, false), now);
        let first = crash.failure().unwrap();
        assert_eq!(
            (first.reason.as_str(), first.is_final),
            ("ExitCode1", false)
        );
        let at = crash.record(exit(now.instant, false), now).unwrap();
        let second = crash.failure().unwrap();
        assert_eq!(
            (second.reason.as_str(), second.is_final),
            ("CrashLoopBackOff", true)
        );
        assert!(crash.begin_retry(at));
        assert!(!crash.failure().unwrap().is_final);
    }

    #[test]
    fn replicas_that_fail_together_count_once() {
        let now = Now::read();
        let mut crash = Crash::new(now);
        let later = after(now, Duration::from_millis(1));
        assert_eq!(crash.record(exit(now.instant, false), later), None);
        for _ in 0..9 {
            assert_eq!(crash.record(exit(now.instant, false), later), None);
        }
        assert!(!crash.is_loop());
    }

    #[test]
    fn exits_after_readiness_are_not_final_while_the_wait_is_short() {
        let now = Now::read();
        let mut crash = Crash::new(now);
        for _ in 0..5 {
            crash.record(exit(now.instant, true), now);
            assert!(!crash.failure().unwrap().is_final);
            crash.forgive();
        }
        for _ in 0..5 {
            crash.record(exit(now.instant, true), now);
        }
        assert!(crash.failure().unwrap().is_final);
    }

    #[test]
    fn a_program_that_cannot_be_started_is_final_at_once() {
        let now = Now::read();
        let mut crash = Crash::new(now);
        let fault = Fault {
            kind: FaultKind::NotStarted { is_final: true },
            reason: "StartError".to_owned(),
            message: "no such file".to_owned(),
            begun: now.instant,
        };
        assert_eq!(crash.record(fault, now), Some(now.instant + FIRST_DELAY));
        let failure = crash.failure().unwrap();
        assert_eq!(
            (failure.reason.as_str(), failure.is_final),
            ("StartError", true)
        );
    }
}
