//! How much the machine's cores were fought for, by the bench, by what it measures and by anybody else.

use std::time::{Duration, Instant};

/// A moment from which on pressure is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pressure {
    began: Instant,
    waited: Option<Duration>,
}

impl Pressure {
    /// From now on.
    pub(crate) fn begin() -> Self {
        Self {
            began: Instant::now(),
            waited: waited(),
        }
    }

    /// The share of the time since then in which somebody waited for a core, in percent; not a number where the
    /// kernel does not tell.
    pub(crate) fn percent(self) -> f64 {
        let (Some(before), Some(now)) = (self.waited, waited()) else {
            return f64::NAN;
        };
        let passed = self.began.elapsed().as_secs_f64();
        now.saturating_sub(before).as_secs_f64() / passed * 100.0
    }
}

/// `total` of the line `some` of `/proc/pressure/cpu`.
fn waited() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/pressure/cpu").ok()?;
    parse(&text)
}

fn parse(text: &str) -> Option<Duration> {
    let some = text.lines().find(|line| line.starts_with("some "))?;
    let total = some
        .split_whitespace()
        .find_map(|word| word.strip_prefix("total="))?;
    total.parse().ok().map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_of_some_is_read() {
        let text =
            "some avg10=97.36 avg60=96.34 avg300=90.95 total=1500000\nfull avg10=0 total=7\n";
        assert_eq!(parse(text), Some(Duration::from_millis(1_500)));
        assert_eq!(parse("nothing"), None);
    }
}
