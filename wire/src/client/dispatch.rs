//! Between the activator and its connections: fans out what it says, merges what it is told.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use super::ClientConfig;
use super::connection::{self, Event};
use super::drains::{ConnectionId, Drains, Verdict};
use super::outgoing::Outgoing;
use super::unanswered::Unanswered;
use crate::codec;
use crate::link::{AutoscalerLink, CAPACITY};
use crate::message::{Drained, ToActivator, ToAutoscaler, Wake};

/// Messages of the activator taken in one turn.
const BATCH: usize = 256;
/// Events of connections that may wait.
const EVENTS: usize = 1_024;
/// How long the last words may take to reach the autoscalers.
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);

pub(super) struct Dispatch {
    config: Arc<ClientConfig>,
    from_activator: mpsc::Receiver<ToAutoscaler>,
    to_activator: mpsc::Sender<ToActivator>,
    /// Orders for which the activator has no room yet.
    orders: VecDeque<ToActivator>,
    sender: mpsc::Sender<Event>,
    events: mpsc::Receiver<Event>,
    /// One task per address.
    tasks: JoinSet<()>,
    kept: HashMap<task::Id, SocketAddr>,
    connections: HashMap<ConnectionId, Arc<Outgoing>>,
    unanswered: Unanswered,
    drains: Drains,
}

impl Dispatch {
    pub(super) fn new(config: Arc<ClientConfig>, link: AutoscalerLink) -> Self {
        let (sender, events) = mpsc::channel(EVENTS);
        Self {
            config,
            from_activator: link.receiver,
            to_activator: link.sender,
            orders: VecDeque::new(),
            sender,
            events,
            tasks: JoinSet::new(),
            kept: HashMap::new(),
            connections: HashMap::new(),
            unanswered: Unanswered::default(),
            drains: Drains::default(),
        }
    }

    /// Runs until the activator is done.
    pub(super) async fn run(mut self) {
        let mut addresses = self.config.addresses.clone();
        let mut batch = Vec::with_capacity(BATCH);
        let mut are_addresses_told = true;
        let to_activator = self.to_activator.clone();
        self.dial_new();
        loop {
            let due = self.due();
            tokio::select! {
                count = self.from_activator.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return;
                    }
                    if self.tell(&mut batch) {
                        return self.part().await;
                    }
                }
                Some(event) = self.events.recv(), if self.orders.len() < CAPACITY => {
                    self.hear(event);
                }
                permit = to_activator.reserve(), if !self.orders.is_empty() => {
                    let (Ok(permit), Some(order)) = (permit, self.orders.pop_front()) else {
                        return;
                    };
                    permit.send(order);
                }
                changed = addresses.changed(), if are_addresses_told => {
                    are_addresses_told = changed.is_ok();
                    self.dial_new();
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                Some(ended) = self.tasks.join_next_with_id() => self.forget(ended),
            }
            self.expire();
        }
    }

    fn due(&self) -> Option<Instant> {
        [self.unanswered.next(), self.drains.next()]
            .into_iter()
            .flatten()
            .min()
    }

    fn expire(&mut self) {
        let now = Instant::now();
        for wake in self.unanswered.expire(now) {
            (self.config.on_unanswered)(wake);
        }
        self.orders.extend(self.drains.expire(now));
    }

    /// Dials addresses that are not kept yet.
    fn dial_new(&mut self) {
        for address in self.config.addresses.borrow().iter() {
            if self.kept.values().any(|kept| kept == address) {
                continue;
            }
            let config = Arc::clone(&self.config);
            let keep = connection::keep(config, *address, self.sender.clone());
            self.kept.insert(self.tasks.spawn(keep).id(), *address);
        }
    }

    /// A task ended: its address was not wanted any more, but may be again.
    fn forget(&mut self, ended: Result<(task::Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(%error, "a connection to an autoscaler panicked");
                error.id()
            }
        };
        self.kept.remove(&id);
        self.dial_new();
    }

    // === from the activator ===

    /// Passes on what the activator said; true after its goodbye.
    fn tell(&mut self, batch: &mut Vec<ToAutoscaler>) -> bool {
        let (mut report, mut is_goodbye) = (None, false);
        for message in batch.drain(..) {
            match message {
                ToAutoscaler::Wake(wake) => self.wake(wake),
                ToAutoscaler::Drained(answer) => self.answer(&answer),
                ToAutoscaler::Stats(stats) => report = Some(stats),
                ToAutoscaler::Goodbye => is_goodbye = true,
                // Only a hub says the one, only Knative's statistics are the other.
                ToAutoscaler::Coverage(_) | ToAutoscaler::Samples(_) => {}
            }
        }
        if let Some(stats) = report {
            self.report(&stats);
        }
        is_goodbye
    }

    fn wake(&mut self, wake: Wake) {
        let frame = codec::wake(&wake);
        for outgoing in self.connections.values() {
            outgoing.wake(&wake.function, frame.clone());
        }
        let is_connected = !self.connections.is_empty();
        if let Some(wake) = self.unanswered.ask(wake, is_connected, Instant::now()) {
            (self.config.on_unanswered)(wake);
        }
    }

    fn answer(&mut self, answer: &Drained) {
        let owner = self.drains.answered(answer);
        if let Some(outgoing) = owner.and_then(|owner| self.connections.get(&owner)) {
            outgoing.answer(codec::drained(answer));
        }
    }

    fn report(&self, stats: &[zeron_core::Stat]) {
        if self.connections.is_empty() {
            return;
        }
        let Some(frames) = codec::report(stats) else {
            tracing::error!(functions = stats.len(), "a report is too long to be sent");
            return;
        };
        let frames: Arc<[Bytes]> = frames.into();
        for outgoing in self.connections.values() {
            outgoing.report(Arc::clone(&frames));
        }
    }

    /// Says goodbye to every autoscaler and waits until it is written.
    async fn part(mut self) {
        for outgoing in self.connections.values() {
            outgoing.goodbye(codec::goodbye());
        }
        let written = async {
            while !self.connections.is_empty() {
                match self.events.recv().await {
                    Some(Event::Down(id)) => drop(self.connections.remove(&id)),
                    Some(Event::Up(_, outgoing)) => outgoing.goodbye(codec::goodbye()),
                    Some(Event::Order(..)) => {}
                    None => return,
                }
            }
        };
        if timeout(GOODBYE_WITHIN, written).await.is_err() {
            tracing::warn!("not every autoscaler heard the goodbye in time");
        }
    }

    // === from the connections ===

    fn hear(&mut self, event: Event) {
        match event {
            Event::Up(id, outgoing) => drop(self.connections.insert(id, outgoing)),
            Event::Order(id, order) => self.order(id, order),
            Event::Down(id) => {
                self.connections.remove(&id);
                self.orders.extend(self.drains.lose(id, Instant::now()));
            }
        }
    }

    fn order(&mut self, from: ConnectionId, order: ToActivator) {
        if let ToActivator::Woken(function) = &order {
            self.unanswered.acknowledged(function);
        }
        match self.drains.order(from, order) {
            Verdict::Forward(order) => self.orders.push_back(order),
            Verdict::Answer(answer) => self.answer(&answer),
            Verdict::Ignore => {}
        }
    }
}
