//! The way to and from the autoscaler: a report each second, drains as they are asked for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use zeron_core::FunctionId;
use zeron_wire::{Drain, DrainId, Drained, ToActivator, ToAutoscaler};

use crate::function::FunctionState;
use crate::worker::Shared;

/// Runs until the activator has ended.
pub(crate) async fn run(shared: Arc<Shared>, mut orders: mpsc::Receiver<ToActivator>) {
    let mut drains = Drains::default();
    let mut seconds = shared.config.seconds.ticks(Duration::ZERO);
    loop {
        tokio::select! {
            () = seconds.tick() => {
                report(&shared);
                shared.reported.notify_waiters();
                // After it: answers that waited for it go out behind it.
                drains.check();
            }
            // Without an autoscaler warm traffic flows on.
            Some(order) = orders.recv() => drains.obey(&shared, order),
        }
    }
}

/// Sends the load of every function that had any; an empty report says that this side lives.
fn report(shared: &Shared) {
    let now = Instant::now();
    let mut stats = Vec::new();
    let mut active = shared.house.take_active();
    active.retain(|function| match function.report(now) {
        Some(stat) => {
            stats.push(stat);
            true
        }
        None => false,
    });
    shared.house.put_back(active);
    // A full link drops it: the next one says what counts then.
    shared.house.tell(ToAutoscaler::Stats(stats));
}

/// Drains under way, by name.
#[derive(Debug, Default)]
struct Drains(HashMap<DrainId, Arc<FunctionState>>);

impl Drains {
    fn obey(&mut self, shared: &Shared, order: ToActivator) {
        match order {
            ToActivator::Drain(drain) => self.begin(shared, &drain),
            ToActivator::Cancel(id) => {
                if let Some(function) = self.0.remove(&id) {
                    function.cancel_drain(id, Instant::now());
                }
            }
            ToActivator::Settled(id) => {
                if let Some(function) = self.0.get(&id) {
                    function.settle_drain(id, Instant::now());
                }
            }
            // One process: the order was heard when it was sent.
            ToActivator::Woken(_) => {}
        }
    }

    fn begin(&mut self, shared: &Shared, drain: &Drain) {
        match shared.registry.get(&drain.function) {
            Some(function) => {
                function.drain(drain, Instant::now());
                self.0.insert(drain.id, function);
            }
            None => {
                let function = FunctionId::clone(&drain.function);
                shared.house.tell(ToAutoscaler::Drained(Drained {
                    id: drain.id,
                    function,
                    endpoints: drain.victims.clone().unwrap_or_default(),
                }));
            }
        }
    }

    /// Forgets what is over and repeats answers that got lost.
    fn check(&mut self) {
        let now = Instant::now();
        self.0.retain(|id, function| function.check_drain(*id, now));
    }
}
