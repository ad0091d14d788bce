//! A hub on a clock of the test's own, and what it said.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use zeron_core::{Endpoint, EndpointId, EndpointSnapshot, FunctionId, Stat, Timestamp};

use crate::hub::state::State;
use crate::hub::{HubConfig, JoinRefused, Said, SeatId};
use crate::message::{Coverage, Drain, DrainId, Drained, ToActivator, ToAutoscaler, Wake};
use crate::server::Identity;

pub(super) fn id(name: &str) -> FunctionId {
    FunctionId::new("default", "Deployment", name)
}

pub(super) fn stat(name: &str, concurrency: f64, in_flight: u32) -> Stat {
    Stat {
        function: id(name),
        at: Timestamp::EPOCH,
        average_concurrency: concurrency,
        request_count: concurrency * 2.0,
        in_flight,
        queued: 0,
        busy: vec![(EndpointId(1), in_flight)],
    }
}

pub(super) fn identity(subject: &str) -> Identity {
    Identity {
        subject: subject.to_owned(),
        name: None,
        uid: None,
    }
}

pub(super) fn partial(message: &str) -> Coverage {
    Coverage::Partial {
        message: message.to_owned(),
    }
}

pub(super) struct Rig {
    pub(super) state: State,
    now: Instant,
    told: Vec<ToAutoscaler>,
    merged: Vec<Stat>,
    orders: HashMap<SeatId, mpsc::Receiver<ToActivator>>,
}

impl Rig {
    pub(super) fn new() -> Self {
        Self {
            state: State::new(HubConfig::default()),
            now: Instant::now(),
            told: Vec::new(),
            merged: Vec::new(),
            orders: HashMap::new(),
        }
    }

    pub(super) fn advance(&mut self, by: Duration) {
        self.now += by;
    }

    pub(super) fn try_join(&mut self, name: &str, it: Identity) -> Result<SeatId, JoinRefused> {
        let (seat, orders) = self.state.join(name, it, self.now)?;
        self.orders.insert(seat, orders);
        Ok(seat)
    }

    pub(super) fn join(&mut self, name: &str) -> SeatId {
        self.try_join(name, identity("activator")).unwrap()
    }

    pub(super) fn leave(&mut self, seat: SeatId) {
        self.state.left(seat, self.now);
    }

    pub(super) fn say(&mut self, seat: SeatId, said: Said) {
        self.state.said(seat, said, self.now);
    }

    pub(super) fn report(&mut self, seat: SeatId, stats: &[Stat]) {
        self.say(seat, Said::Report(stats.to_vec()));
    }

    pub(super) fn wake(&mut self, seat: SeatId, name: &str, in_flight: u32, queued: u32) {
        self.say(
            seat,
            Said::Wake(Wake {
                function: id(name),
                in_flight,
                queued,
            }),
        );
    }

    pub(super) fn expect(&mut self, names: &[&str]) {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        self.state.expect(Some(names), self.now);
    }

    /// The platform keeps these replicas after all.
    pub(super) fn keep(&mut self, name: &str, replicas: &[u64]) {
        let replicas = replicas.iter().map(|it| EndpointId(*it)).collect();
        self.state.kept(&id(name), &replicas);
    }

    pub(super) fn tick(&mut self) {
        self.state.tick(self.now);
    }

    /// A second passes in which these report nothing but themselves.
    pub(super) fn beat(&mut self, seats: &[SeatId]) {
        self.advance(Duration::from_secs(1));
        for seat in seats {
            self.report(*seat, &[]);
        }
        self.tick();
    }

    pub(super) fn order(&mut self, order: ToActivator) {
        self.state.order(order, self.now);
    }

    pub(super) fn drain(&mut self, drain_id: u64, count: u32) {
        self.order(ToActivator::Drain(Drain {
            id: DrainId(drain_id),
            function: id("f"),
            count,
            victims: None,
        }));
    }

    /// Replicas of `f`: names, and whether they are ready.
    pub(super) fn replicas(&mut self, replicas: &[(u64, bool)]) {
        let endpoints = replicas.iter().map(|(name, is_ready)| Endpoint {
            id: EndpointId(*name),
            address: None,
            is_ready: *is_ready,
            is_draining: false,
            probe: None,
            is_probe_needed: false,
            replicas: 1,
            shared_by: 1,
        });
        let snapshot = EndpointSnapshot {
            endpoints: endpoints.collect(),
            ..EndpointSnapshot::default()
        };
        self.state.endpoints(id("f"), Some(Arc::new(snapshot)));
    }

    /// The one drain that this activator was told.
    pub(super) fn told_to_drain(&mut self, seat: SeatId) -> Drain {
        match &self.orders(seat)[..] {
            [ToActivator::Drain(drain)] => drain.clone(),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn acknowledge(&mut self, seat: SeatId, drain: &Drain, endpoints: &[u64]) {
        let endpoints = endpoints.iter().map(|&it| EndpointId(it));
        self.say(
            seat,
            Said::Drained(Drained {
                id: drain.id,
                function: drain.function.clone(),
                endpoints: endpoints.collect(),
            }),
        );
    }

    pub(super) fn orders(&mut self, seat: SeatId) -> Vec<ToActivator> {
        let orders = self.orders.get_mut(&seat).unwrap();
        std::iter::from_fn(|| orders.try_recv().ok()).collect()
    }

    fn listen(&mut self) {
        for message in self.state.take() {
            if let ToAutoscaler::Stats(stats) = &message {
                self.merged.clone_from(stats);
            }
            self.told.push(message);
        }
    }

    /// What the engine was told since this was last asked.
    pub(super) fn take(&mut self) -> Vec<ToAutoscaler> {
        self.listen();
        std::mem::take(&mut self.told)
    }

    /// Drains of which the engine was told that they are done.
    pub(super) fn drained(&mut self) -> Vec<(u64, Vec<u64>)> {
        let told = self.take().into_iter();
        told.filter_map(|message| match message {
            ToAutoscaler::Drained(it) => {
                let endpoints = it.endpoints.iter().map(|endpoint| endpoint.0);
                Some((it.id.0, endpoints.collect()))
            }
            _ => None,
        })
        .collect()
    }

    pub(super) fn coverage(&self) -> Coverage {
        self.state.coverage().clone()
    }

    /// The newest merged report.
    pub(super) fn all_merged(&mut self) -> &[Stat] {
        self.listen();
        &self.merged
    }

    pub(super) fn merged(&mut self, name: &str) -> Option<Stat> {
        let stats = self.all_merged().iter();
        stats
            .clone()
            .find(|stat| stat.function == id(name))
            .cloned()
    }
}
