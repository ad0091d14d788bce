//! The one thread that follows running replicas: probes, ends and reaps them, and publishes.

mod live;
mod probing;
mod stop;

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tracing::{info, warn};
use zeron_core::{EndpointId, EndpointSink, FunctionId};

use crate::clock::Now;
use crate::fleet::Effects;
use crate::launch::LaunchError;
use crate::metrics::FailureCause;
use crate::poller::Poller;
use crate::shared::Shared;
use crate::spawner::Spawned;
use crate::timers::Timers;
use live::Live;

/// What the supervisor is told by other threads.
#[derive(Debug)]
pub(crate) enum Event {
    /// A decision was made elsewhere.
    Effects(Box<Effects>),
    /// A process runs.
    Spawned(Box<Spawned>),
    /// A process could not be started.
    NotStarted(EndpointId, LaunchError),
    /// Everything that a replica wrote was read.
    OutputRead(EndpointId),
    /// Somebody wants to follow.
    Subscribe(Arc<dyn EndpointSink>),
    /// Stop everything, then say so.
    Stop {
        /// From SIGTERM to SIGKILL.
        grace: Duration,
        done: Option<oneshot::Sender<()>>,
    },
}

/// What happens later. The order is without meaning.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// Ask the replica whether it is ready; the number is that of the attempt.
    Probe(EndpointId, u32),
    /// The attempt with this number took too long.
    ProbeTimeout(EndpointId, u32),
    /// It must be ready by now.
    Deadline(EndpointId),
    /// Its grace is over.
    Kill(EndpointId),
    /// Its output should have been read by now.
    Output(EndpointId),
    /// A crash back-off ends.
    Retry(FunctionId),
    /// Publish the function if that was not done meanwhile.
    Publish(FunctionId),
    /// Start the keeper again.
    Keeper,
    /// Give up waiting for the end.
    GiveUp,
}

/// How long the last output of a replica that ended is waited for: the disk may hang.
const OUTPUT_TIMEOUT: Duration = Duration::from_millis(500);
/// Between two attempts to start a keeper that does not stay.
const KEEPER_RETRY: Duration = Duration::from_millis(200);
/// How long a replica that runs may stay unpublished: most are ready before, and whoever follows
/// is woken once instead of twice.
const LATE: Duration = Duration::from_millis(3);
/// After the grace time of a shutdown, for what SIGKILL takes.
const STOP_SLACK: Duration = Duration::from_secs(5);
/// Timers as precise as the kernel has them: its default of 50 us is half a probe step.
const TIMER_SLACK_NANOS: u64 = 1_000;

/// Tokens of the poller: a replica's number, tagged with what became ready.
const WAKE: u64 = 0;
const KEEPER: u64 = 1;
const EXIT: u64 = 2;
const PROBE: u64 = 3;

/// Everything that the supervisor thread owns.
pub(crate) struct Supervisor {
    shared: Arc<Shared>,
    poller: Poller,
    timers: Timers<Timer>,
    live: HashMap<EndpointId, Live>,
    /// Replicas that are probed for their first readiness.
    crowd: u32,
    sinks: Vec<Arc<dyn EndpointSink>>,
    /// Functions to publish before anything is stopped.
    dirty: HashSet<FunctionId>,
    /// Functions to publish soon, unless more is to be told of them before.
    late: HashSet<FunctionId>,
    draining: Vec<EndpointId>,
    keeper: Option<OwnedFd>,
    stopping: Option<Stopping>,
}

struct Stopping {
    grace: Duration,
    done: Vec<oneshot::Sender<()>>,
    is_given_up: bool,
}

/// Whether anything may come of a timer. Deadlines are minutes away when replicas live for seconds.
fn matters(timer: &Timer, live: &HashMap<EndpointId, Live>) -> bool {
    match timer {
        Timer::Deadline(id) => live.get(id).is_some_and(|live| live.is_in_crowd),
        Timer::Probe(id, attempt) | Timer::ProbeTimeout(id, attempt) => {
            live.get(id).is_some_and(|live| live.attempt == *attempt)
        }
        Timer::Kill(id) | Timer::Output(id) => live.contains_key(id),
        Timer::Retry(_) | Timer::Publish(_) | Timer::Keeper | Timer::GiveUp => true,
    }
}

impl Supervisor {
    pub(crate) fn new(shared: Arc<Shared>, keeper: OwnedFd) -> io::Result<Self> {
        let poller = Poller::new()?;
        poller.watch_readable(&shared.supervisor, WAKE)?;
        poller.watch_readable(&keeper, KEEPER)?;
        Ok(Self {
            shared,
            poller,
            timers: Timers::new(),
            live: HashMap::new(),
            crowd: 0,
            sinks: Vec::new(),
            dirty: HashSet::new(),
            late: HashSet::new(),
            draining: Vec::new(),
            keeper: Some(keeper),
            stopping: None,
        })
    }

    /// Runs until [`Event::Stop`] was carried out.
    pub(crate) fn run(mut self) {
        let slack = std::num::NonZeroU64::new(TIMER_SLACK_NANOS);
        // Coarser timers only make starts slower.
        rustix::thread::set_current_timer_slack(slack).ok();
        let mut ready = Vec::new();
        while !self.is_done() {
            let timeout = self.timers.wait(Instant::now());
            self.poller.wait(timeout, &mut ready);
            for token in ready.drain(..) {
                let id = EndpointId(token >> 2);
                match token & 3 {
                    EXIT => self.exited(id),
                    PROBE => self.advance_probe(id),
                    KEEPER => self.keeper_ended(),
                    _ => self.obey(),
                }
            }
            while let Some(timer) = self.timers.take_due(Instant::now()) {
                self.fire(timer);
            }
            self.settle();
            let live = &self.live;
            self.timers.compact(|timer| matters(timer, live));
        }
        self.finish();
    }

    fn obey(&mut self) {
        for event in self.shared.supervisor.take() {
            match event {
                Event::Effects(effects) => self.apply(*effects),
                Event::Spawned(spawned) => self.spawned(*spawned),
                Event::NotStarted(id, error) => self.not_started(id, &error),
                Event::OutputRead(id) => self.ended(id),
                Event::Subscribe(sink) => self.subscribe(sink),
                Event::Stop { grace, done } => self.stop(grace, done),
            }
        }
    }

    fn fire(&mut self, timer: Timer) {
        match timer {
            Timer::Probe(id, attempt) => self.probe(id, attempt),
            Timer::ProbeTimeout(id, attempt) => self.probe_timed_out(id, attempt),
            Timer::Deadline(id) => self.overdue(id),
            Timer::Kill(id) => self.kill(id),
            Timer::Output(id) => self.ended(id),
            Timer::Retry(function) => {
                let effects = self.shared.fleet.lock().retry(&function, Now::read());
                self.apply(effects);
            }
            Timer::Publish(function) => {
                if self.late.contains(&function) {
                    self.publish(&function);
                }
            }
            Timer::Keeper => self.restart_keeper(),
            Timer::GiveUp => {
                if let Some(stopping) = &mut self.stopping {
                    stopping.is_given_up = true;
                }
            }
        }
    }

    /// Takes over what a decision led to; publishing and stopping wait for [`Self::settle`].
    fn apply(&mut self, mut effects: Effects) {
        self.dirty.extend(effects.publish.drain(..));
        self.draining.append(&mut effects.drain);
        if let Some((at, function)) = effects.retry.take() {
            self.timers.set(at, Timer::Retry(function));
        }
        self.shared.orders.push(&mut effects.spawn);
    }

    /// Publishes what changed, then stops what is to stop: nobody is sent to a replica that knows
    /// already that it has to end.
    fn settle(&mut self) {
        for function in std::mem::take(&mut self.dirty) {
            self.publish(&function);
        }
        for id in std::mem::take(&mut self.draining) {
            self.terminate(id);
        }
    }

    fn publish(&mut self, function: &FunctionId) {
        self.late.remove(function);
        let now = Now::read().timestamp;
        let snapshot = self.shared.fleet.lock().snapshot(function, now);
        for sink in &self.sinks {
            sink.publish(function, snapshot.clone());
        }
    }

    fn subscribe(&mut self, sink: Arc<dyn EndpointSink>) {
        let functions: Vec<_> = self.shared.fleet.lock().functions().cloned().collect();
        let now = Now::read().timestamp;
        for function in functions {
            let snapshot = self.shared.fleet.lock().snapshot(&function, now);
            sink.publish(&function, snapshot);
        }
        self.sinks.push(sink);
    }

    fn not_started(&mut self, id: EndpointId, error: &LaunchError) {
        info!(replica = %id, %error, "replica not started");
        self.shared.metrics.failed(FailureCause::not_started);
        let effects = self.shared.fleet.lock().not_started(
            id,
            error.is_final(),
            error.reason(),
            error.to_string(),
            Now::read(),
        );
        self.apply(effects);
    }

    fn keeper_ended(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            self.poller.forget(&keeper);
            self.shared.keeper.reap();
            warn!("the keeper ended: starting it again");
            // Not at once: one that cannot live must not be started in a loop.
            self.timers
                .set(Instant::now() + KEEPER_RETRY, Timer::Keeper);
        }
    }

    fn restart_keeper(&mut self) {
        self.shared.metrics.keeper_restarts.inc();
        let watched = self.shared.keeper.restart().and_then(|keeper| {
            self.poller.watch_readable(&keeper, KEEPER)?;
            Ok(keeper)
        });
        match watched {
            Ok(keeper) => self.keeper = Some(keeper),
            Err(error) => {
                warn!(%error, "cannot start the keeper again");
                self.timers
                    .set(Instant::now() + 5 * KEEPER_RETRY, Timer::Keeper);
            }
        }
    }
}
