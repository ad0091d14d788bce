//! Time-weighted concurrency and request count of one function.

use std::time::Duration;

use tokio::time::Instant;

/// What is in flight and what waits, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Requests at a replica.
    pub in_flight: u32,
    /// Requests that wait for one.
    pub queued: u32,
}

impl Load {
    /// Both together.
    pub fn total(self) -> u32 {
        self.in_flight.saturating_add(self.queued)
    }
}

/// Integrates concurrency over time between two reports.
#[derive(Debug)]
pub(crate) struct Meter {
    load: Load,
    since: Instant,
    changed: Instant,
    /// Concurrency x seconds from `since` to `changed`.
    area: f64,
    arrivals: u32,
}

/// What one report says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Report {
    pub(crate) average: f64,
    pub(crate) arrivals: u32,
    pub(crate) load: Load,
}

impl Meter {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            load: Load::default(),
            since: now,
            changed: now,
            area: 0.0,
            arrivals: 0,
        }
    }

    pub(crate) fn load(&self) -> Load {
        self.load
    }

    /// A request arrived; it begins in neither place.
    pub(crate) fn arrive(&mut self) {
        self.arrivals = self.arrivals.saturating_add(1);
    }

    /// Requests that arrived since the last report.
    pub(crate) fn arrivals(&self) -> u32 {
        self.arrivals
    }

    /// A request that arrived is another activator's to count.
    pub(crate) fn unarrive(&mut self) {
        self.arrivals = self.arrivals.saturating_sub(1);
    }

    /// Sets the load from now on.
    pub(crate) fn set(&mut self, now: Instant, load: Load) {
        if load.total() != self.load.total() {
            self.advance(now);
        }
        self.load = load;
    }

    /// Closes the interval and begins the next.
    pub(crate) fn report(&mut self, now: Instant) -> Report {
        self.advance(now);
        let span = now.saturating_duration_since(self.since);
        let average = if span > Duration::ZERO {
            self.area / span.as_secs_f64()
        } else {
            f64::from(self.load.total())
        };
        let report = Report {
            average,
            arrivals: self.arrivals,
            load: self.load,
        };
        self.since = now;
        self.area = 0.0;
        self.arrivals = 0;
        report
    }

    /// Begins an interval now, forgetting what was at rest before.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.since = now;
        self.changed = now;
        self.area = 0.0;
    }

    fn advance(&mut self, now: Instant) {
        let span = now.saturating_duration_since(self.changed);
        self.area += f64::from(self.load.total()) * span.as_secs_f64();
        self.changed = self.changed.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn average_is_weighted_by_time() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        let busy = Load {
            in_flight: 2,
            queued: 1,
        };
        meter.arrive();
        meter.set(start + Duration::from_millis(500), busy);
        meter.set(start + Duration::from_millis(750), Load::default());
        let report = meter.report(start + Duration::from_secs(1));
        assert!((report.average - 0.75).abs() < 1e-9, "{report:?}");
        assert_eq!(report.arrivals, 1);
        let next = meter.report(start + Duration::from_secs(2));
        assert_eq!((next.average, next.arrivals), (0.0, 0));
    }

    #[test]
    fn moving_from_queue_to_replica_changes_no_average() {
        let start = Instant::now();
        let mut meter = Meter::new(start);
        let waiting = Load {
            in_flight: 0,
            queued: 1,
        };
        let served = Load {
            in_flight: 1,
            queued: 0,
        };
        meter.set(start, waiting);
        meter.set(start + Duration::from_millis(400), served);
        let report = meter.report(start + Duration::from_secs(1));
        assert!((report.average - 1.0).abs() < 1e-9);
        assert_eq!(report.load, served);
    }
}
