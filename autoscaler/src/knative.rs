//! The Knative group: windows, decider and the way to zero, on a two-second grid.

use std::time::Duration;

use zeron_core::Timestamp;
use zeron_core::decision::{Ask, Rule};
use zeron_core::metric::{MetricValue, Unknown, UnknownKind};
use zeron_core::path::{PathAsk, PathFacts, RequestPath};
use zeron_core::policy::{KnativeMetric, KnativeScaling};

use crate::collector::{Averages, Collector, LoadSample};
use crate::group::{GroupAsk, Scene};
use crate::kpa::{Decider, DeciderSpec, GRID};
use crate::kpa_zero::{Bounds, Replicas, Step, ZeroPath};
use crate::observation::Load;
use crate::serverless::ServerlessPath;
use crate::state::Start;

const NO_LOAD: Averages = Averages {
    stable: 0.0,
    panic: 0.0,
};

/// From a wish to a count, by who is in the path of requests.
#[derive(Clone, Debug)]
enum Way {
    Activator(ZeroPath),
    Serverless(Box<ServerlessPath>),
}

impl Way {
    fn new(path: RequestPath, start: Start, now: Timestamp) -> Self {
        match path {
            RequestPath::Activator => Self::Activator(ZeroPath::new(start, now)),
            RequestPath::Serverless { .. } => Self::Serverless(Box::new(ServerlessPath::new(now))),
        }
    }

    fn fits(&self, path: RequestPath) -> bool {
        matches!(self, Self::Activator(_)) == (path == RequestPath::Activator)
    }
}

/// What the group remembers.
#[derive(Clone, Debug)]
pub(crate) struct KnativeState {
    collector: Collector,
    decider: Decider,
    way: Way,
    /// Since when nothing was there to decide by.
    blind_since: Option<Timestamp>,
    next_tick: Timestamp,
    /// The grid's offset; `None`: it begins with the function.
    phase: Option<Duration>,
    /// Load arrived while nothing was wanted: decide before the grid does.
    is_poked: bool,
    /// What those report who have yet to speak in this second, as it is taken for the next decision.
    outstanding: LoadSample,
    averages: Averages,
    last_active: Option<Timestamp>,
}

impl KnativeState {
    pub(crate) fn new(scaling: &KnativeScaling, start: Start, now: Timestamp) -> Self {
        let (found, last_active) = match start {
            Start::Created => (0, None),
            Start::Found {
                replicas,
                last_active,
            } => (replicas, last_active),
        };
        Self {
            collector: Collector::new(
                scaling.aggregation,
                scaling.stable_window,
                scaling.panic_window,
            ),
            decider: Decider::new(&spec(scaling, true), scaling.scale_down_delay, found, now),
            way: Way::new(scaling.path, start, now),
            blind_since: None,
            next_tick: now + GRID,
            phase: None,
            is_poked: false,
            outstanding: LoadSample::default(),
            averages: NO_LOAD,
            last_active,
        }
    }

    /// Ticks at `phase` after each even second: functions declared together do not tick together.
    pub(crate) fn set_phase(&mut self, phase: Duration, now: Timestamp) {
        if self.phase != Some(phase) {
            self.phase = Some(phase);
            let into = now.since(Timestamp::EPOCH + phase).as_micros() % GRID.as_micros();
            let into = Duration::from_micros(u64::try_from(into).unwrap_or(0));
            self.next_tick = now + (GRID - into);
        }
    }

    /// Until now there may have been traffic that nobody counted.
    pub(crate) fn doubt(&mut self, now: Timestamp) {
        if let Way::Activator(path) = &mut self.way {
            path.doubt(now);
        }
    }

    /// What is seen of a switched path.
    pub(crate) fn observe_path(&mut self, facts: PathFacts, now: Timestamp) {
        if let Way::Serverless(path) = &mut self.way {
            let is_first = !path.is_begun();
            path.observe(facts, now);
            if is_first && facts.found.is_some() {
                path.count_from(now);
            }
            // Replicas of a new revision are its initial scale, and no sign of load.
            if is_first && !path.is_initialized() {
                self.decider.begin_afresh();
            }
        }
    }

    /// What is asked of a switched path.
    pub(crate) fn path(&self, scaling: &KnativeScaling) -> Option<PathAsk> {
        let Way::Serverless(path) = &self.way else {
            return None;
        };
        if !path.is_begun() {
            return None;
        }
        let (activity, activity_since) = path.activity();
        let plan = path.plan();
        Some(PathAsk {
            activity,
            activity_since,
            is_initialized: path.is_initialized(),
            mode: plan.mode,
            activators: plan.activators,
            desired: plan.desired,
            is_probe_wanted: plan.is_probe_wanted,
            excess_burst_capacity: self.decider.status().excess_burst_capacity,
            stable: self.averages.stable,
            panic: self.averages.panic,
            target: scaling.target,
            is_panicking: self.decider.panic_since().is_some(),
        })
    }

    /// New settings: data and panic mode stay; the delay window stays what it was.
    pub(crate) fn resize(&mut self, scaling: &KnativeScaling, now: Timestamp) {
        self.collector
            .resize(scaling.stable_window, scaling.panic_window, now);
        if !self.way.fits(scaling.path) {
            let start = Start::Found {
                replicas: self.decider.status().desired.unwrap_or(0),
                last_active: self.last_active,
            };
            self.way = Way::new(scaling.path, start, now);
        }
    }

    /// Adds a second's load.
    pub(crate) fn record(&mut self, at: Timestamp, sample: &LoadSample) {
        self.collector.record(at, sample);
        let is_at_rest = match (self.decider.status().desired, &self.way) {
            (Some(desired), _) => desired == 0,
            // After a restart nothing else may ever ask for a decision.
            (None, way) => matches!(way, Way::Serverless(_)),
        };
        self.is_poked |= is_at_rest && sample.concurrency != 0.0;
    }

    /// Takes `load` for what reporters will add to this second, in the next decision alone.
    pub(crate) fn expect(&mut self, load: LoadSample) {
        self.outstanding = load;
    }

    /// Whether a decision should not wait for the grid.
    pub(crate) fn is_poked(&self) -> bool {
        self.is_poked
    }

    pub(crate) fn evaluate(&mut self, scaling: &KnativeScaling, scene: &Scene<'_>) -> GroupAsk {
        let now = scene.now;
        let observation = scene.observation;
        let (is_counted, unknown) = match &observation.load {
            Load::Known { .. } | Load::Sampled => (true, None),
            // What is counted is enough to go up by; nothing goes down.
            Load::Partial { reason, since, .. } => {
                let reason = reason.clone();
                let since = *since;
                (true, Some(MetricValue::Unknown { reason, since }))
            }
            Load::Unknown { .. } => (false, Some(observation.load.value(now))),
        };
        if is_counted && (now >= self.next_tick || self.is_poked) {
            self.tick(scaling, scene);
        }
        let bounds = Bounds {
            min: scene.min,
            max: scene.max,
            is_reachable: scene.is_reachable,
        };
        let replicas = Replicas {
            current: observation.current,
            ready: observation.ready,
        };
        let (want, step) = self.step(scaling, bounds, replicas, scene);
        if want.is_some_and(|want| want > 0) {
            self.last_active = Some(now);
        }
        let mut ask = GroupAsk {
            replicas: step.replicas,
            rules: self.rules(),
            last_active: self.last_active,
            ..GroupAsk::default()
        };
        ask.rules.extend(step.rules);
        self.explain(scaling, scene, unknown, &mut ask);
        self.schedule(scene, step.replicas, step.due, &mut ask);
        ask
    }

    fn step(
        &mut self,
        scaling: &KnativeScaling,
        bounds: Bounds,
        replicas: Replicas,
        scene: &Scene<'_>,
    ) -> (Option<u32>, Step) {
        let status = self.decider.status();
        match &mut self.way {
            Way::Activator(path) => {
                // A waiting request wants a replica as much as the algorithm will once it is
                // counted.
                let want = match status.desired {
                    Some(decided) => Some(decided.max(scene.raise)),
                    None if scene.raise == 0 => None,
                    None => Some(path.first(scaling, bounds, replicas).max(scene.raise)),
                };
                (want, path.step(scaling, bounds, want, replicas, scene.now))
            }
            Way::Serverless(path) => {
                let step = path.step(scaling, bounds, status, replicas, scene.now);
                (status.desired, step)
            }
        }
    }

    fn tick(&mut self, scaling: &KnativeScaling, scene: &Scene<'_>) {
        let now = scene.now;
        let outstanding = std::mem::take(&mut self.outstanding);
        let averages = self
            .collector
            .averages_with(scaling.metric, now, &outstanding);
        let is_scraped = matches!(
            scaling.path,
            RequestPath::Serverless {
                is_scraped: true,
                ..
            }
        );
        // Whoever scrapes may have missed what there is: no decision. Else the activators are the
        // only source, and their silence is a known zero.
        if averages.is_none() && is_scraped {
            self.blind_since = self.blind_since.or(Some(now));
        } else {
            self.blind_since = None;
            self.averages = averages.unwrap_or(NO_LOAD);
            self.decider.decide(
                &spec(scaling, scene.is_reachable),
                self.averages,
                scene.observation.ready,
                now,
            );
        }
        self.is_poked = false;
        if now >= self.next_tick {
            let behind = now.since(self.next_tick).as_micros() / GRID.as_micros();
            let steps = u32::try_from(behind).unwrap_or(u32::MAX).saturating_add(1);
            self.next_tick = self.next_tick + GRID.saturating_mul(steps);
        }
    }

    fn rules(&self) -> Vec<Rule> {
        let limits = self.decider.limits();
        let panic = self.decider.panic_since().zip(limits.panic);
        [
            limits.scale_up.map(|limit| Rule::ScaleUpRate { limit }),
            limits.scale_down.map(|limit| Rule::ScaleDownRate { limit }),
            limits
                .activation
                .map(|scale| Rule::ActivationScale { scale }),
            panic.map(|(since, count)| Rule::Panic { since, count }),
            limits.delay.map(|count| Rule::ScaleDownDelay { count }),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn explain(
        &self,
        scaling: &KnativeScaling,
        scene: &Scene<'_>,
        unknown: Option<MetricValue>,
        ask: &mut GroupAsk,
    ) {
        let metric = match scaling.metric {
            KnativeMetric::Concurrency => "concurrency",
            KnativeMetric::Rps => "rps",
        };
        let wanted = self.decider.limits().wanted;
        if unknown.is_some() {
            ask.unknown.push(metric.to_owned());
        }
        let unknown = unknown.or_else(|| self.blind());
        let is_known = unknown.is_none();
        ask.asks.push(Ask {
            source: scene.source.clone(),
            metric: metric.to_owned(),
            value: unknown.unwrap_or(MetricValue::Known {
                value: self.averages.stable,
                at: scene.now,
            }),
            target: scaling.target,
            replicas: is_known.then_some(wanted),
            is_active: wanted > 0,
        });
        let decided = self.decider.status().desired.unwrap_or(0);
        ask.winner = (is_known && decided > 0 && decided >= scene.raise).then_some(0);
    }

    /// Nothing was scraped to decide by: the last decision stands.
    fn blind(&self) -> Option<MetricValue> {
        let reason = Unknown {
            kind: UnknownKind::NotRead,
            message: "no replica has been scraped within the stable window".to_owned(),
        };
        let since = self.blind_since?;
        Some(MetricValue::Unknown { reason, since })
    }

    /// The grid matters while there is load, a wish, or anything to take away.
    fn schedule(
        &mut self,
        scene: &Scene<'_>,
        replicas: u32,
        due: Option<Timestamp>,
        ask: &mut GroupAsk,
    ) {
        ask.due = due.filter(|&due| due > scene.now);
        let is_quiet = self.collector.is_empty(scene.now);
        let load = &scene.observation.load;
        let is_loaded = *load != Load::Sampled && load.total() != Some(0);
        if replicas > 0 || scene.observation.current > 0 || !is_quiet || is_loaded {
            // While the load is unknown the grid stands still.
            let is_due = self.next_tick <= scene.now;
            ask.look_again(if is_due {
                scene.now + GRID
            } else {
                self.next_tick
            });
        } else {
            self.collector.shrink(scene.now);
        }
    }
}

fn spec(scaling: &KnativeScaling, is_reachable: bool) -> DeciderSpec {
    DeciderSpec {
        total: scaling.total,
        target: scaling.target,
        target_burst_capacity: scaling.target_burst_capacity,
        panic_threshold: scaling.panic_threshold,
        stable_window: scaling.stable_window,
        max_scale_up_rate: scaling.max_scale_up_rate,
        max_scale_down_rate: scaling.max_scale_down_rate,
        initial_scale: scaling.initial_scale,
        activation_scale: scaling.activation_scale,
        is_reachable,
    }
}
