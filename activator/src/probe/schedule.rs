//! When which replica is probed: fast at first, then as declared; fair between functions.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;
use zeron_core::FunctionId;
use zeron_core::workload::ReadinessProbe;

/// Probes at once, over all functions.
const MAX_RUNNING: usize = 256;

/// Probes at once of one function: one with many replicas leaves room for others.
const MAX_RUNNING_OF_ONE: usize = 64;

const FASTEST: Duration = Duration::from_millis(1);
const FAST: Duration = Duration::from_millis(10);
/// After so long without success a replica is not about to start any more.
const FAST_FOR: Duration = Duration::from_secs(1);
const SLOW: Duration = Duration::from_millis(50);
/// After so long it is probed as declared.
const SLOW_FOR: Duration = Duration::from_secs(10);
/// The declared period where none is.
const DECLARED: Duration = Duration::from_secs(1);
/// A connect that is not answered within this, while a replica is expected any moment, is made
/// again rather than waited for: the system repeats a lost packet only after a second.
const FAST_CONNECT: Duration = Duration::from_millis(100);

/// Whom to probe when. `F` is what a function's replicas belong to.
#[derive(Debug)]
pub(super) struct Schedule<F> {
    due: BTreeSet<(Instant, u64)>,
    replicas: HashMap<u64, Entry>,
    functions: HashMap<FunctionId, Lane<F>>,
    /// Functions with replicas whose time has come, in turn.
    turns: VecDeque<FunctionId>,
    running: usize,
}

#[derive(Debug)]
struct Entry {
    function: FunctionId,
    /// When it was, or will be, probed for the first time.
    first: Instant,
    attempts: u32,
    /// In a row.
    successes: u32,
    state: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waits(Instant),
    Ready,
    Runs,
}

/// The replicas of one function.
#[derive(Debug)]
struct Lane<F> {
    owner: F,
    members: Vec<u64>,
    ready: VecDeque<u64>,
    running: usize,
    has_turn: bool,
}

/// A probe to be made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) key: u64,
    pub(super) since_first: Duration,
}

impl<F> Default for Schedule<F> {
    fn default() -> Self {
        Self {
            due: BTreeSet::new(),
            replicas: HashMap::new(),
            functions: HashMap::new(),
            turns: VecDeque::new(),
            running: 0,
        }
    }
}

impl<F: Clone> Schedule<F> {
    /// Probes a replica from `first` on; one that is known stays as it is.
    pub(super) fn add(
        &mut self,
        function: &FunctionId,
        owner: &F,
        key: u64,
        first: Instant,
        now: Instant,
    ) {
        if self.replicas.contains_key(&key) {
            return;
        }
        let lane = self.functions.entry(function.clone());
        let lane = lane.or_insert_with(|| Lane {
            owner: owner.clone(),
            members: Vec::new(),
            ready: VecDeque::new(),
            running: 0,
            has_turn: false,
        });
        lane.members.push(key);
        let entry = Entry {
            function: function.clone(),
            first,
            attempts: 0,
            successes: 0,
            state: Phase::Waits(first),
        };
        self.replicas.insert(key, entry);
        self.due.insert((first.max(now), key));
        if let Some(entry) = self.replicas.get_mut(&key) {
            entry.state = Phase::Waits(first.max(now));
        }
    }

    /// Forgets the replicas of a function that are not `wanted`, and names them.
    pub(super) fn retain(&mut self, function: &FunctionId, wanted: &[u64]) -> Vec<u64> {
        let members = self.functions.get(function).map(|lane| &lane.members);
        let members = members.into_iter().flatten();
        let gone: Vec<u64> = members
            .filter(|key| !wanted.contains(key))
            .copied()
            .collect();
        for key in &gone {
            self.remove(*key);
        }
        gone
    }

    /// Forgets a replica.
    pub(super) fn remove(&mut self, key: u64) -> Option<F> {
        let entry = self.replicas.remove(&key)?;
        if let Phase::Waits(at) = entry.state {
            self.due.remove(&(at, key));
        }
        let lane = self.functions.get_mut(&entry.function)?;
        lane.members.retain(|member| *member != key);
        lane.ready.retain(|ready| *ready != key);
        if entry.state == Phase::Runs {
            lane.running -= 1;
            self.running -= 1;
        }
        let owner = lane.owner.clone();
        if lane.members.is_empty() {
            self.functions.remove(&entry.function);
        }
        self.give_turn(&entry.function);
        Some(owner)
    }

    /// The next probe to make now, if one may be made.
    pub(super) fn start(&mut self, now: Instant) -> Option<Turn> {
        self.collect_due(now);
        while self.running < MAX_RUNNING {
            let function = self.turns.pop_front()?;
            let Some(lane) = self.functions.get_mut(&function) else {
                continue;
            };
            lane.has_turn = false;
            if lane.running >= MAX_RUNNING_OF_ONE {
                continue;
            }
            let Some(key) = lane.ready.pop_front() else {
                continue;
            };
            lane.running += 1;
            self.running += 1;
            self.give_turn(&function);
            if let Some(entry) = self.replicas.get_mut(&key) {
                entry.state = Phase::Runs;
                entry.attempts = entry.attempts.saturating_add(1);
                let since_first = now.saturating_duration_since(entry.first);
                return Some(Turn { key, since_first });
            }
        }
        None
    }

    /// A probe ended. The owner of the replica when that makes it ready; it is then forgotten.
    pub(super) fn finish(
        &mut self,
        key: u64,
        probe: &ReadinessProbe,
        is_success: bool,
        now: Instant,
    ) -> Option<F> {
        let entry = self.replicas.get_mut(&key)?;
        entry.successes = if is_success { entry.successes + 1 } else { 0 };
        if entry.successes >= probe.success_threshold.max(1) {
            return self.remove(key);
        }
        let pause = if is_success {
            probe.period.unwrap_or(FASTEST)
        } else {
            let trying = now.saturating_duration_since(entry.first);
            pause(entry.attempts, trying, probe.period)
        };
        entry.state = Phase::Waits(now + pause);
        let function = entry.function.clone();
        self.due.insert((now + pause, key));
        self.running -= 1;
        if let Some(lane) = self.functions.get_mut(&function) {
            lane.running -= 1;
        }
        self.give_turn(&function);
        None
    }

    /// What a replica belongs to.
    pub(super) fn owner(&self, key: u64) -> Option<&F> {
        let function = &self.replicas.get(&key)?.function;
        Some(&self.functions.get(function)?.owner)
    }

    /// When something is due; `None` while nothing is, or while no more may be started anyway.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    fn collect_due(&mut self, now: Instant) {
        while let Some((at, key)) = self.due.first().copied()
            && at <= now
        {
            self.due.pop_first();
            let Some(entry) = self.replicas.get_mut(&key) else {
                continue;
            };
            entry.state = Phase::Ready;
            let function = entry.function.clone();
            if let Some(lane) = self.functions.get_mut(&function) {
                lane.ready.push_back(key);
            }
            self.give_turn(&function);
        }
    }

    /// Queues a function that has something to probe and may.
    fn give_turn(&mut self, function: &FunctionId) {
        if let Some(lane) = self.functions.get_mut(function)
            && !lane.has_turn
            && !lane.ready.is_empty()
            && lane.running < MAX_RUNNING_OF_ONE
        {
            lane.has_turn = true;
            self.turns.push_back(function.clone());
        }
    }
}

/// The pause after a failure: 1, 2, 4, 8, 10 ms while a replica is expected any moment, then less
/// often, then as declared.
fn pause(attempts: u32, trying: Duration, period: Option<Duration>) -> Duration {
    if trying < FAST_FOR {
        let doubled = FASTEST * 2u32.pow(attempts.saturating_sub(1).min(8));
        doubled.min(FAST)
    } else if trying < SLOW_FOR {
        SLOW
    } else {
        period.unwrap_or(DECLARED).max(FAST)
    }
}

/// How long a connect may take.
pub(super) fn connect_patience(since_first: Duration, timeout: Duration) -> Duration {
    if since_first < FAST_FOR {
        timeout.min(FAST_CONNECT)
    } else {
        timeout
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> FunctionId {
        FunctionId::new("default", "Deployment", name)
    }

    #[test]
    fn attempts_come_fast_at_first_and_as_declared_later() {
        let period = Some(Duration::from_secs(7));
        let early = |attempts| pause(attempts, Duration::ZERO, period).as_millis();
        assert_eq!([1, 2, 3, 4, 5, 90].map(early), [1, 2, 4, 8, 10, 10]);
        let later = |seconds| pause(99, Duration::from_secs(seconds), period);
        assert_eq!(later(1), SLOW);
        assert_eq!(later(10), Duration::from_secs(7));
    }

    #[test]
    fn a_function_with_a_thousand_replicas_leaves_room_for_others() {
        let now = Instant::now();
        let mut schedule = Schedule::default();
        for key in 0..1000 {
            schedule.add(&id("many"), &"many", key, now, now);
        }
        let started: Vec<_> = std::iter::from_fn(|| schedule.start(now)).collect();
        assert_eq!(started.len(), MAX_RUNNING_OF_ONE);
        schedule.add(&id("one"), &"one", 1000, now, now);
        assert_eq!(schedule.start(now).map(|turn| turn.key), Some(1000));
        assert_eq!(schedule.start(now), None);
        let probe = ReadinessProbe::default();
        assert_eq!(schedule.finish(0, &probe, false, now), None);
        assert!(schedule.start(now).is_some(), "the next of the many");
    }

    #[test]
    fn never_more_than_the_most_run_at_once() {
        let now = Instant::now();
        let mut schedule = Schedule::default();
        for key in 0..1000u64 {
            let function = id(&(key / 10).to_string());
            schedule.add(&function, &(), key, now, now);
        }
        let started = std::iter::from_fn(|| schedule.start(now)).count();
        assert_eq!(started, MAX_RUNNING);
    }

    #[test]
    fn enough_successes_in_a_row_make_it_ready() {
        let now = Instant::now();
        let mut schedule = Schedule::default();
        schedule.add(&id("f"), &"f", 1, now, now);
        let probe = ReadinessProbe {
            success_threshold: 2,
            ..ReadinessProbe::default()
        };
        let mut at = now;
        for (is_success, owner) in [(true, None), (false, None), (true, None), (true, Some("f"))] {
            assert!(schedule.start(at).is_some());
            assert_eq!(schedule.finish(1, &probe, is_success, at), owner);
            at += FAST;
        }
        assert_eq!(schedule.next_due(), None, "it is forgotten");
    }

    #[test]
    fn what_is_gone_is_probed_no_more_and_frees_its_place() {
        let now = Instant::now();
        let mut schedule = Schedule::default();
        schedule.add(&id("f"), &(), 1, now, now);
        schedule.add(&id("f"), &(), 2, now + SLOW, now);
        assert!(schedule.start(now).is_some());
        assert_eq!(schedule.retain(&id("f"), &[]), [1, 2]);
        assert_eq!((schedule.running, schedule.next_due()), (0, None));
        assert!(schedule.functions.is_empty() && schedule.replicas.is_empty());
    }
}
