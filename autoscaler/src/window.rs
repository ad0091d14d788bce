//! Averages over a sliding window of one-second buckets, as Knative Serving computes them.
//!
//! Source: knative/serving `pkg/autoscaler/aggregation`, checked against recorded answers.

use std::time::Duration;

use zeron_core::Timestamp;
use zeron_core::policy::Aggregation;

/// Smallest weight of the newest bucket when averaging exponentially.
const MIN_SMOOTHING: f64 = 0.2;
/// Share of the whole weight that lies within the window when averaging exponentially.
const WEIGHT_IN_WINDOW: f64 = 0.9999;
/// Linear averages are rounded to this fraction.
const ROUNDING: f64 = 1e6;

/// A ring of one-second buckets. Buckets are allocated by the first record.
#[derive(Clone, Debug)]
pub struct Window {
    aggregation: Aggregation,
    /// Empty until the first record; else exactly `length` of them.
    buckets: Vec<f64>,
    length: usize,
    /// Kept up to date in the original's order of additions: averages agree to the last bit.
    total: f64,
    first_write: Option<u64>,
    last_write: Option<u64>,
}

impl Window {
    /// A window of `length`, rounded up to whole seconds, at least one.
    pub fn new(aggregation: Aggregation, length: Duration) -> Self {
        Self {
            aggregation,
            buckets: Vec::new(),
            length: bucket_count(length),
            total: 0.0,
            first_write: None,
            last_write: None,
        }
    }

    /// Whether the last record is more than a window old, or there was none.
    pub fn is_empty(&self, now: Timestamp) -> bool {
        match self.last_write {
            Some(last) => now.as_secs() > last && now.as_secs() - last > self.span(),
            None => true,
        }
    }

    /// Adds `value` to the bucket of `at`. What is a window older than the last record is dropped.
    pub fn record(&mut self, at: Timestamp, value: f64) {
        let second = at.as_secs();
        if self.buckets.is_empty() {
            self.buckets = vec![0.0; self.length];
        }
        if self.last_write != Some(second) && !self.advance(second) {
            return;
        }
        let index = self.index(second);
        self.buckets[index] += value;
        self.total += value;
    }

    /// Moves the window to `second`; false when that is too long ago to be recorded.
    fn advance(&mut self, second: u64) -> bool {
        if self
            .last_write
            .is_some_and(|last| second + self.span() <= last)
        {
            return false;
        }
        if self.first_write.is_none_or(|first| first > second) {
            self.first_write = Some(second);
        }
        match self.last_write {
            Some(last) if second <= last => {}
            Some(last) if second - last < self.span() => {
                self.clear_between(last, second);
                self.last_write = Some(second);
            }
            Some(_) | None => {
                self.first_write = Some(second);
                self.last_write = Some(second);
                self.buckets.fill(0.0);
                self.total = 0.0;
            }
        }
        true
    }

    fn clear_between(&mut self, last: u64, second: u64) {
        for each in last + 1..=second {
            let index = self.index(each);
            self.total -= self.buckets[index];
            self.buckets[index] = 0.0;
        }
    }

    /// The average at `now`; zero when empty.
    pub fn average(&self, now: Timestamp) -> f64 {
        self.average_with(now, 0.0)
    }

    /// The average at `now` as if `more` had been recorded in the second of `now`. Nothing is added
    /// to a second in which nothing was recorded yet: it counts neither way.
    pub(crate) fn average_with(&self, now: Timestamp, more: f64) -> f64 {
        let is_begun = self.last_write.is_some_and(|last| last >= now.as_secs());
        let more = if is_begun { more } else { 0.0 };
        match self.aggregation {
            Aggregation::Linear => self.linear_average(now.as_secs(), more),
            Aggregation::WeightedExponential => self.weighted_average(now, more),
        }
    }

    /// Mean over the age of a young window, else over the window; seconds after the last record
    /// count neither way.
    fn linear_average(&self, now: u64, more: f64) -> f64 {
        let Some(last) = self.last_write else {
            return 0.0;
        };
        let gap = now.saturating_sub(last);
        if gap >= self.span() {
            return 0.0;
        }
        let mut sum = self.total + more;
        if !self.buckets.is_empty() {
            for each in last + 1..=last + gap {
                sum -= self.buckets[self.index(each)];
            }
        }
        let age = self.first_write.map_or(u64::MAX, |first| last - first + 1);
        let seconds = age.min(self.span() - gap);
        round(sum / as_f64(seconds))
    }

    /// Newer buckets weigh more, and seconds after the last record count as zero.
    fn weighted_average(&self, now: Timestamp, more: f64) -> f64 {
        let Some(last) = self.last_write.filter(|_| !self.is_empty(now)) else {
            return 0.0;
        };
        if self.buckets.is_empty() {
            return 0.0;
        }
        let gap = now.as_secs().saturating_sub(last);
        let smoothing = self.smoothing();
        let mut weight = smoothing * (1.0 - smoothing).powf(as_f64(gap));
        let mut sum = more * weight;
        for back in 0..self.span().saturating_sub(gap) {
            sum += self.buckets[self.index(last + self.span() - back)] * weight;
            weight *= 1.0 - smoothing;
        }
        sum
    }

    /// Requests in the window ending at `now` by the seconds that they are spread over: the age of
    /// a young window, else the window. Seconds without a record count as zero.
    pub fn rate(&self, now: Timestamp) -> f64 {
        let (Some(first), Some(last)) = (self.first_write, self.last_write) else {
            return 0.0;
        };
        let gap = now.as_secs().saturating_sub(last);
        if gap >= self.span() || self.buckets.is_empty() {
            return 0.0;
        }
        let mut sum = self.total;
        for each in last + 1..=last + gap {
            sum -= self.buckets[self.index(each)];
        }
        let age = now.as_secs().max(last) - first + 1;
        (sum / as_f64(age.min(self.span()))).max(0.0)
    }

    /// Changes the length, keeping what was recorded, as seen from `now`.
    ///
    /// As in the original, a young window counts as a full old one afterwards; and after a window
    /// of silence the buckets are forgotten while the time of the last record is not.
    pub fn resize(&mut self, length: Duration, now: Timestamp) {
        let length = bucket_count(length);
        if length == self.length {
            return;
        }
        let was_empty = self.is_empty(now);
        let old = std::mem::replace(&mut self.buckets, vec![0.0; length]);
        let old_length = std::mem::replace(&mut self.length, length);
        self.total = 0.0;
        self.first_write = None;
        let Some(last) = self.last_write.filter(|_| !was_empty) else {
            self.buckets = Vec::new();
            return;
        };
        if !old.is_empty() {
            for back in 0..old_length.min(length) {
                let second = last - back as u64;
                let value = old[ring_index(second, old_length)];
                self.buckets[ring_index(second, length)] = value;
                self.total += value;
            }
        }
        self.first_write = Some(last.saturating_sub(old_length as u64 - 1));
    }

    /// Gives memory back once nothing of the past can matter.
    pub fn shrink(&mut self, now: Timestamp) {
        if self.is_empty(now) {
            self.buckets = Vec::new();
            self.total = 0.0;
        }
    }

    fn smoothing(&self) -> f64 {
        let by_length = 1.0 - (1.0 - WEIGHT_IN_WINDOW).powf(1.0 / as_f64(self.span()));
        by_length.max(MIN_SMOOTHING)
    }

    /// Length in seconds.
    fn span(&self) -> u64 {
        self.length as u64
    }

    fn index(&self, second: u64) -> usize {
        ring_index(second, self.length)
    }
}

fn ring_index(second: u64, length: usize) -> usize {
    usize::try_from(second % length as u64).expect("a remainder is below the length")
}

fn bucket_count(length: Duration) -> usize {
    let seconds = length.as_secs() + u64::from(length.subsec_nanos() > 0);
    usize::try_from(seconds.max(1)).unwrap_or(usize::MAX)
}

fn round(value: f64) -> f64 {
    (value * ROUNDING).round() / ROUNDING
}

/// Counts of seconds are far below 2^53.
fn as_f64(seconds: u64) -> f64 {
    seconds as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_secs(1_000_000 + second)
    }

    #[test]
    fn an_unwritten_window_allocates_nothing() {
        let window = Window::new(Aggregation::Linear, Duration::from_secs(60));
        assert_eq!(window.buckets.capacity(), 0);
        assert_eq!(window.average(at(0)), 0.0);
    }

    #[test]
    fn memory_is_given_back_after_a_window_of_silence() {
        let mut window = Window::new(Aggregation::Linear, Duration::from_secs(6));
        window.record(at(0), 3.0);
        window.shrink(at(6));
        assert_eq!(window.buckets.len(), 6);
        window.shrink(at(7));
        assert_eq!(window.buckets.capacity(), 0);
        window.record(at(8), 2.0);
        assert_eq!(window.average(at(8)), 2.0);
    }

    #[test]
    fn a_question_about_the_past_of_a_window_that_was_given_back_is_zero() {
        let mut window = Window::new(Aggregation::Linear, Duration::from_secs(60));
        window.record(at(0), 10.0);
        window.shrink(at(100));
        assert_eq!((window.rate(at(30)), window.average(at(30))), (0.0, 0.0));
    }

    #[test]
    fn rate_counts_silent_seconds_as_zero() {
        let mut window = Window::new(Aggregation::Linear, Duration::from_secs(60));
        window.record(at(0), 10.0);
        assert_eq!(window.rate(at(0)), 10.0);
        assert_eq!(window.rate(at(9)), 1.0);
        assert_eq!(window.rate(at(60)), 0.0);
    }
}
