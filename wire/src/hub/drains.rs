//! Drains under way: which replicas, told to whom, acknowledged by whom.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use zeron_core::{EndpointId, EndpointSnapshot, FunctionId};

use super::activator::{Activator, Link};
use crate::message::{Drain, DrainId, Drained, ToActivator};

/// How long a settled drain may still be taken back: by then activators use what stayed anyway.
const REMEMBERED: Duration = Duration::from_secs(30);
/// Settled drains that are remembered.
const SETTLED: usize = 65_536;

/// One drain of the engine.
#[derive(Debug)]
struct Order {
    drain: Drain,
    /// Its name on the wire: no two autoscalers and no two attempts have the same.
    wire: DrainId,
    /// `None`: the one activator that was there chose.
    victims: Option<Vec<EndpointId>>,
    acknowledged: BTreeMap<String, Vec<EndpointId>>,
    is_reported: bool,
}

impl Order {
    fn on_the_wire(&self) -> ToActivator {
        ToActivator::Drain(Drain {
            id: self.wire,
            victims: self.victims.clone(),
            ..self.drain.clone()
        })
    }

    /// The replicas, as far as they are known.
    fn replicas(&self) -> Option<&Vec<EndpointId>> {
        let chosen = self.acknowledged.values().next();
        self.victims.as_ref().or(chosen)
    }

    /// Whether all of it stays.
    fn is_kept(&self, function: &FunctionId, kept: &BTreeSet<EndpointId>) -> bool {
        let is_kept = |replicas: &Vec<EndpointId>| replicas.iter().all(|it| kept.contains(it));
        self.drain.function == *function && self.replicas().is_some_and(is_kept)
    }
}

/// All drains, by the engine's names.
#[derive(Debug)]
pub(super) struct Drains {
    by_id: HashMap<DrainId, Order>,
    by_wire: HashMap<DrainId, DrainId>,
    /// Oldest first.
    settled: VecDeque<(Instant, Order)>,
    next_wire: u64,
}

pub(super) type Activators = BTreeMap<String, Activator>;
pub(super) type Endpoints = HashMap<FunctionId, Arc<EndpointSnapshot>>;

impl Drains {
    pub(super) fn new() -> Self {
        Self {
            by_id: HashMap::new(),
            by_wire: HashMap::new(),
            settled: VecDeque::new(),
            next_wire: RandomState::new().hash_one("drain"),
        }
    }

    fn name(&mut self) -> DrainId {
        self.next_wire = self.next_wire.wrapping_add(1);
        DrainId(self.next_wire)
    }

    // === from the engine ===

    /// Tells every activator. A lone one chooses by itself: nobody knows better what is idle.
    pub(super) fn begin(
        &mut self,
        drain: Drain,
        activators: &mut Activators,
        endpoints: &Endpoints,
    ) {
        let is_alone = activators.len() == 1;
        let victims = match (&drain.victims, is_alone) {
            (Some(victims), _) => Some(victims.clone()),
            (None, true) => None,
            (None, false) => Some(self.choose(&drain, activators, endpoints)),
        };
        let wire = self.name();
        self.by_wire.insert(wire, drain.id);
        let order = Order {
            wire,
            victims,
            acknowledged: BTreeMap::new(),
            is_reported: false,
            drain,
        };
        for activator in activators.values_mut() {
            activator.tell(order.on_the_wire());
        }
        self.by_id.insert(order.drain.id, order);
    }

    pub(super) fn cancel(&mut self, id: DrainId, activators: &mut Activators) {
        if let Some(order) = self.end(id) {
            tell(&ToActivator::Cancel(order.wire), activators);
        }
    }

    pub(super) fn settle(&mut self, id: DrainId, activators: &mut Activators, now: Instant) {
        let Some(order) = self.end(id) else {
            return;
        };
        tell(&ToActivator::Settled(order.wire), activators);
        if self.settled.len() < SETTLED {
            self.settled.push_back((now, order));
        }
    }

    fn end(&mut self, id: DrainId) -> Option<Order> {
        let order = self.by_id.remove(&id)?;
        self.by_wire.remove(&order.wire);
        Some(order)
    }

    // === from the platform ===

    /// These replicas, which were to stop, stay after all: so do the drains that they are all of.
    /// One that the engine has not settled yet is about to be.
    pub(super) fn keep(
        &mut self,
        function: &FunctionId,
        kept: &BTreeSet<EndpointId>,
        activators: &mut Activators,
    ) {
        let before = self.settled.len();
        self.settled.retain(|(_, order)| {
            let is_kept = order.is_kept(function, kept);
            if is_kept {
                tell(&ToActivator::Cancel(order.wire), activators);
            }
            !is_kept
        });
        if self.settled.len() < before {
            return;
        }
        let reported = self.by_id.iter().filter(|(_, order)| order.is_reported);
        let reported = reported.filter(|(_, order)| order.is_kept(function, kept));
        let ids: Vec<DrainId> = reported.map(|(id, _)| *id).collect();
        for id in ids {
            self.cancel(id, activators);
        }
    }

    pub(super) fn prune(&mut self, now: Instant) {
        while let Some((at, _)) = self.settled.front()
            && *at + REMEMBERED <= now
        {
            self.settled.pop_front();
        }
    }

    /// Replicas that are not ready first, then idle ones by every newest report, then the least
    /// busy; the newest where they are alike. What is drained already is not chosen again.
    fn choose(
        &self,
        drain: &Drain,
        activators: &Activators,
        endpoints: &Endpoints,
    ) -> Vec<EndpointId> {
        let others = self
            .by_id
            .values()
            .filter(|it| it.drain.function == drain.function);
        let taken: BTreeSet<EndpointId> = others
            .filter(|other| other.drain.id != drain.id)
            .flat_map(|other| {
                let chosen = other.acknowledged.values().flatten();
                other.victims.iter().flatten().chain(chosen).copied()
            })
            .collect();
        let mut busy: HashMap<EndpointId, u64> = HashMap::new();
        let newest = activators
            .values()
            .filter_map(|it| it.tally.newest(&drain.function));
        for (endpoint, in_flight) in newest.flat_map(|stat| &stat.busy) {
            *busy.entry(*endpoint).or_default() += u64::from(*in_flight);
        }
        let running = endpoints.get(&drain.function).map(|it| &it.endpoints[..]);
        let mut candidates: Vec<_> = running
            .unwrap_or_default()
            .iter()
            .filter(|it| !it.is_draining && !taken.contains(&it.id))
            .map(|it| {
                let load = busy.get(&it.id).copied().unwrap_or(0);
                (it.is_ready, load, std::cmp::Reverse(it.id))
            })
            .collect();
        candidates.sort_unstable();
        let count = usize::try_from(drain.count).unwrap_or(usize::MAX);
        candidates.truncate(count);
        candidates.into_iter().map(|(.., id)| id.0).collect()
    }

    // === from activators ===

    /// An activator is here (again): it gets what is under way before anything else. Where the
    /// only one there was has chosen by itself, all are told anew what to take.
    pub(super) fn joined(
        &mut self,
        name: &str,
        activators: &mut Activators,
        endpoints: &Endpoints,
    ) {
        let ids: Vec<DrainId> = self.by_id.keys().copied().collect();
        for id in ids {
            let is_own_choice = activators.len() > 1
                && self
                    .by_id
                    .get(&id)
                    .is_some_and(|it| it.victims.is_none() && !it.is_reported);
            if is_own_choice {
                self.choose_again(id, name, activators, endpoints);
            } else if let Some(order) = self.by_id.get(&id)
                && let Some(activator) = activators.get_mut(name)
            {
                activator.tell(order.on_the_wire());
            }
        }
    }

    fn choose_again(
        &mut self,
        id: DrainId,
        joined: &str,
        activators: &mut Activators,
        endpoints: &Endpoints,
    ) {
        let Some(drain) = self.by_id.get(&id).map(|order| order.drain.clone()) else {
            return;
        };
        let victims = self.choose(&drain, activators, endpoints);
        let wire = self.name();
        let Entry::Occupied(mut entry) = self.by_id.entry(id) else {
            return;
        };
        let order = entry.get_mut();
        let before = std::mem::replace(&mut order.wire, wire);
        order.victims = Some(victims);
        order.acknowledged.clear();
        self.by_wire.remove(&before);
        self.by_wire.insert(wire, id);
        for (name, activator) in activators {
            if name != joined {
                activator.tell(ToActivator::Cancel(before));
            }
            activator.tell(order.on_the_wire());
        }
    }

    /// What a lost one acknowledged does not count: it may have put its replicas back.
    pub(super) fn left(&mut self, name: &str) {
        for order in self.by_id.values_mut() {
            order.acknowledged.remove(name);
        }
    }

    pub(super) fn acknowledge(&mut self, name: &str, answer: Drained) {
        let id = self.by_wire.get(&answer.id);
        let Some(order) = id.and_then(|id| self.by_id.get_mut(id)) else {
            return;
        };
        let is_as_told = order.victims.as_ref().is_none_or(|victims| {
            answer
                .endpoints
                .iter()
                .all(|endpoint| victims.contains(endpoint))
        });
        if is_as_told {
            order.acknowledged.insert(name.to_owned(), answer.endpoints);
        } else {
            tracing::warn!(
                activator = name,
                function = %order.drain.function,
                "an activator drained other replicas than it was told"
            );
        }
    }

    /// Answers for the engine: drains that everybody who may be serving has acknowledged.
    pub(super) fn finished(&mut self, activators: &Activators, is_blocked: bool) -> Vec<Drained> {
        if is_blocked {
            return Vec::new();
        }
        let asked: Vec<&String> = activators
            .iter()
            .filter(|(_, it)| !it.has_parted && !matches!(it.link, Link::Gone { .. }))
            .map(|(name, _)| name)
            .collect();
        let mut finished = Vec::new();
        for order in self.by_id.values_mut().filter(|order| !order.is_reported) {
            let is_done = !order.acknowledged.is_empty()
                && asked
                    .iter()
                    .all(|name| order.acknowledged.contains_key(*name));
            if is_done {
                order.is_reported = true;
                finished.push(Drained {
                    id: order.drain.id,
                    function: order.drain.function.clone(),
                    endpoints: order.replicas().cloned().unwrap_or_default(),
                });
            }
        }
        finished
    }
}

fn tell(word: &ToActivator, activators: &mut Activators) {
    for activator in activators.values_mut() {
        activator.tell(word.clone());
    }
}
