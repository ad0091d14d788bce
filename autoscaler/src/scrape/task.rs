//! The task that asks: every tenth of a second the functions of that tenth.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::{Interval, MissedTickBehavior, interval};
use zeron_core::Sample;
use zeron_wire::ToAutoscaler;

use super::Shared;
use super::round::{Asking, Round};
use super::state::{Room, SLOTS};
use crate::engine::Clock;

const SLOT: Duration = Duration::from_millis(100);
/// Functions whose answers are waited for at once.
const MAX_ROUNDS: usize = 1_024;
/// Of them, functions of which nobody answered last time.
const MAX_HANGING: usize = MAX_ROUNDS / 2;

pub(super) struct Task {
    shared: Arc<Shared>,
    asking: Arc<Asking>,
    samples: mpsc::Sender<ToAutoscaler>,
    clock: Arc<dyn Clock>,
    rounds: FuturesUnordered<BoxFuture<'static, Round>>,
    /// How many of them are of functions that hang.
    hanging: usize,
    slot: usize,
}

impl Task {
    pub(super) fn new(
        port: u16,
        shared: Arc<Shared>,
        samples: mpsc::Sender<ToAutoscaler>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            shared,
            asking: Arc::new(Asking::new(port)),
            samples,
            clock,
            rounds: FuturesUnordered::new(),
            hanging: 0,
            slot: 0,
        }
    }

    /// Runs until it is stopped, or nobody takes samples any more.
    pub(super) async fn run(mut self) {
        let stop = self.shared.stop.clone();
        let shared = Arc::clone(&self.shared);
        let mut ticks = ticks();
        let mut is_busy = false;
        loop {
            let was_busy = std::mem::replace(&mut is_busy, shared.state.lock().is_busy());
            if is_busy && !was_busy {
                ticks.reset_immediately();
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.samples.closed() => return,
                Some(round) = self.rounds.next(), if !self.rounds.is_empty() => self.finish(round),
                _ = ticks.tick(), if is_busy => self.begin(),
                () = shared.changed.notified() => {}
            }
        }
    }

    /// Asks for the functions of this part of the second.
    fn begin(&mut self) {
        self.slot = (self.slot + 1) % SLOTS;
        if self.slot == 0 {
            self.asking.fetcher.prune();
        }
        let room = Room {
            all: MAX_ROUNDS.saturating_sub(self.rounds.len()),
            // No part of the second takes what the others need.
            hanging: MAX_HANGING
                .saturating_sub(self.hanging)
                .min(MAX_HANGING / SLOTS),
        };
        let errands = self.shared.state.lock().due(self.slot, room);
        for errand in errands {
            self.hanging += usize::from(errand.is_hanging);
            let round = Round::run(errand, Arc::clone(&self.asking));
            self.rounds.push(round.boxed());
        }
    }

    /// Tells what came in, this and whatever else is there.
    fn finish(&mut self, first: Round) {
        let now = self.clock.now();
        let mut samples: Vec<Sample> = Vec::new();
        let mut next = Some(first);
        while let Some(round) = next {
            samples.extend(round.sample(now));
            self.learn(round);
            next = self.rounds.next().now_or_never().flatten();
        }
        if samples.is_empty() {
            return;
        }
        match self.samples.try_send(ToAutoscaler::Samples(samples)) {
            // The next second brings as good ones.
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Closed(_)) => {}
        }
    }

    fn learn(&mut self, round: Round) {
        self.hanging -= usize::from(round.was_hanging);
        let is_changed = self.shared.state.lock().answered(&round);
        if is_changed {
            let Round {
                function, outcome, ..
            } = round;
            tracing::info!(%function, ?outcome, "another outcome of scraping");
            // Nobody listens: nobody misses it.
            drop(self.shared.outcomes.send(function));
        }
    }
}

fn ticks() -> Interval {
    let mut ticks = interval(SLOT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}
