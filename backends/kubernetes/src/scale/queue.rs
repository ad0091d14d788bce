//! Which write is next: one per function, the newest wish wins, waking before all else.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use zeron_core::FunctionId;

use super::flight::Flight;
use super::wish::Wish;
use crate::back_off::BackOff;

/// Pauses of one function after failures of its own.
const OWN_BACK_OFF: BackOff = BackOff::new(Duration::from_millis(100), Duration::from_secs(30));
/// Pauses of everybody while the API server cannot be reached.
const OUTAGE_BACK_OFF: BackOff = BackOff::new(Duration::from_millis(50), Duration::from_secs(1));

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ended {
    /// The wish is fulfilled.
    Done,
    /// It no longer applies: somebody else decided otherwise.
    Moot,
    /// The API server will not have it.
    Refused,
    /// It was called off before it was sent.
    CalledOff,
    /// There is no target to write to: until there is one.
    Parked,
    /// A failure of this function alone; not before `after`, if the server said so.
    Failed {
        /// What the server said.
        after: Option<Duration>,
    },
    /// Nobody can write at the moment.
    Outage,
}

/// What became of a wish that is taken back.
#[derive(Debug, PartialEq)]
pub(crate) struct Withdrawal {
    /// Nothing was sent that may come about.
    pub(crate) is_over: bool,
    /// The wish that waited: nothing comes of it.
    pub(crate) dropped: Option<Wish>,
}

/// What follows the end of an attempt.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Completion {
    /// How long the function waits now, if it does.
    pub(crate) pause: Option<Duration>,
    /// The wish, if nothing comes of it.
    pub(crate) dropped: Option<Wish>,
}

/// See the module. Bounded by the number of functions.
#[derive(Debug)]
pub(crate) struct Queue {
    entries: HashMap<FunctionId, Entry>,
    ready: [VecDeque<(FunctionId, u64)>; 3],
    delayed: BTreeSet<(Instant, FunctionId)>,
    running: usize,
    limit: usize,
    outage: BackOff,
    paused_until: Option<Instant>,
    next_ticket: u64,
}

#[derive(Debug)]
struct Entry {
    wish: Option<Wish>,
    state: State,
    back_off: BackOff,
    /// Of the write that is under way.
    flight: Option<Arc<Flight>>,
    /// Withdrawn while a write was under way, which must not be tried again.
    is_withdrawn: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Idle,
    /// In a ready queue under this ticket; other tickets are stale.
    Ready(u64),
    Running,
    Delayed(Instant),
    Parked,
}

impl Queue {
    /// At most `limit` writes at once.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            entries: HashMap::new(),
            ready: Default::default(),
            delayed: BTreeSet::new(),
            running: 0,
            limit,
            outage: OUTAGE_BACK_OFF,
            paused_until: None,
            next_ticket: 0,
        }
    }

    /// The newest wish replaces an older one that is not under way, which is given back if nothing
    /// comes of it.
    pub(crate) fn push(&mut self, id: &FunctionId, mut wish: Wish) -> Option<Wish> {
        let entry = self.entries.entry(id.clone()).or_insert(Entry {
            wish: None,
            state: State::Idle,
            back_off: OWN_BACK_OFF,
            flight: None,
            is_withdrawn: false,
        });
        let older = entry.wish.take();
        let dropped = older.and_then(|older| wish.replace(older));
        entry.wish = Some(wish);
        entry.is_withdrawn = false;
        match entry.state {
            // Another class, perhaps: it queues anew.
            State::Idle | State::Ready(_) | State::Parked => self.make_ready(id),
            State::Running | State::Delayed(_) => {}
        }
        dropped
    }

    /// Takes back what was wished. What was sent of it may come about, but is not tried again.
    pub(crate) fn withdraw(&mut self, id: &FunctionId) -> Withdrawal {
        let Some(entry) = self.entries.get_mut(id) else {
            return Withdrawal {
                is_over: true,
                dropped: None,
            };
        };
        let dropped = entry.wish.take();
        let mut is_over = true;
        match entry.state {
            State::Running => {
                entry.is_withdrawn = true;
                is_over = entry.flight.as_ref().is_none_or(|flight| flight.call_off());
            }
            State::Delayed(at) => {
                self.delayed.remove(&(at, id.clone()));
                self.entries.remove(id);
            }
            State::Idle | State::Ready(_) | State::Parked => {
                self.entries.remove(id);
            }
        }
        Withdrawal { is_over, dropped }
    }

    /// Something about the function changed that may help: its target was declared, say.
    pub(crate) fn unpark(&mut self, id: &FunctionId) -> bool {
        let is_parked = (self.entries.get(id)).is_some_and(|entry| entry.state == State::Parked);
        if is_parked {
            self.make_ready(id);
        }
        is_parked
    }

    /// The next write, if one may begin.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(FunctionId, Wish, Arc<Flight>)> {
        self.wake_delayed(now);
        if self.paused_until.is_some_and(|until| until > now) {
            return None;
        }
        // In an outage one write tries for all.
        let limit = if self.outage.failures() > 0 {
            1
        } else {
            self.limit
        };
        if self.running >= limit {
            return None;
        }
        for queue in &mut self.ready {
            while let Some((id, ticket)) = queue.pop_front() {
                let Some(entry) = self.entries.get_mut(&id) else {
                    continue;
                };
                if entry.state != State::Ready(ticket) {
                    continue;
                }
                if let Some(wish) = entry.wish.take() {
                    entry.state = State::Running;
                    let flight = Arc::<Flight>::default();
                    entry.flight = Some(Arc::clone(&flight));
                    self.running += 1;
                    return Some((id, wish, flight));
                }
            }
        }
        None
    }

    /// An attempt ended.
    pub(crate) fn complete(
        &mut self,
        id: &FunctionId,
        wish: Wish,
        ended: &Ended,
        now: Instant,
    ) -> Completion {
        self.running -= 1;
        if *ended != Ended::Outage {
            self.outage.reset();
            self.paused_until = None;
        }
        let Some(entry) = self.entries.get_mut(id) else {
            return Completion::default();
        };
        entry.state = State::Idle;
        entry.flight = None;
        if *ended != Ended::Done
            && let Some(newer) = &mut entry.wish
        {
            newer.doubt_base(wish.base);
        }
        let is_done = *ended == Ended::Done;
        let pause = match ended {
            Ended::Parked if !entry.is_withdrawn => None,
            Ended::Failed { after } if !entry.is_withdrawn => {
                Some(entry.back_off.next().max(after.unwrap_or_default()))
            }
            Ended::Outage if !entry.is_withdrawn => Some(self.outage.next()),
            _ => {
                entry.back_off.reset();
                let is_newer = entry.wish.is_some();
                match is_newer {
                    true => self.make_ready(id),
                    false => {
                        self.entries.remove(id);
                    }
                }
                return Completion {
                    pause: None,
                    dropped: Some(wish).filter(|_| !is_done),
                };
            }
        };
        let dropped = match &mut entry.wish {
            Some(newer) => newer.replace(wish),
            None => {
                entry.wish = Some(wish);
                None
            }
        };
        match (ended, pause) {
            (Ended::Outage, Some(pause)) => {
                self.make_ready(id);
                self.paused_until = Some(now + pause);
            }
            (_, Some(pause)) => {
                entry.state = State::Delayed(now + pause);
                self.delayed.insert((now + pause, id.clone()));
            }
            (_, None) => entry.state = State::Parked,
        }
        Completion { pause, dropped }
    }

    /// When [`pop`](Self::pop) may give something without another event.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        let delayed = self.delayed.first().map(|(at, _)| *at);
        [delayed, self.paused_until].into_iter().flatten().min()
    }

    /// Whether some write was withdrawn after it was sent, and has no answer yet.
    pub(crate) fn is_loose(&self) -> bool {
        let mut flights = self.entries.values().filter_map(|it| it.flight.as_ref());
        flights.any(|flight| flight.is_loose())
    }

    /// Functions whose wish waits or is under way.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    fn make_ready(&mut self, id: &FunctionId) {
        let Some(entry) = self.entries.get_mut(id) else {
            return;
        };
        let Some(wish) = &entry.wish else {
            return;
        };
        self.next_ticket += 1;
        entry.state = State::Ready(self.next_ticket);
        self.ready[wish.class() as usize].push_back((id.clone(), self.next_ticket));
    }

    fn wake_delayed(&mut self, now: Instant) {
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
        }
        while let Some((at, _)) = self.delayed.first()
            && *at <= now
            && let Some((_, id)) = self.delayed.pop_first()
        {
            self.make_ready(&id);
        }
    }
}

#[cfg(test)]
mod tests;
