//! When KEDA is told that there is work, and how often: pure.
//!
//! Every `true` costs it a write to the API server, and one that comes before it knows the object is
//! lost. So: at once when there is work, again while somebody still waits and nothing serves, and
//! now and then while it goes on.

use std::time::Duration;

use tokio::time::Instant;

/// Work is over when there was none for so long: short requests one after the other are one spell.
const OVER_AFTER: Duration = Duration::from_secs(10);
/// First waiters that follow each other faster are one.
const SPACING: Duration = Duration::from_secs(1);
/// While somebody waits and nothing serves.
const AGAIN: Duration = Duration::from_secs(5);
/// While nothing changes.
const HEARTBEAT: Duration = Duration::from_secs(60);

/// What is so now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) at: Instant,
    /// `None`: that is not known.
    pub(super) is_active: Option<bool>,
    /// Somebody waits, and nothing is in flight.
    pub(super) is_waiting: bool,
    /// How often a request has found nobody.
    pub(super) wakes: u64,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Tell it.
    Tell(bool),
    /// Look again then, or when something changes.
    LookAgain(Instant),
}

/// What was told on one stream.
#[derive(Debug, Default)]
pub(super) struct Told {
    last: Option<(bool, Instant)>,
    wakes: u64,
    idle_since: Option<Instant>,
}

impl Told {
    /// What to do now. What is to be told counts as told.
    pub(super) fn step(&mut self, now: Now) -> Step {
        let step = match now.is_active {
            Some(true) => self.work(now),
            Some(false) => self.rest(now),
            None => Step::LookAgain(now.at + HEARTBEAT),
        };
        if let Step::Tell(is_active) = step {
            self.last = Some((is_active, now.at));
            self.wakes = now.wakes;
            self.idle_since = None;
        }
        step
    }

    fn work(&mut self, now: Now) -> Step {
        self.idle_since = None;
        let Some((true, at)) = self.last else {
            return Step::Tell(true);
        };
        let wait = if now.wakes > self.wakes {
            SPACING
        } else if now.is_waiting {
            AGAIN
        } else {
            HEARTBEAT
        };
        due(true, at + wait, now.at)
    }

    fn rest(&mut self, now: Now) -> Step {
        match self.last {
            None => Step::Tell(false),
            Some((false, at)) => due(false, at + HEARTBEAT, now.at),
            Some((true, _)) => {
                let since = *self.idle_since.get_or_insert(now.at);
                due(false, since + OVER_AFTER, now.at)
            }
        }
    }
}

fn due(is_active: bool, at: Instant, now: Instant) -> Step {
    if at <= now {
        Step::Tell(is_active)
    } else {
        Step::LookAgain(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Rig {
        told: Told,
        begin: Instant,
    }

    impl Rig {
        fn new() -> Self {
            Self {
                told: Told::default(),
                begin: Instant::now(),
            }
        }

        fn at(&mut self, seconds: f64, is_active: Option<bool>, waiting: bool, wakes: u64) -> Step {
            self.told.step(Now {
                at: self.begin + Duration::from_secs_f64(seconds),
                is_active,
                is_waiting: waiting,
                wakes,
            })
        }

        fn again(&self, seconds: f64) -> Step {
            Step::LookAgain(self.begin + Duration::from_secs_f64(seconds))
        }
    }

    #[test]
    fn work_is_told_at_once_and_then_once_a_minute() {
        let mut rig = Rig::new();
        assert_eq!(rig.at(0.0, Some(false), false, 0), Step::Tell(false));
        assert_eq!(rig.at(1.0, Some(true), false, 0), Step::Tell(true));
        assert_eq!(rig.at(2.0, Some(true), false, 0), rig.again(61.0));
        assert_eq!(rig.at(61.0, Some(true), false, 0), Step::Tell(true));
    }

    #[test]
    fn short_requests_one_after_the_other_are_one_spell_of_work() {
        let mut rig = Rig::new();
        assert_eq!(rig.at(0.0, Some(true), false, 0), Step::Tell(true));
        for second in 1..50 {
            let is_active = second % 5 == 0;
            let step = rig.at(f64::from(second), Some(is_active), false, 0);
            assert!(matches!(step, Step::LookAgain(_)), "{second}: {step:?}");
        }
        assert_eq!(rig.at(55.0, Some(false), false, 0), rig.again(56.0));
        assert_eq!(rig.at(56.0, Some(false), false, 0), Step::Tell(false));
    }

    #[test]
    fn who_finds_nobody_is_told_of_at_once_also_within_a_spell() {
        let mut rig = Rig::new();
        assert_eq!(rig.at(0.0, Some(true), true, 1), Step::Tell(true));
        assert_eq!(rig.at(0.1, Some(true), true, 1), rig.again(5.0));
        assert_eq!(rig.at(3.0, Some(false), false, 1), rig.again(13.0));
        assert_eq!(rig.at(4.0, Some(true), true, 2), Step::Tell(true));
        assert_eq!(rig.at(4.2, Some(true), true, 3), rig.again(5.0));
        assert_eq!(rig.at(5.0, Some(true), true, 3), Step::Tell(true));
    }

    #[test]
    fn who_goes_on_waiting_is_told_of_again() {
        let mut rig = Rig::new();
        assert_eq!(rig.at(0.0, Some(true), true, 1), Step::Tell(true));
        assert_eq!(rig.at(4.9, Some(true), true, 1), rig.again(5.0));
        assert_eq!(rig.at(5.0, Some(true), true, 1), Step::Tell(true));
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        let mut rig = Rig::new();
        assert!(matches!(rig.at(0.0, None, false, 0), Step::LookAgain(_)));
        assert_eq!(rig.at(1.0, Some(true), false, 0), Step::Tell(true));
        assert!(matches!(rig.at(90.0, None, false, 0), Step::LookAgain(_)));
        assert_eq!(rig.at(91.0, Some(false), false, 0), rig.again(101.0));
    }
}
