//! Which functions are scraped, and who of them can be asked.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use tokio::time::Instant;
use zeron_core::{EndpointSnapshot, FunctionId};

use super::durations::Durations;
use super::round::Round;
use super::{MeshCompatibility, ScrapeOutcome, ScrapeTarget};

/// Parts of a second: functions that are scraped together are not scraped in one moment.
pub(super) const SLOTS: usize = 10;

/// A replica that can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Replica {
    address: IpAddr,
    since: Instant,
}

#[derive(Debug)]
struct Target {
    spec: ScrapeTarget,
    /// An answer is on its way.
    is_asked: bool,
    /// Its replicas cannot be addressed, but its Service can.
    is_meshed: bool,
    /// Nobody answered anything in time, when it was asked last.
    is_hanging: bool,
    outcome: ScrapeOutcome,
    durations: Durations,
}

/// What is to be asked for one function.
#[derive(Clone, Debug)]
pub(super) struct Errand {
    pub(super) function: FunctionId,
    pub(super) old: Vec<IpAddr>,
    pub(super) young: Vec<IpAddr>,
    pub(super) service: Arc<str>,
    pub(super) mode: MeshCompatibility,
    pub(super) is_meshed: bool,
    pub(super) is_hanging: bool,
}

/// How many functions may be asked on top.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) all: usize,
    /// Of them, functions that hang.
    pub(super) hanging: usize,
}

/// With whom to go on in a part of the second: with the first who was left out.
#[derive(Debug, Default)]
struct Next {
    sound: Option<FunctionId>,
    hanging: Option<FunctionId>,
}

#[derive(Debug)]
pub(super) struct State {
    mode: MeshCompatibility,
    targets: HashMap<FunctionId, Target>,
    /// Of every function that a back end published.
    replicas: HashMap<FunctionId, Vec<Replica>>,
    /// Functions with somebody to ask, by the part of the second in which they are asked.
    busy: [BTreeSet<FunctionId>; SLOTS],
    next: [Next; SLOTS],
}

impl State {
    pub(super) fn new(mode: MeshCompatibility) -> Self {
        Self {
            mode,
            targets: HashMap::new(),
            replicas: HashMap::new(),
            busy: Default::default(),
            next: Default::default(),
        }
    }

    pub(super) fn watch(&mut self, function: &FunctionId, spec: ScrapeTarget) {
        match self.targets.get_mut(function) {
            Some(target) => target.spec = spec,
            None => {
                let target = Target {
                    spec,
                    is_asked: false,
                    is_meshed: false,
                    is_hanging: false,
                    outcome: ScrapeOutcome::default(),
                    durations: Durations::default(),
                };
                self.targets.insert(function.clone(), target);
            }
        }
        self.place(function);
    }

    pub(super) fn forget(&mut self, function: &FunctionId) {
        self.targets.remove(function);
        self.place(function);
    }

    pub(super) fn set_mode(&mut self, mode: MeshCompatibility) {
        if self.mode != mode {
            self.mode = mode;
            self.targets
                .values_mut()
                .for_each(|it| it.is_meshed = false);
        }
    }

    pub(super) fn outcome(&self, function: &FunctionId) -> Option<ScrapeOutcome> {
        Some(self.targets.get(function)?.outcome.clone())
    }

    pub(super) fn publish(&mut self, function: &FunctionId, snapshot: Option<&EndpointSnapshot>) {
        let now = Instant::now();
        let before = self.replicas.remove(function).unwrap_or_default();
        let endpoints = snapshot.map(|it| it.endpoints.as_slice());
        let ready = endpoints.unwrap_or_default().iter();
        let ready = ready.filter(|it| it.is_ready && !it.is_draining);
        let replicas: Vec<Replica> = ready
            .filter_map(|it| it.address)
            .map(|address| {
                let address = address.ip();
                let known = before.iter().find(|it| it.address == address);
                let since = known.map_or(now, |it| it.since);
                Replica { address, since }
            })
            .collect();
        if !replicas.is_empty() {
            self.replicas.insert(function.clone(), replicas);
        }
        self.place(function);
    }

    /// Whether there is anybody to ask.
    pub(super) fn is_busy(&self) -> bool {
        self.busy.iter().any(|slot| !slot.is_empty())
    }

    /// Whom to ask in this part of the second. Who still answers is not asked; who hangs has only
    /// a part of the room, so that nobody else waits for it.
    pub(super) fn due(&mut self, slot: usize, room: Room) -> Vec<Errand> {
        let slot = slot % SLOTS;
        let mut errands = Vec::new();
        let next = self.next[slot].sound.take();
        self.next[slot].sound = self.pick(slot, next.as_ref(), false, room.all, &mut errands);
        let rest = room.hanging.min(room.all - errands.len());
        let next = self.next[slot].hanging.take();
        self.next[slot].hanging = self.pick(slot, next.as_ref(), true, rest, &mut errands);
        errands
    }

    /// Adds at most so many, beginning with `first`; returns the first who is left out.
    fn pick(
        &mut self,
        slot: usize,
        first: Option<&FunctionId>,
        is_hanging: bool,
        most: usize,
        errands: &mut Vec<Errand>,
    ) -> Option<FunctionId> {
        let most = errands.len() + most;
        let now = Instant::now();
        let busy = &self.busy[slot];
        let (later, earlier) = match first {
            Some(first) => (busy.range(first..), Some(busy.range(..first))),
            None => (busy.range::<FunctionId, _>(..), None),
        };
        for function in later.chain(earlier.into_iter().flatten()) {
            let target = self.targets.get_mut(function);
            let target = target.filter(|it| !it.is_asked && it.is_hanging == is_hanging);
            let (Some(target), Some(replicas)) = (target, self.replicas.get(function)) else {
                continue;
            };
            if errands.len() >= most {
                return Some(function.clone());
            }
            target.is_asked = true;
            errands.push(target.errand(function, replicas, self.mode, now));
        }
        None
    }

    /// An answer came; true when the outcome is another one than before.
    pub(super) fn answered(&mut self, round: &Round) -> bool {
        let Some(target) = self.targets.get_mut(&round.function) else {
            return false;
        };
        target.is_asked = false;
        target.durations.observe(round.took);
        target.is_meshed |= round.is_meshed;
        target.is_hanging = round.is_hanging;
        let is_changed = target.outcome != round.outcome;
        target.outcome = round.outcome.clone();
        is_changed
    }

    /// How long scrapes took, with namespace and owner, of every function that was scraped.
    pub(super) fn durations(&self) -> impl Iterator<Item = (Arc<str>, Arc<str>, &Durations)> {
        let scraped = self.targets.iter().filter(|(_, it)| it.durations.any());
        scraped.map(|(id, it)| {
            (
                id.namespace().into(),
                Arc::clone(&it.spec.owner),
                &it.durations,
            )
        })
    }

    fn place(&mut self, function: &FunctionId) {
        let is_busy = self.targets.contains_key(function) && self.replicas.contains_key(function);
        let slot = &mut self.busy[slot(function)];
        if is_busy {
            slot.insert(function.clone());
        } else {
            slot.remove(function);
        }
    }
}

impl Target {
    fn errand(
        &self,
        function: &FunctionId,
        replicas: &[Replica],
        mode: MeshCompatibility,
        now: Instant,
    ) -> Errand {
        let window = self.spec.stable_window;
        let is_old = |it: &&Replica| now.saturating_duration_since(it.since) >= window;
        let (old, young): (Vec<&Replica>, Vec<&Replica>) = replicas.iter().partition(is_old);
        Errand {
            function: function.clone(),
            old: old.iter().map(|it| it.address).collect(),
            young: young.iter().map(|it| it.address).collect(),
            service: Arc::clone(&self.spec.service),
            mode,
            is_meshed: self.is_meshed,
            is_hanging: self.is_hanging,
        }
    }
}

fn slot(function: &FunctionId) -> usize {
    let mut hasher = DefaultHasher::new();
    function.hash(&mut hasher);
    let slots = u64::try_from(SLOTS).unwrap_or(1);
    usize::try_from(hasher.finish() % slots).unwrap_or(0)
}
