//! Requests of functions as they are reported, for those who scale by them elsewhere.
//!
//! Kept of every function that has any, also of those that another autoscaler decides for: activators
//! report to all.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use zeron_core::policy::Aggregation;
use zeron_core::{FunctionId, Stat, Timestamp};
use zeron_wire::{Coverage, Wake};

use super::clock::Clock;
use crate::window::Window;

/// Over how long a rate is averaged: the HTTP add-on's default.
const RATE_WINDOW: Duration = Duration::from_secs(60);

/// Requests of one function now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Requests {
    /// At replicas.
    pub in_flight: u32,
    /// Waiting for one.
    pub queued: u32,
    /// Arrived per second, over the last minute.
    pub rate: f64,
    /// Whether all who may have some were heard; otherwise there are at least so many.
    pub is_complete: bool,
}

impl Requests {
    /// At replicas and waiting.
    pub fn total(&self) -> u32 {
        self.in_flight.saturating_add(self.queued)
    }
}

/// Follows the requests of one function.
#[derive(Debug)]
pub struct RequestWatch(watch::Receiver<u64>);

impl RequestWatch {
    /// Waits until they may be others than before. Never again once the engine is gone.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// How often, since it is followed, a request found no replica and nothing was in flight.
    pub fn wakes(&self) -> u64 {
        *self.0.borrow()
    }
}

/// What was reported.
#[derive(Debug)]
pub(crate) struct RequestBook {
    clock: Arc<dyn Clock>,
    pages: Mutex<Pages>,
}

#[derive(Debug)]
struct Pages {
    /// Every activator is heard.
    is_covered: bool,
    /// A report has come since.
    is_reported: bool,
    counted: HashMap<FunctionId, Counted>,
    followed: HashMap<FunctionId, watch::Sender<u64>>,
}

#[derive(Debug)]
struct Counted {
    in_flight: u32,
    queued: u32,
    arrived: Window,
}

impl Default for Counted {
    fn default() -> Self {
        Self {
            in_flight: 0,
            queued: 0,
            arrived: Window::new(Aggregation::Linear, RATE_WINDOW),
        }
    }
}

impl RequestBook {
    /// Nothing is known: not even that there is nothing.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            pages: Mutex::new(Pages {
                is_covered: true,
                is_reported: false,
                counted: HashMap::new(),
                followed: HashMap::new(),
            }),
        }
    }

    /// Requests of `function` now.
    pub(crate) fn get(&self, function: &FunctionId) -> Requests {
        let now = self.clock.now();
        let pages = self.pages.lock();
        let is_complete = pages.is_covered && pages.is_reported;
        let Some(counted) = pages.counted.get(function) else {
            return Requests {
                is_complete,
                ..Requests::default()
            };
        };
        Requests {
            in_flight: counted.in_flight,
            queued: counted.queued,
            rate: counted.arrived.rate(now),
            is_complete,
        }
    }

    pub(crate) fn follow(&self, function: &FunctionId) -> RequestWatch {
        let mut pages = self.pages.lock();
        let sender = pages.followed.entry(function.clone()).or_default();
        RequestWatch(sender.subscribe())
    }

    /// A request found no replica, or too few.
    pub(crate) fn wake(&self, wake: &Wake) {
        let mut pages = self.pages.lock();
        let counted = pages.counted.entry(wake.function.clone()).or_default();
        // Those who come while others wait are not the first.
        let is_first = counted.in_flight == 0 && counted.queued == 0 && wake.in_flight == 0;
        counted.in_flight = wake.in_flight;
        counted.queued = wake.queued;
        if let Some(sender) = pages.followed.get(&wake.function) {
            sender.send_modify(|wakes| *wakes += u64::from(is_first));
        }
    }

    /// A second's report: whoever is not in it has no requests.
    pub(crate) fn count(&self, stats: &[Stat], now: Timestamp) {
        let mut pages = self.pages.lock();
        let is_first = !std::mem::replace(&mut pages.is_reported, true);
        for counted in pages.counted.values_mut() {
            (counted.in_flight, counted.queued) = (0, 0);
        }
        for stat in stats {
            let counted = pages.counted.entry(stat.function.clone()).or_default();
            counted.in_flight = stat.in_flight;
            counted.queued = stat.queued;
            if stat.request_count > 0.0 {
                counted.arrived.record(now, stat.request_count);
            }
        }
        let Pages {
            counted, followed, ..
        } = &mut *pages;
        followed.retain(|function, sender| {
            if is_first || counted.contains_key(function) {
                sender.send_modify(|_| {});
            }
            sender.receiver_count() > 0
        });
        let is_at_rest =
            |it: &Counted| it.in_flight == 0 && it.queued == 0 && it.arrived.is_empty(now);
        counted.retain(|_, it| !is_at_rest(it));
    }

    /// Whether every activator is heard.
    pub(crate) fn cover(&self, coverage: &Coverage) {
        self.set_covered(*coverage == Coverage::Complete);
    }

    /// Nobody reports any more.
    pub(crate) fn lose(&self) {
        self.set_covered(false);
    }

    fn set_covered(&self, is_covered: bool) {
        let mut pages = self.pages.lock();
        // A hub says that it hears all only after a report with all in it.
        pages.is_covered = is_covered;
        for sender in pages.followed.values() {
            sender.send_modify(|_| {});
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::MonotonicClock;

    fn id() -> FunctionId {
        FunctionId::new("default", "Deployment", "hello")
    }

    fn book() -> RequestBook {
        RequestBook::new(Arc::new(MonotonicClock::new()))
    }

    fn report(book: &RequestBook, requests: f64, in_flight: u32, queued: u32) {
        let now = book.clock.now();
        let stat = Stat {
            function: id(),
            at: now,
            average_concurrency: 0.0,
            request_count: requests,
            in_flight,
            queued,
            busy: Vec::new(),
        };
        book.count(&[stat], now);
    }

    fn wake(book: &RequestBook, in_flight: u32, queued: u32) {
        book.wake(&Wake {
            function: id(),
            in_flight,
            queued,
        });
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_reported_is_not_known_to_be_nothing() {
        let book = book();
        assert!(!book.get(&id()).is_complete);
        wake(&book, 0, 2);
        assert_eq!(
            (book.get(&id()).queued, book.get(&id()).is_complete),
            (2, false)
        );
        book.count(&[], book.clock.now());
        let none = book.get(&id());
        assert_eq!((none.total(), none.is_complete), (0, true));
        book.cover(&Coverage::Partial {
            message: "one is gone".to_owned(),
        });
        assert!(!book.get(&id()).is_complete);
        book.cover(&Coverage::Complete);
        assert!(book.get(&id()).is_complete);
        book.lose();
        assert!(!book.get(&id()).is_complete);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_that_of_the_last_minute_and_memory_goes_with_it() {
        let book = book();
        report(&book, 120.0, 3, 1);
        tokio::time::advance(Duration::from_secs(59)).await;
        book.count(&[], book.clock.now());
        let requests = book.get(&id());
        assert_eq!((requests.total(), requests.rate), (0, 2.0));
        tokio::time::advance(Duration::from_secs(62)).await;
        book.count(&[], book.clock.now());
        assert_eq!(book.get(&id()).rate, 0.0);
        assert!(book.pages.lock().counted.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_follows_is_told_of_every_first_waiter() {
        let book = book();
        let mut watch = book.follow(&id());
        wake(&book, 0, 1);
        watch.changed().await;
        assert_eq!(watch.wakes(), 1);
        wake(&book, 0, 2);
        watch.changed().await;
        assert_eq!(watch.wakes(), 1);
        // A backlog is no first waiter.
        wake(&book, 4, 9);
        watch.changed().await;
        assert_eq!(watch.wakes(), 1);
        report(&book, 1.0, 0, 0);
        wake(&book, 0, 1);
        watch.changed().await;
        assert_eq!(watch.wakes(), 2);
        drop(watch);
        report(&book, 1.0, 0, 1);
        assert!(book.pages.lock().followed.is_empty());
    }
}
