//! The event loop of a simulation.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use zeron_core::decision::{Cause, Decision};
use zeron_core::invariants::{Facts, Violation, violations};
use zeron_core::metric::{Activity, MetricReading};
use zeron_core::policy::{ScalePolicy, Scaling, Trigger, TriggerSource, TriggerSpec};
use zeron_core::{FunctionId, Timestamp};

use super::SimulationConfig;
use super::load::Load;
use super::report::{Change, Point, SimulationReport, Waits};
use super::world::{ReplicaId, Waiting, World};
use crate::collector::LoadSample;
use crate::decide::decide;
use crate::observation::{self, Observation};
use crate::state::{DecisionState, Start, TriggerKey};

/// The simulated beginning: an even second, as grids count from there.
const EPOCH: Timestamp = Timestamp::from_secs(1_000_000_000);
const SECOND: Duration = Duration::from_secs(1);
/// A wake-up that has not helped for so long is sent again, as the activator does.
const WAKE_AGAIN: Duration = Duration::from_millis(100);
/// Parameters that give the target of a source, in KEDA's spelling.
const TARGET_KEYS: [&str; 8] = [
    "lagThreshold",
    "targetValue",
    "value",
    "threshold",
    "queueLength",
    "listLength",
    "lagCount",
    "targetQueryValue",
];
const DEFAULT_TARGET: f64 = 10.0;

/// What happens at a moment; of one moment in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Leave(ReplicaId),
    Ready(ReplicaId),
    /// Number of a request or sample of the load.
    Load(usize),
    /// End of a second in which there was load.
    Second,
    Poll(usize),
    Decide,
    Wake,
    End,
}

pub(super) struct Simulation<'a> {
    load: &'a Load,
    policy: &'a ScalePolicy,
    config: &'a SimulationConfig,
    state: DecisionState,
    world: World,
    events: BinaryHeap<Reverse<(Duration, Event)>>,
    now: Duration,
    due: Option<Duration>,
    tally: Tally,
    last_wake: Option<(Duration, u32)>,
    /// In flight of a curve, whose requests are not simulated one by one.
    level: f64,
    sample: usize,
    waits: Vec<Duration>,
    report: SimulationReport,
}

/// Load of the second that is under way.
#[derive(Debug, Default)]
struct Tally {
    since: Duration,
    request_seconds: f64,
    requests: u32,
    is_scheduled: bool,
}

impl<'a> Simulation<'a> {
    pub(super) fn new(
        load: &'a Load,
        policy: &'a ScalePolicy,
        config: &'a SimulationConfig,
    ) -> Self {
        let start = match config.initial_replicas {
            0 => Start::Created,
            replicas => Start::Found {
                replicas,
                last_active: None,
            },
        };
        let mut simulation = Self {
            load,
            policy,
            config,
            state: DecisionState::new(policy, start, EPOCH),
            world: World::new(config.concurrency_limit, config.initial_replicas),
            events: BinaryHeap::new(),
            now: Duration::ZERO,
            due: None,
            tally: Tally::default(),
            last_wake: None,
            level: 0.0,
            sample: 0,
            waits: Vec::new(),
            report: SimulationReport::default(),
        };
        simulation.push(load.end() + config.tail, Event::End);
        let first = match load {
            Load::Requests(requests) => requests.first().map(|request| request.arrival),
            Load::Curve(samples) => samples.first().map(|sample| sample.at),
        };
        if let Some(first) = first {
            simulation.push(first, Event::Load(0));
        }
        for group in 0..policy.groups.len() {
            if matches!(policy.groups[group].scaling, Scaling::Metric(_)) {
                simulation.push(Duration::ZERO, Event::Poll(group));
            }
        }
        simulation
    }

    pub(super) fn run(mut self) -> SimulationReport {
        self.decide(Cause::Applied);
        while let Some(Reverse((at, event))) = self.events.pop() {
            self.pass(at);
            match event {
                Event::Leave(replica) => {
                    self.world.leave(replica);
                    self.dispatch();
                }
                Event::Ready(replica) => {
                    self.world.make_ready(replica);
                    self.dispatch();
                    self.decide(Cause::Endpoints);
                }
                Event::Load(number) => self.take_load(number),
                Event::Second => self.end_second(),
                Event::Poll(group) => self.poll(group),
                Event::Decide if self.due == Some(at) => {
                    self.due = None;
                    self.decide(Cause::Timer);
                }
                Event::Decide => {}
                Event::Wake => self.wake(),
                Event::End => break,
            }
        }
        self.finish()
    }

    fn push(&mut self, at: Duration, event: Event) {
        self.events.push(Reverse((at, event)));
    }

    /// Integrates what is so over the time that passes.
    fn pass(&mut self, at: Duration) {
        let passed = at.saturating_sub(self.now);
        let seconds = passed.as_secs_f64();
        let (in_flight, queued) = self.requests();
        let requests = f64::from(in_flight) + f64::from(queued);
        self.tally.request_seconds += requests * seconds;
        self.report.request_seconds += requests * seconds;
        self.report.replica_seconds += f64::from(self.world.running()) * seconds;
        if self.world.running() == 0 {
            self.report.zero_seconds += seconds;
        }
        self.draw(at);
        self.now = at;
    }

    /// One point where a step of the resolution lies in the passed stretch.
    fn draw(&mut self, at: Duration) {
        let step = self
            .config
            .resolution
            .max(Duration::from_millis(1))
            .as_nanos();
        if self.now.as_nanos() / step == at.as_nanos() / step && !self.report.points.is_empty() {
            return;
        }
        let (in_flight, queued) = self.requests();
        let point = Point {
            t_s: self.now.as_secs_f64(),
            in_flight,
            queued,
            desired: self.world.current(),
            ready: self.world.ready(),
        };
        let is_news = self.report.points.last().is_none_or(|last| {
            let same_time = Point {
                t_s: last.t_s,
                ..point.clone()
            };
            *last != same_time
        });
        if is_news {
            self.report.points.push(point);
        }
    }

    /// Requests at replicas and waiting.
    fn requests(&self) -> (u32, u32) {
        match self.load {
            Load::Requests(_) => (self.world.in_flight(), self.world.queued()),
            Load::Curve(_) => {
                let level = crate::kpa::as_count(self.level.ceil());
                if self.world.ready() > 0 {
                    (level, 0)
                } else {
                    (0, level)
                }
            }
        }
    }

    fn take_load(&mut self, number: usize) {
        match self.load {
            Load::Requests(requests) => {
                let Some(request) = requests.get(number) else {
                    return;
                };
                self.report.requests += 1;
                self.report.cold_starts += u64::from(self.world.ready() == 0);
                self.tally.requests += 1;
                self.world.enter(Waiting {
                    arrival: self.now,
                    service: request.service,
                });
                self.dispatch();
                if let Some(next) = requests.get(number + 1) {
                    self.push(next.arrival.max(self.now), Event::Load(number + 1));
                }
            }
            Load::Curve(samples) => {
                let Some(sample) = samples.get(number) else {
                    return;
                };
                let is_rise = self.level == 0.0 && sample.in_flight > 0.0;
                self.report.cold_starts += u64::from(is_rise && self.world.ready() == 0);
                self.level = sample.in_flight;
                self.sample = number;
                if let Some(next) = samples.get(number + 1) {
                    self.push(next.at, Event::Load(number + 1));
                }
            }
        }
        self.count_this_second();
        self.wake();
    }

    /// Gives waiting requests to replicas, and remembers how long each waited.
    fn dispatch(&mut self) {
        for served in self.world.dispatch() {
            self.waits.push(self.now - served.request.arrival);
            let end = self.now + served.request.service;
            self.push(end, Event::Leave(served.replica));
        }
    }

    /// A second that has load is reported at its end.
    fn count_this_second(&mut self) {
        let (in_flight, queued) = self.requests();
        let has_load = in_flight + queued > 0 || self.tally.requests > 0;
        if has_load && !self.tally.is_scheduled {
            self.tally.is_scheduled = true;
            self.tally.since = Duration::from_secs(self.now.as_secs());
            self.push(self.tally.since + SECOND, Event::Second);
        }
    }

    fn end_second(&mut self) {
        let tally = std::mem::take(&mut self.tally);
        let sample = LoadSample {
            concurrency: tally.request_seconds / SECOND.as_secs_f64(),
            requests: f64::from(tally.requests),
            ..LoadSample::default()
        };
        self.state.observe_load(EPOCH + self.now, &sample);
        let cause = if self.state.is_poked() {
            Cause::Grid
        } else {
            Cause::Poll
        };
        self.decide(cause);
        self.count_this_second();
    }

    /// Asks for replicas as the activator would: at the first waiter, at a backlog, not too often.
    fn wake(&mut self) {
        let (in_flight, queued) = self.requests();
        if queued == 0 {
            return;
        }
        let amount = in_flight + queued;
        let is_new = self.last_wake.is_none_or(|(at, before)| {
            amount >= before.saturating_mul(2) || self.now >= at + WAKE_AGAIN
        });
        if is_new {
            self.last_wake = Some((self.now, amount));
            self.push(self.now + WAKE_AGAIN, Event::Wake);
            let cause = if self.world.ready() == 0 {
                Cause::FirstWaiter
            } else {
                Cause::Backlog
            };
            self.decide(cause);
        }
    }

    fn poll(&mut self, group: usize) {
        let Scaling::Metric(metric) = &self.policy.groups[group].scaling else {
            return;
        };
        for (index, trigger) in metric.triggers.iter().enumerate() {
            if let TriggerSource::Scaler(spec) = &trigger.source {
                let key = TriggerKey {
                    group,
                    trigger: index,
                };
                let reading = self.read(trigger, spec);
                self.state
                    .observe_metric(key, Ok(vec![reading]), EPOCH + self.now);
            }
        }
        self.push(
            self.now + metric.polling_interval.max(SECOND / 10),
            Event::Poll(group),
        );
        self.decide(Cause::Poll);
    }

    /// The curve's value for a trigger: by the trigger's name, by its metric's, or the only one.
    fn read(&self, trigger: &Trigger, spec: &TriggerSpec) -> MetricReading {
        let topic = spec.metadata.get("topic").map_or("", String::as_str);
        let names = [
            trigger.name.clone().unwrap_or_default(),
            format!("{}-{topic}", spec.kind),
            format!("s{}-{}", spec.index, spec.kind),
            spec.kind.clone(),
        ];
        let sample = match self.load {
            Load::Curve(samples) => samples.get(self.sample),
            Load::Requests(_) => None,
        };
        let metrics = sample.map(|sample| &sample.metrics);
        let named = metrics.and_then(|all| names.iter().find_map(|name| all.get(name)));
        let only = metrics.filter(|all| all.len() == 1);
        let value = named.or_else(|| only.and_then(|all| all.values().next()));
        let value = value.copied().unwrap_or(0.0);
        let targets = &self.config.metric_targets;
        let given = names.iter().find_map(|name| targets.get(name)).copied();
        let parameter = |key: &&str| spec.metadata.get(*key)?.parse().ok();
        let target = given.or_else(|| TARGET_KEYS.iter().find_map(parameter));
        MetricReading {
            metric: names[1].trim_end_matches('-').to_owned(),
            value,
            target: target.filter(|it| *it > 0.0).unwrap_or(DEFAULT_TARGET),
            activity: Activity::Above {
                value,
                threshold: 0.0,
            },
        }
    }

    fn decide(&mut self, cause: Cause) {
        let (in_flight, queued) = self.requests();
        let observation = Observation {
            function: FunctionId::new("default", "Simulation", "function"),
            cause,
            current: self.world.current(),
            ready: self.world.ready(),
            load: observation::Load::Known { in_flight, queued },
            concurrency_limit: self.config.concurrency_limit,
            cap: self.config.replica_cap,
        };
        let now = EPOCH + self.now;
        let decision = decide(self.policy, &observation, &mut self.state, now);
        debug_assert_eq!(self.broken(&decision), [], "by {decision:?}");
        if decision.desired != decision.current {
            let change = Change::new(self.now.as_secs_f64(), &decision);
            self.report.changes.push(change);
            for replica in self.world.scale(decision.desired) {
                self.push(self.now + self.config.start_latency, Event::Ready(replica));
            }
            self.dispatch();
        }
        self.report.max_replicas = self.report.max_replicas.max(self.world.running());
        let due = self.state.due().map(|due| due.since(EPOCH).max(self.now));
        if due != self.due {
            self.due = due;
            if let Some(due) = due {
                self.push(due, Event::Decide);
            }
        }
    }

    /// Invariants that a decision breaks; there are none.
    fn broken(&self, decision: &Decision) -> Vec<Violation> {
        let (in_flight, queued) = self.requests();
        let facts = Facts {
            requests: Some(in_flight + queued),
            is_any_unknown: decision.asks.iter().any(|ask| ask.replicas.is_none()),
            cap: self.config.replica_cap,
        };
        violations(self.policy, facts, decision)
    }

    fn finish(mut self) -> SimulationReport {
        self.draw(self.now + self.config.resolution);
        self.report.duration_s = self.now.as_secs_f64();
        self.report.replica_starts = self.world.starts;
        self.report.waits = Waits::of(self.waits);
        self.report.unfinished = u64::from(self.world.in_flight()) + u64::from(self.world.queued());
        self.report
    }
}
