//! When a second ends. On every activator at the same moment: load that moves from one to another is then in the same second of
//! both, and what the hub adds up is neither less nor more than there is.

use std::time::{Duration, SystemTime};

use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

const SECOND: Duration = Duration::from_secs(1);

/// Shortest second of a clock that was set, or of a process that was late: an end nearer than this is passed over. One that
/// merges after it may be as late as that, and misses no second.
const SHORTEST: Duration = Duration::from_millis(300);

/// Whose seconds count.
#[derive(Clone, Copy, Debug, Default)]
pub enum Seconds {
    /// Those since the start: for one activator in the process of its autoscaler, and for Knative's statistics, in which each
    /// report counts for itself.
    #[default]
    SinceStart,
    /// Those of a clock about which machines agree to some milliseconds. As far as they do not, load that moves is found in
    /// two seconds, or in none.
    Of(WallClock),
}

/// Time since the Unix epoch.
pub type WallClock = fn() -> Duration;

impl Seconds {
    /// Those of this machine's clock.
    pub fn of_the_clock() -> Self {
        Self::Of(|| {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            // Before 1970 it is not set at all; any second will do.
            now.unwrap_or_default()
        })
    }

    /// Ticks once a second, so long after its end.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn ticks(self, after: Duration) -> Ticks {
        match self {
            Self::SinceStart => {
                let mut since_start = interval(SECOND);
                since_start.set_missed_tick_behavior(MissedTickBehavior::Delay);
                Ticks(Kind::SinceStart(since_start))
            }
            Self::Of(wall) => Ticks(Kind::Of {
                wall,
                after,
                next: Instant::now() + until_next(wall(), after),
            }),
        }
    }
}

/// See [`Seconds::ticks`].
#[derive(Debug)]
pub struct Ticks(Kind);

#[derive(Debug)]
enum Kind {
    SinceStart(Interval),
    Of {
        wall: WallClock,
        after: Duration,
        next: Instant,
    },
}

impl Ticks {
    /// Waits for the next one. Dropped before it is over, it loses none.
    pub async fn tick(&mut self) {
        match &mut self.0 {
            Kind::SinceStart(interval) => drop(interval.tick().await),
            Kind::Of { wall, after, next } => {
                sleep_until(*next).await;
                // Looked at anew: a clock may be set.
                *next = Instant::now() + until_next(wall(), *after);
            }
        }
    }
}

/// How long it is until `after` the end of a second.
fn until_next(wall: Duration, after: Duration) -> Duration {
    let into = (wall + SECOND - after).subsec_nanos();
    let left = SECOND - Duration::from_nanos(into.into());
    if left + after < SHORTEST {
        left + SECOND
    } else {
        left
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_second_ends_when_the_clocks_does() {
        assert_eq!(until_next(ms(7_000), ms(0)), ms(1_000));
        assert_eq!(until_next(ms(7_001), ms(0)), ms(999));
        assert_eq!(until_next(ms(7_700), ms(0)), ms(300));
        assert_eq!(until_next(ms(7_701), ms(0)), ms(1_299), "too near");
        assert_eq!(until_next(ms(7_001), ms(200)), ms(199));
        assert_eq!(until_next(ms(7_101), ms(200)), ms(1_099), "too near");
        assert_eq!(until_next(ms(7_200), ms(200)), ms(1_000));
        assert_eq!(until_next(ms(7_500), ms(200)), ms(700));
        assert_eq!(until_next(ms(0), ms(200)), ms(200), "at the epoch");
    }

    thread_local!(static BEGIN: Cell<Option<Instant>> = const { Cell::new(None) });

    /// Those of a clock that goes with the runtime's, and is a third of a second ahead of its seconds.
    fn seconds() -> Seconds {
        BEGIN.set(Some(Instant::now()));
        Seconds::Of(wall)
    }

    fn wall() -> Duration {
        BEGIN.get().map_or(Duration::ZERO, |begin| begin.elapsed()) + ms(5_333)
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_starts_at_different_moments_ticks_together_and_later_ones_after_them() {
        let seconds = seconds();
        let mut first = seconds.ticks(Duration::ZERO);
        tokio::time::advance(ms(100)).await;
        let mut second = seconds.ticks(Duration::ZERO);
        let mut merging = seconds.ticks(ms(200));
        for end in 6..9 {
            first.tick().await;
            assert_eq!(wall().as_secs(), end);
            let ended = Instant::now();
            second.tick().await;
            assert_eq!(ended.elapsed(), Duration::ZERO);
            merging.tick().await;
            let after = ended.elapsed();
            assert!((ms(200)..=ms(202)).contains(&after), "{after:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_late_is_on_time_again() {
        let mut ticks = seconds().ticks(Duration::ZERO);
        ticks.tick().await;
        tokio::time::advance(ms(2_500)).await;
        ticks.tick().await;
        assert_eq!(wall().subsec_millis() / 100, 5, "at once");
        ticks.tick().await;
        assert_eq!(wall().subsec_millis() / 100, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_clock_they_count_from_the_start() {
        let start = Instant::now();
        let mut ticks = Seconds::SinceStart.ticks(ms(200));
        for second in 0..3 {
            ticks.tick().await;
            assert_eq!(start.elapsed().as_secs(), second);
        }
    }
}
