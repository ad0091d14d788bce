//! How many Jobs to create for what triggers measure: once per answer of all of them, never on what
//! is unknown, never twice for the same.

mod arithmetic;
mod memory;
#[cfg(test)]
mod tests;

use zeron_core::Timestamp;
use zeron_core::decision::{Ask, Decision, Rule};
use zeron_core::job::{JobCalculation, JobScaling};
use zeron_core::metric::MetricValue;
use zeron_core::policy::{MetricScaling, ScalePolicy, Scaling, TriggerGroup, Writer};

use crate::group::Scene;
use crate::metric::freshness;
use crate::observation::Observation;
use crate::state::{DecisionState, GroupState};

use arithmetic::{Backlog, Bounds, Unfinished, Wanted};
pub(crate) use memory::JobMemory;

/// Everything that one evaluation looks at.
struct Evaluation {
    bounds: Bounds,
    /// The newest value of each trigger.
    readings: Vec<Vec<Ask>>,
    unfinished: Unfinished,
}

/// How many Jobs there should be, and why: `desired` less `current` are created. Pure.
///
/// The answers of the triggers are used up by it.
pub(crate) fn decide(
    policy: &ScalePolicy,
    jobs: &JobScaling,
    observation: &Observation,
    state: &mut DecisionState,
    now: Timestamp,
) -> Decision {
    let mut decision = Decision {
        function: observation.function.clone(),
        at: now,
        cause: observation.cause,
        current: observation.current,
        ready: observation.ready,
        desired: observation.current,
        asks: Vec::new(),
        winner: None,
        rules: Vec::new(),
    };
    let Some(evaluation) = evaluate(policy, observation, state, now) else {
        return decision;
    };
    let created = evaluation.conclude(jobs, &mut decision);
    if decision.asks.iter().any(|ask| ask.is_active) {
        state.last_active = Some(now);
    }
    decision.desired = observation.current.saturating_add(created);
    hold(policy, &mut decision);
    decision
}

fn evaluate(
    policy: &ScalePolicy,
    observation: &Observation,
    state: &mut DecisionState,
    now: Timestamp,
) -> Option<Evaluation> {
    let group = policy.groups.first()?;
    let Scaling::Metric(scaling) = &group.scaling else {
        return None;
    };
    let Some(GroupState::Metric(metric)) = state.groups.first() else {
        return None;
    };
    let bounds = bounds(group, observation.cap);
    let scene = Scene {
        source: &group.source,
        min: bounds.min,
        max: bounds.max,
        is_reachable: true,
        observation,
        raise: 0,
        now,
    };
    let readings = metric.read(scaling, &scene);
    let memory = state.jobs.get_or_insert_default();
    memory.begin_again();
    Some(Evaluation {
        bounds,
        unfinished: counted(memory, &readings, scaling, now),
        readings,
    })
}

fn bounds(group: &TriggerGroup, cap: Option<u32>) -> Bounds {
    let max = group.max.into_iter().chain(cap).min().unwrap_or(u32::MAX);
    Bounds {
        min: group.min.min(max),
        max,
    }
}

/// The Jobs to set against the values: the most that there were since the oldest of them.
fn counted(
    memory: &mut JobMemory,
    readings: &[Vec<Ask>],
    scaling: &MetricScaling,
    now: Timestamp,
) -> Unfinished {
    memory.forget_before(memory::before(now, freshness(scaling.polling_interval)));
    let measured = readings.iter().flatten().filter_map(|ask| match ask.value {
        MetricValue::Known { at, .. } => Some(at),
        MetricValue::Unknown { .. } => None,
    });
    memory.most_since(measured.min().unwrap_or(now))
}

impl Evaluation {
    /// Fills in what led to the number of Jobs that are created.
    fn conclude(self, jobs: &JobScaling, decision: &mut Decision) -> u32 {
        let mut backlogs = Vec::new();
        let mut places = Vec::new();
        let mut place = 0;
        for asks in &self.readings {
            match backlog(asks) {
                Ok(Some(backlog)) => {
                    backlogs.push(backlog);
                    places.push(place);
                }
                Ok(None) => {}
                Err(metric) => decision.rules.push(Rule::UnknownJobs { metric }),
            }
            place += asks.len();
        }
        let (backlog, chosen) = arithmetic::join(jobs.calculation, &backlogs);
        let wanted = arithmetic::wanted(backlog, self.bounds);
        let created = arithmetic::to_create(jobs.strategy, wanted, self.bounds, self.unfinished);
        decision.winner = match jobs.calculation {
            JobCalculation::Max | JobCalculation::Min => chosen.map(|at| places[at]),
            JobCalculation::Avg | JobCalculation::Sum => None,
        };
        decision.rules.extend(self.rules(backlog, wanted, created));
        decision.asks = self.readings.into_iter().flatten().collect();
        created
    }

    fn rules(&self, backlog: Option<Backlog>, wanted: Wanted, created: u32) -> Vec<Rule> {
        let Bounds { min, max } = self.bounds;
        let Unfinished { running, pending } = self.unfinished;
        let mut rules = Vec::new();
        let asked = backlog.map_or(0, |it| crate::kpa::as_count(it.jobs.ceil()));
        if asked > wanted.jobs {
            rules.push(Rule::Max { max, from: asked });
        }
        if running < min {
            rules.push(Rule::Min { min, from: running });
        }
        rules.push(Rule::Jobs {
            wanted: wanted.jobs,
            unfinished: running,
            pending,
            created,
        });
        rules
    }
}

/// What a trigger asks for: `None` without work, the name of a metric that is unknown. As in the
/// original the values of its metrics are added, over the mean of their targets.
fn backlog(asks: &[Ask]) -> Result<Option<Backlog>, String> {
    if let Some(unknown) = asks.iter().find(|ask| ask.replicas.is_none()) {
        return Err(unknown.metric.clone());
    }
    if !asks.iter().any(|ask| ask.is_active) {
        return Ok(None);
    }
    let queue: f64 = asks.iter().map(value).sum();
    let targets: f64 = asks.iter().map(|ask| ask.target).sum();
    let target = targets / f64::from(u32::try_from(asks.len()).unwrap_or(u32::MAX));
    Ok(Some(Backlog {
        queue,
        jobs: queue / target,
    }))
}

fn value(ask: &Ask) -> f64 {
    match ask.value {
        MetricValue::Known { value, .. } => value,
        MetricValue::Unknown { .. } => 0.0,
    }
}

/// People, or somebody else, may create Jobs instead: then nothing is created here.
fn hold(policy: &ScalePolicy, decision: &mut Decision) {
    let at = decision.current;
    let rule = match (policy.writer, policy.pause.is_frozen) {
        (Writer::External, _) => Rule::ExternalWriter,
        (Writer::Zeron, true) => Rule::Paused { at },
        (Writer::Zeron, false) => return,
    };
    decision.desired = at;
    decision.winner = None;
    decision.rules.push(rule);
}
