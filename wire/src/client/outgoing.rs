//! What waits to be written to one autoscaler: wake-ups first, then answers, of reports the newest.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use zeron_core::FunctionId;

/// Wake-ups and answers that may wait; a connection that is further behind is of no use.
const CAPACITY: usize = 16_384;

/// Never waits for the connection.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    wakes: HashMap<FunctionId, Bytes>,
    /// The functions of `wakes`, longest waiting first.
    order: VecDeque<FunctionId>,
    answers: VecDeque<Bytes>,
    /// The rest of a report whose first frame is written.
    begun: VecDeque<Bytes>,
    report: Option<Arc<[Bytes]>>,
    goodbye: Option<Bytes>,
    is_behind: bool,
}

/// What to write next.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    Frame(Bytes),
    /// The last one.
    Goodbye(Bytes),
    /// Too much waits: the connection is to be given up.
    Behind,
}

impl Outgoing {
    pub(crate) fn wake(&self, function: &FunctionId, frame: Bytes) {
        self.with(|waiting| {
            if waiting.wakes.insert(function.clone(), frame).is_none() {
                waiting.is_behind |= waiting.wakes.len() > CAPACITY;
                waiting.order.push_back(function.clone());
            }
        });
    }

    pub(crate) fn answer(&self, frame: Bytes) {
        self.with(|waiting| {
            waiting.is_behind |= waiting.answers.len() >= CAPACITY;
            waiting.answers.push_back(frame);
        });
    }

    pub(crate) fn report(&self, frames: Arc<[Bytes]>) {
        self.with(|waiting| waiting.report = Some(frames));
    }

    pub(crate) fn goodbye(&self, frame: Bytes) {
        self.with(|waiting| waiting.goodbye = Some(frame));
    }

    fn with(&self, change: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.waiting.lock();
        if !waiting.is_behind {
            change(&mut waiting);
        }
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Waits for something to write. Dropped while it waits, it has taken nothing.
    pub(crate) async fn take(&self) -> Next {
        loop {
            match self.next() {
                Some(next) => return next,
                None => self.arrived.notified().await,
            }
        }
    }

    fn next(&self) -> Option<Next> {
        let mut waiting = self.waiting.lock();
        if waiting.is_behind {
            return Some(Next::Behind);
        }
        if let Some(function) = waiting.order.pop_front()
            && let Some(frame) = waiting.wakes.remove(&function)
        {
            return Some(Next::Frame(frame));
        }
        if let Some(frame) = waiting.answers.pop_front() {
            return Some(Next::Frame(frame));
        }
        if waiting.begun.is_empty()
            && let Some(report) = waiting.report.take()
        {
            waiting.begun = report.iter().cloned().collect();
        }
        if let Some(frame) = waiting.begun.pop_front() {
            return Some(Next::Frame(frame));
        }
        waiting.goodbye.take().map(Next::Goodbye)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn written(outgoing: &Outgoing) -> Vec<Bytes> {
        std::iter::from_fn(|| match outgoing.next()? {
            Next::Frame(frame) | Next::Goodbye(frame) => Some(frame),
            Next::Behind => None,
        })
        .collect()
    }

    #[test]
    fn wakes_overtake_everything_and_the_newest_report_wins() {
        let outgoing = Outgoing::default();
        let id = FunctionId::new("default", "Deployment", "a");
        outgoing.goodbye(frame("goodbye"));
        outgoing.report([frame("old 1"), frame("old 2")].into());
        outgoing.report([frame("new 1"), frame("new 2")].into());
        assert_eq!(outgoing.next(), Some(Next::Frame(frame("new 1"))));
        outgoing.report([frame("newer")].into());
        outgoing.answer(frame("answer"));
        outgoing.wake(&id, frame("wake 1"));
        outgoing.wake(&id, frame("wake 2"));
        let expected = ["wake 2", "answer", "new 2", "newer", "goodbye"];
        assert_eq!(written(&outgoing), expected.map(frame));
    }

    #[test]
    fn a_connection_that_is_too_far_behind_is_given_up() {
        let outgoing = Outgoing::default();
        for _ in 0..=CAPACITY {
            outgoing.answer(frame("answer"));
        }
        assert_eq!(outgoing.next(), Some(Next::Behind));
    }
}
