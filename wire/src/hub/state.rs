//! What the hub knows and decides, without I/O: messages in, messages for the engine out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::{Duration, Instant};
use zeron_core::{EndpointId, EndpointSnapshot, FunctionId};

use super::activator::{Activator, Link};
use super::coverage::coverage;
use super::drains::{Activators, Drains, Endpoints};
use super::merge::{Merged, Silence, Tally};
use super::{Expected, HubConfig, JoinRefused, Joined, Said, SeatId};
use crate::link::CAPACITY;
use crate::message::{Coverage, ToActivator, ToAutoscaler, Wake};
use crate::server::Identity;

/// Activators at once; their number is the platform's, this bounds what forged names can take.
const MAX_ACTIVATORS: usize = 4_096;
/// Functions whose askers are remembered; an answer to those beyond is not passed on.
const MAX_ASKED: usize = 65_536;
/// For how long an asker is remembered: functions of other autoscalers are never answered here.
const ASKED_FOR: Duration = Duration::from_secs(2);

/// Everything the hub knows.
#[derive(Debug)]
pub(super) struct State {
    config: HubConfig,
    activators: Activators,
    seats: HashMap<SeatId, String>,
    next_seat: SeatId,
    expected: Expected,
    /// Names that said goodbye and are still expected.
    parted: BTreeSet<String>,
    /// Load of activators that ended since the last merge.
    rest: Vec<Tally>,
    endpoints: Endpoints,
    drains: Drains,
    asked: HashMap<FunctionId, (BTreeSet<SeatId>, Instant)>,
    coverage: Coverage,
    /// For the engine.
    out: Vec<ToAutoscaler>,
}

impl State {
    pub(super) fn new(config: HubConfig) -> Self {
        let nobody = Coverage::Partial {
            message: "no activator is connected".to_owned(),
        };
        Self {
            config,
            activators: BTreeMap::new(),
            seats: HashMap::new(),
            next_seat: 0,
            expected: None,
            parted: BTreeSet::new(),
            rest: Vec::new(),
            endpoints: HashMap::new(),
            drains: Drains::new(),
            asked: HashMap::new(),
            out: vec![ToAutoscaler::Coverage(nobody.clone())],
            coverage: nobody,
        }
    }

    pub(super) fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// Messages for the engine, in order.
    pub(super) fn take(&mut self) -> Vec<ToAutoscaler> {
        std::mem::take(&mut self.out)
    }

    // === activators ===

    /// Takes an activator in, unless the name belongs to a living other.
    pub(super) fn join(&mut self, name: &str, identity: Identity, now: Instant) -> Joined {
        if identity.name.as_ref().is_some_and(|bound| bound != name) || name.is_empty() {
            return Err(JoinRefused::NotItsName);
        }
        let before = self.activators.get(name);
        let is_taken = before.is_some_and(|it| it.is_connected() && it.identity != identity);
        if is_taken || (before.is_none() && self.activators.len() >= MAX_ACTIVATORS) {
            return Err(JoinRefused::NameTaken);
        }
        if let Some(seat) = before.and_then(Activator::seat) {
            self.seats.remove(&seat);
        }
        let (orders, receiver) = mpsc::channel(CAPACITY);
        self.next_seat += 1;
        let seat = self.next_seat;
        let before = self.activators.remove(name);
        let activator = Activator {
            identity,
            link: Link::Connected { seat, orders },
            reported_at: None,
            has_parted: false,
            tally: before.map(|it| it.tally).unwrap_or_default(),
        };
        self.activators.insert(name.to_owned(), activator);
        self.seats.insert(seat, name.to_owned());
        self.parted.remove(name);
        self.drains.left(name);
        self.drains
            .joined(name, &mut self.activators, &self.endpoints);
        self.look(now);
        Ok((seat, receiver))
    }

    pub(super) fn left(&mut self, seat: SeatId, now: Instant) {
        if let Some(name) = self.seats.remove(&seat) {
            self.lose(&name, now);
            self.look(now);
        }
    }

    /// What is to be thought of one whose connection ended.
    fn lose(&mut self, name: &str, now: Instant) {
        let is_expected = self.expected.as_ref().is_some_and(|it| it.contains(name));
        let Some(activator) = self.activators.get_mut(name) else {
            return;
        };
        if let Link::Connected { seat, .. } = activator.link {
            self.seats.remove(&seat);
        }
        if activator.has_parted {
            if let Some(activator) = self.activators.remove(name) {
                self.rest.push(activator.tally);
            }
            if is_expected {
                self.parted.insert(name.to_owned());
            }
        } else {
            activator.link = if is_expected {
                Link::Lost
            } else {
                Link::Gone { since: now }
            };
            self.drains.left(name);
        }
    }

    pub(super) fn said(&mut self, seat: SeatId, said: Said, now: Instant) {
        let Some(name) = self.seats.get(&seat) else {
            return;
        };
        let Some(activator) = self.activators.get_mut(name) else {
            return;
        };
        match said {
            Said::Report(stats) => {
                activator.reported_at = Some(now);
                activator.tally.record(stats);
            }
            Said::Wake(wake) => {
                activator.tally.wake(&wake);
                self.wake(seat, &wake, now);
            }
            Said::Drained(answer) => {
                self.drains.acknowledge(name, answer);
                self.finish();
            }
            Said::Goodbye => {
                activator.has_parted = true;
                self.finish();
                self.look(now);
            }
        }
    }

    /// One function's wake-up, with what all activators have of it.
    fn wake(&mut self, seat: SeatId, wake: &Wake, now: Instant) {
        let mut sum = Wake {
            function: wake.function.clone(),
            in_flight: 0,
            queued: 0,
        };
        let reachable = self.activators.values().filter(|it| it.is_connected());
        for stat in reachable.filter_map(|it| it.tally.newest(&wake.function)) {
            sum.in_flight = sum.in_flight.saturating_add(stat.in_flight);
            sum.queued = sum.queued.saturating_add(stat.queued);
        }
        self.out.push(ToAutoscaler::Wake(sum));
        if self.asked.len() < MAX_ASKED || self.asked.contains_key(&wake.function) {
            let asked = self.asked.entry(wake.function.clone());
            let (seats, at) = asked.or_insert_with(|| (BTreeSet::new(), now));
            seats.insert(seat);
            *at = now;
        }
    }

    // === the platform ===

    pub(super) fn expect(&mut self, expected: Expected, now: Instant) {
        self.expected = expected;
        let names = self.expected.as_ref();
        let is_expected = |name: &String| names.is_some_and(|it| it.contains(name));
        self.parted.retain(is_expected);
        for (name, activator) in &mut self.activators {
            match activator.link {
                Link::Lost if !is_expected(name) => activator.link = Link::Gone { since: now },
                // The platform did not know it yet, or knows it again.
                Link::Gone { .. } if is_expected(name) => activator.link = Link::Lost,
                Link::Connected { .. } | Link::Lost | Link::Gone { .. } => {}
            }
        }
        self.look(now);
        self.finish();
    }

    pub(super) fn endpoints(
        &mut self,
        function: FunctionId,
        snapshot: Option<Arc<EndpointSnapshot>>,
    ) {
        match snapshot {
            Some(snapshot) => drop(self.endpoints.insert(function, snapshot)),
            None => drop(self.endpoints.remove(&function)),
        }
    }

    pub(super) fn kept(&mut self, function: &FunctionId, replicas: &BTreeSet<EndpointId>) {
        self.drains.keep(function, replicas, &mut self.activators);
    }

    // === the engine ===

    pub(super) fn order(&mut self, order: ToActivator, now: Instant) {
        match order {
            ToActivator::Drain(drain) => {
                self.drains
                    .begin(drain, &mut self.activators, &self.endpoints);
            }
            ToActivator::Cancel(id) => self.drains.cancel(id, &mut self.activators),
            ToActivator::Settled(id) => self.drains.settle(id, &mut self.activators, now),
            ToActivator::Woken(function) => self.woken(&function),
        }
        self.drop_those_behind(now);
    }

    fn woken(&mut self, function: &FunctionId) {
        let Some((seats, _)) = self.asked.remove(function) else {
            return;
        };
        for seat in seats {
            let name = self.seats.get(&seat);
            if let Some(activator) = name.and_then(|name| self.activators.get_mut(name)) {
                activator.tell(ToActivator::Woken(function.clone()));
            }
        }
    }

    /// Those that could not be told are lost, whatever their connection says.
    fn drop_those_behind(&mut self, now: Instant) {
        let connected = |name: &String| {
            let activator = self.activators.get(name);
            activator.is_some_and(Activator::is_connected)
        };
        let behind = self.seats.values().filter(|name| !connected(name));
        let behind: Vec<String> = behind.cloned().collect();
        for name in behind {
            tracing::warn!(activator = name, "an activator does not take its orders");
            self.seats.retain(|_, other| *other != name);
            self.lose(&name, now);
        }
    }

    // === time ===

    /// Once a second: the merged report, then what is so after it.
    pub(super) fn tick(&mut self, now: Instant) {
        self.prune(now);
        self.drains.prune(now);
        self.drop_those_behind(now);
        let mut merged = Merged::default();
        for activator in self.activators.values_mut() {
            match activator.link {
                Link::Connected { .. } => activator.tally.merge(Silence::Late, &mut merged),
                Link::Lost => activator.tally.merge(Silence::Unheard, &mut merged),
                Link::Gone { .. } => {}
            }
        }
        for mut tally in self.rest.drain(..) {
            tally.finish(&mut merged);
        }
        self.out.push(ToAutoscaler::Stats(merged.into_stats()));
        self.cover(now);
        self.finish();
    }

    fn prune(&mut self, now: Instant) {
        let window = self.config.unknown_after_loss;
        let is_over = |activator: &Activator| match activator.link {
            Link::Gone { since } => now.saturating_duration_since(since) >= window,
            Link::Connected { .. } | Link::Lost => false,
        };
        self.activators.retain(|_, activator| !is_over(activator));
        self.asked
            .retain(|_, (_, at)| now.saturating_duration_since(*at) < ASKED_FOR);
    }

    /// Worse at once; better only after a report that has everybody's load in it.
    fn look(&mut self, now: Instant) {
        if self.judge(now) != Coverage::Complete {
            self.cover(now);
        }
    }

    fn cover(&mut self, now: Instant) {
        let coverage = self.judge(now);
        if coverage != self.coverage {
            self.coverage = coverage.clone();
            self.out.push(ToAutoscaler::Coverage(coverage));
        }
    }

    fn judge(&self, now: Instant) -> Coverage {
        let (activators, config) = (&self.activators, &self.config);
        coverage(activators, &self.expected, &self.parted, config, now)
    }

    fn finish(&mut self) {
        let is_known =
            |name: &String| self.activators.contains_key(name) || self.parted.contains(name);
        let is_blocked = !self.expected.iter().flatten().all(is_known);
        let finished = self.drains.finished(&self.activators, is_blocked);
        self.out
            .extend(finished.into_iter().map(ToAutoscaler::Drained));
    }
}
