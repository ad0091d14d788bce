//! Which write is next: one per function, the newest wish wins, waking before all else.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use zeron_core::{EndpointId, FunctionId};

use super::flight::Flight;
use crate::back_off::BackOff;

/// Pauses of one function after failures of its own.
const OWN_BACK_OFF: BackOff = BackOff::new(Duration::from_millis(100), Duration::from_secs(30));
/// Pauses of everybody while the API server cannot be reached.
const OUTAGE_BACK_OFF: BackOff = BackOff::new(Duration::from_millis(50), Duration::from_secs(1));

/// A count that somebody asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wish {
    pub(crate) replicas: u32,
    pub(crate) victims: Arc<[EndpointId]>,
    /// The count that was known when it was asked for.
    pub(crate) base: Option<u32>,
    pub(crate) asked: Instant,
}

impl Wish {
    fn class(&self) -> Class {
        match self.base {
            Some(0) if self.replicas > 0 => Class::FromZero,
            Some(base) if self.replicas <= base => Class::Down,
            Some(_) | None => Class::Up,
        }
    }

    /// It was made in the belief that another write, itself made for `base`, would succeed: the
    /// count may be either. A wish that raises never lowers, so the lower one is the safe one.
    fn doubt_base(&mut self, base: Option<u32>) {
        if let (Some(own), Some(base)) = (self.base, base) {
            self.base = Some(own.min(base));
        }
    }
}

/// In the order in which they are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    FromZero,
    Up,
    Down,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ended {
    /// The wish is fulfilled, or no longer applies.
    Done,
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

    /// The newest wish replaces an older one that is not under way.
    pub(crate) fn push(&mut self, id: &FunctionId, wish: Wish) {
        let entry = self.entries.entry(id.clone()).or_insert(Entry {
            wish: None,
            state: State::Idle,
            back_off: OWN_BACK_OFF,
            flight: None,
            is_withdrawn: false,
        });
        entry.wish = Some(wish);
        entry.is_withdrawn = false;
        match entry.state {
            // Another class, perhaps: it queues anew.
            State::Idle | State::Ready(_) | State::Parked => self.make_ready(id),
            State::Running | State::Delayed(_) => {}
        }
    }

    /// Takes back what was wished. `false`: a write of it was sent already, which may come about
    /// but is not tried again.
    pub(crate) fn withdraw(&mut self, id: &FunctionId) -> bool {
        let Some(entry) = self.entries.get_mut(id) else {
            return true;
        };
        entry.wish = None;
        match entry.state {
            State::Running => {
                entry.is_withdrawn = true;
                return entry.flight.as_ref().is_none_or(|flight| flight.call_off());
            }
            State::Delayed(at) => {
                self.delayed.remove(&(at, id.clone()));
            }
            State::Idle | State::Ready(_) | State::Parked => {}
        }
        self.entries.remove(id);
        true
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

    /// An attempt ended; says how long the function waits now, if it does.
    pub(crate) fn complete(
        &mut self,
        id: &FunctionId,
        wish: Wish,
        ended: &Ended,
        now: Instant,
    ) -> Option<Duration> {
        self.running -= 1;
        if *ended != Ended::Outage {
            self.outage.reset();
            self.paused_until = None;
        }
        let entry = self.entries.get_mut(id)?;
        entry.state = State::Idle;
        entry.flight = None;
        if *ended != Ended::Done
            && let Some(newer) = &mut entry.wish
        {
            newer.doubt_base(wish.base);
        }
        let ended = match entry.is_withdrawn {
            true => &Ended::CalledOff,
            false => ended,
        };
        match ended {
            Ended::Done | Ended::CalledOff => {
                entry.back_off.reset();
                match entry.wish.is_some() {
                    true => self.make_ready(id),
                    false => {
                        self.entries.remove(id);
                    }
                }
                None
            }
            Ended::Parked => {
                entry.wish.get_or_insert(wish);
                entry.state = State::Parked;
                None
            }
            Ended::Failed { after } => {
                entry.wish.get_or_insert(wish);
                let pause = entry.back_off.next().max(after.unwrap_or_default());
                entry.state = State::Delayed(now + pause);
                self.delayed.insert((now + pause, id.clone()));
                Some(pause)
            }
            Ended::Outage => {
                entry.wish.get_or_insert(wish);
                self.make_ready(id);
                let pause = self.outage.next();
                self.paused_until = Some(now + pause);
                Some(pause)
            }
        }
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
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn id(name: &str) -> FunctionId {
        FunctionId::new("ns", "Deployment", name)
    }

    fn wish(base: u32, replicas: u32) -> Wish {
        Wish {
            replicas,
            victims: Arc::from([]),
            base: Some(base),
            asked: Instant::now(),
        }
    }

    fn popped(queue: &mut Queue, now: Instant) -> Vec<(String, u32)> {
        std::iter::from_fn(|| queue.pop(now))
            .map(|(id, wish, _)| (id.name().to_owned(), wish.replicas))
            .collect()
    }

    fn pair(name: &str, replicas: u32) -> (String, u32) {
        (name.to_owned(), replicas)
    }

    #[tokio::test(start_paused = true)]
    async fn waking_goes_before_up_before_down() {
        let mut queue = Queue::new(64);
        queue.push(&id("down"), wish(5, 1));
        queue.push(&id("up"), wish(1, 5));
        queue.push(&id("cold"), wish(0, 1));
        let order = popped(&mut queue, Instant::now());
        assert_eq!(order, [pair("cold", 1), pair("up", 5), pair("down", 1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_newest_wish_wins_and_one_write_per_function_is_under_way() {
        let (mut queue, now) = (Queue::new(64), Instant::now());
        queue.push(&id("a"), wish(0, 1));
        queue.push(&id("a"), wish(0, 3));
        assert_eq!(popped(&mut queue, now), [pair("a", 3)]);
        queue.push(&id("a"), wish(0, 7));
        queue.push(&id("a"), wish(0, 9));
        assert!(popped(&mut queue, now).is_empty());
        queue.complete(&id("a"), wish(0, 3), &Ended::Done, now);
        assert_eq!(popped(&mut queue, now), [pair("a", 9)]);
        queue.complete(&id("a"), wish(0, 9), &Ended::Done, now);
        assert_eq!(queue.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_limit_are_under_way() {
        let (mut queue, now) = (Queue::new(2), Instant::now());
        for name in ["a", "b", "c"] {
            queue.push(&id(name), wish(0, 1));
        }
        assert_eq!(popped(&mut queue, now).len(), 2);
        queue.complete(&id("a"), wish(0, 1), &Ended::Done, now);
        assert_eq!(popped(&mut queue, now), [pair("c", 1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_delays_its_function_alone_as_long_as_the_server_says() {
        let (mut queue, now) = (Queue::new(64), Instant::now());
        queue.push(&id("a"), wish(0, 1));
        queue.pop(now);
        let after = Some(Duration::from_secs(3));
        let pause = queue.complete(&id("a"), wish(0, 1), &Ended::Failed { after }, now);
        assert_eq!(pause, after);
        queue.push(&id("b"), wish(0, 1));
        queue.push(&id("a"), wish(0, 2));
        assert_eq!(popped(&mut queue, now), [pair("b", 1)]);
        assert_eq!(queue.next_at(), Some(now + Duration::from_secs(3)));
        let later = now + Duration::from_secs(3);
        assert_eq!(popped(&mut queue, later), [pair("a", 2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn in_an_outage_wishes_wait_the_newest_wins_and_one_tries_for_all() {
        let (mut queue, now) = (Queue::new(64), Instant::now());
        for name in ["a", "b", "c"] {
            queue.push(&id(name), wish(0, 1));
        }
        let (first, tried, _) = queue.pop(now).unwrap();
        queue.complete(&first, tried, &Ended::Outage, now);
        assert!(queue.pop(now).is_none());
        queue.push(&id("b"), wish(0, 4));
        let later = now + Duration::from_secs(1);
        let (second, tried, _) = queue.pop(later).unwrap();
        assert!(queue.pop(later).is_none(), "one tries");
        queue.complete(&second, tried, &Ended::Done, later);
        let rest = popped(&mut queue, later);
        assert!(
            rest.contains(&pair("b", 4)) || second == id("b"),
            "{rest:?}"
        );
        assert_eq!(rest.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wish_without_a_target_waits_for_it() {
        let (mut queue, now) = (Queue::new(64), Instant::now());
        queue.push(&id("a"), wish(0, 1));
        let (_, tried, _) = queue.pop(now).unwrap();
        queue.complete(&id("a"), tried, &Ended::Parked, now);
        assert!(queue.pop(now).is_none());
        assert!(queue.unpark(&id("a")));
        assert_eq!(popped(&mut queue, now), [pair("a", 1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_withdrawn_is_neither_written_nor_tried_again() {
        let (mut queue, now) = (Queue::new(64), Instant::now());
        for name in ["waits", "sent", "not-sent", "failed"] {
            queue.push(&id(name), wish(0, 1));
        }
        assert!(queue.withdraw(&id("waits")));
        let begun: Vec<_> = std::iter::from_fn(|| queue.pop(now)).collect();
        assert_eq!(begun.len(), 3);
        for (id, tried, flight) in begun {
            let (is_sent, is_withdrawn) = (id.name() == "sent", id.name() != "failed");
            assert!(!is_sent || flight.send());
            assert!(!is_withdrawn || queue.withdraw(&id) != is_sent, "{id}");
            assert_eq!(flight.send(), !is_withdrawn, "{id}");
            queue.complete(&id, tried, &Ended::Failed { after: None }, now);
        }
        assert!(queue.withdraw(&id("failed")), "waiting for another attempt");
        assert_eq!((queue.len(), queue.next_at()), (0, None));
        assert!(queue.pop(now + Duration::from_secs(60)).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_wished_after_a_withdrawal_is_written() {
        let (mut queue, now) = (Queue::new(64), Instant::now());
        queue.push(&id("a"), wish(5, 2));
        let (_, tried, _) = queue.pop(now).unwrap();
        queue.withdraw(&id("a"));
        queue.push(&id("a"), wish(5, 3));
        queue.complete(&id("a"), tried, &Ended::CalledOff, now);
        assert_eq!(popped(&mut queue, now), [pair("a", 3)]);
    }
}
