//! What is remembered of a function between decisions.

use std::time::Duration;

use zeron_core::Timestamp;
use zeron_core::job::JobCounts;
use zeron_core::metric::{MetricReading, Unknown};
use zeron_core::path::{PathAsk, PathFacts};
use zeron_core::policy::{ScalePolicy, Scaling, Trigger, TriggerGroup};
use zeron_core::status::TriggerStatus;

use crate::collector::LoadSample;
use crate::http::HttpState;
use crate::jobs::JobMemory;
use crate::knative::KnativeState;
use crate::metric::MetricState;
use crate::raise::RaiseState;

/// How an owner comes to a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// It was just declared: nothing runs, the initial scale applies.
    Created,
    /// It was there before (a restart, a take-over): the owner starts at the count it finds, and
    /// does not take it to zero before one full cooldown of its own evidence.
    Found {
        /// Replicas asked for before.
        replicas: u32,
        /// When anything last kept it above zero, if that was written down.
        last_active: Option<Timestamp>,
    },
}

impl Start {
    pub(crate) fn replicas(self) -> u32 {
        match self {
            Self::Created => 0,
            Self::Found { replicas, .. } => replicas,
        }
    }

    /// What was written down as activity in the future is of now: its writer's clock was ahead.
    fn until(self, now: Timestamp) -> Self {
        match self {
            Self::Created => self,
            Self::Found {
                replicas,
                last_active,
            } => Self::Found {
                replicas,
                last_active: last_active.map(|at| at.min(now)),
            },
        }
    }
}

/// Names one trigger of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TriggerKey {
    /// Position in `groups`.
    pub group: usize,
    /// Position in that group's `triggers`.
    pub trigger: usize,
}

/// What is remembered of a function between decisions: windows, panic, readings, cooldowns.
#[derive(Clone, Debug)]
pub struct DecisionState {
    pub(crate) groups: Vec<GroupState>,
    pub(crate) raise: RaiseState,
    pub(crate) last_active: Option<Timestamp>,
    pub(crate) due: Option<Timestamp>,
    /// Where Jobs are created instead of replicas.
    pub(crate) jobs: Option<Box<JobMemory>>,
    phase: Option<Duration>,
}

#[derive(Clone, Debug)]
pub(crate) enum GroupState {
    Knative(Box<KnativeState>),
    Http(Box<HttpState>),
    Metric(Box<MetricState>),
}

impl GroupState {
    fn new(group: &TriggerGroup, start: Start, now: Timestamp) -> Self {
        match &group.scaling {
            Scaling::Knative(it) => Self::Knative(Box::new(KnativeState::new(it, start, now))),
            Scaling::Http(it) => Self::Http(Box::new(HttpState::new(it, start, now))),
            Scaling::Metric(it) => Self::Metric(Box::new(MetricState::new(it, start, now))),
        }
    }

    /// Takes over new settings of the same dialect; false when the dialect changed.
    fn update(&mut self, scaling: &Scaling, now: Timestamp) -> bool {
        match (self, scaling) {
            (Self::Knative(state), Scaling::Knative(scaling)) => state.resize(scaling, now),
            (Self::Http(state), Scaling::Http(scaling)) => {
                state.rate.resize(scaling.request_rate, now);
            }
            (Self::Metric(state), Scaling::Metric(scaling)) => state.update(scaling, now),
            (Self::Knative(_) | Self::Http(_) | Self::Metric(_), _) => return false,
        }
        true
    }
}

impl DecisionState {
    /// Begins to own a function.
    pub fn new(policy: &ScalePolicy, start: Start, now: Timestamp) -> Self {
        let start = start.until(now);
        let last_active = match start {
            Start::Created => None,
            Start::Found { last_active, .. } => last_active,
        };
        let groups = policy.groups.iter();
        Self {
            groups: groups.map(|g| GroupState::new(g, start, now)).collect(),
            raise: RaiseState::new(),
            last_active,
            due: None,
            jobs: policy.jobs.as_ref().map(|_| Box::default()),
            phase: None,
        }
    }

    /// Puts the KPA's grid at `phase` (below two seconds) after each even second, so that thousands
    /// of functions that are declared together do not decide in the same millisecond. Without it
    /// the grid begins with the function.
    pub fn set_phase(&mut self, phase: Duration, now: Timestamp) {
        self.phase = Some(phase);
        for group in &mut self.groups {
            if let GroupState::Knative(state) = group {
                state.set_phase(phase, now);
            }
        }
    }

    /// Until now there may have been requests that nobody counted: whoever scales on requests
    /// waits for one full period of its own before it consents to zero.
    pub fn doubt(&mut self, now: Timestamp) {
        for group in &mut self.groups {
            match group {
                GroupState::Knative(state) => state.doubt(now),
                GroupState::Http(state) => state.cooldown.doubt(now),
                GroupState::Metric(state) => state.doubt(now),
            }
        }
    }

    /// Takes in what is seen of a request path that is switched.
    pub fn observe_path(&mut self, facts: PathFacts, now: Timestamp) {
        for group in &mut self.groups {
            if let GroupState::Knative(state) = group {
                state.observe_path(facts, now);
            }
        }
    }

    /// What is asked of a request path that is switched; `None` where it is not.
    pub fn path(&self, policy: &ScalePolicy) -> Option<PathAsk> {
        let mut each = policy.groups.iter().zip(&self.groups);
        each.find_map(|(group, state)| match (&group.scaling, state) {
            (Scaling::Knative(scaling), GroupState::Knative(state)) => state.path(scaling),
            _ => None,
        })
    }

    /// Takes over a changed policy: a group of the same object and dialect keeps what it knows.
    /// Groups that are new find `current` replicas.
    pub fn update(&mut self, old: &ScalePolicy, new: &ScalePolicy, current: u32, now: Timestamp) {
        let states = std::mem::take(&mut self.groups);
        let mut states: Vec<_> = old.groups.iter().map(|g| &g.source).zip(states).collect();
        let start = Start::Found {
            replicas: current,
            last_active: self.last_active,
        };
        let groups = new.groups.iter().map(|group| {
            let same = states.iter_mut().position(|(source, state)| {
                **source == group.source && state.update(&group.scaling, now)
            });
            match same {
                Some(at) => states.swap_remove(at).1,
                None => GroupState::new(group, start, now),
            }
        });
        self.groups = groups.collect();
        if let Some(phase) = self.phase {
            self.set_phase(phase, now);
        }
        if let Some(jobs) = &mut self.jobs
            && !has_same_triggers(old, new)
        {
            jobs.begin_again();
        }
    }

    /// There are so many Jobs from `now` on.
    pub fn observe_jobs(&mut self, counts: JobCounts, now: Timestamp) {
        self.jobs.get_or_insert_default().count(now, counts);
    }

    /// The Jobs now.
    pub fn job_counts(&self) -> JobCounts {
        let jobs = self.jobs.as_ref();
        jobs.map(|jobs| jobs.newest()).unwrap_or_default()
    }

    /// Whether every trigger has answered since Jobs were last created for what they say: until
    /// then there is nothing to decide.
    pub fn is_job_round_complete(&self, policy: &ScalePolicy) -> bool {
        let triggers = triggers_of_jobs(policy).len();
        let jobs = self.jobs.as_ref();
        jobs.is_some_and(|jobs| jobs.is_complete(triggers))
    }

    /// Adds a second's load to every window that counts requests.
    pub fn observe_load(&mut self, at: Timestamp, sample: &LoadSample) {
        for group in &mut self.groups {
            match group {
                GroupState::Knative(state) => state.record(at, sample),
                GroupState::Http(state) => state.record(at, sample),
                GroupState::Metric(state) => state.record(at, sample),
            }
        }
    }

    /// Takes `load` for what reporters will add to this second, in the next decision alone: they
    /// speak once a second, each at its own moment, and who has yet to speak is not idle.
    pub fn expect_load(&mut self, load: &LoadSample) {
        for group in &mut self.groups {
            if let GroupState::Knative(state) = group {
                state.expect(*load);
            }
        }
    }

    /// Takes in what a source answered to one poll. A failure counts once.
    pub fn observe_metric(
        &mut self,
        key: TriggerKey,
        result: Result<Vec<MetricReading>, Unknown>,
        now: Timestamp,
    ) {
        if let Some(GroupState::Metric(state)) = self.groups.get_mut(key.group) {
            state.observe(key.trigger, result, now);
        }
        if let Some(jobs) = &mut self.jobs {
            jobs.answered(key.trigger);
        }
    }

    /// A source said by itself that a trigger has work.
    pub fn observe_push(&mut self, key: TriggerKey) {
        if let Some(GroupState::Metric(state)) = self.groups.get_mut(key.group) {
            state.push(key.trigger);
        }
    }

    /// Every trigger of a scaler with its newest value, in the order of their manifests.
    pub fn triggers(&self, policy: &ScalePolicy, now: Timestamp) -> Vec<TriggerStatus> {
        let mut triggers = Vec::new();
        for (group, state) in policy.groups.iter().zip(&self.groups) {
            if let (Scaling::Metric(scaling), GroupState::Metric(state)) = (&group.scaling, state) {
                triggers.extend(state.triggers(scaling, &group.source, now));
            }
        }
        triggers
    }

    /// Whether load arrived that the KPA wants to decide on before its grid does.
    pub fn is_poked(&self) -> bool {
        self.groups.iter().any(|group| match group {
            GroupState::Knative(state) => state.is_poked(),
            GroupState::Http(_) | GroupState::Metric(_) => false,
        })
    }

    /// When to decide again although nothing happens; `None` = the function is at rest.
    pub fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// When anything last kept the function above zero.
    pub fn last_active(&self) -> Option<Timestamp> {
        self.last_active
    }
}

/// Jobs are created for the triggers of one object.
fn triggers_of_jobs(policy: &ScalePolicy) -> &[Trigger] {
    match policy.groups.first().map(|group| &group.scaling) {
        Some(Scaling::Metric(metric)) => &metric.triggers,
        Some(Scaling::Knative(_) | Scaling::Http(_)) | None => &[],
    }
}

fn has_same_triggers(old: &ScalePolicy, new: &ScalePolicy) -> bool {
    triggers_of_jobs(old) == triggers_of_jobs(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activity_that_a_clock_ahead_wrote_down_is_of_now() {
        let now = Timestamp::from_secs(1_000);
        let found = |last_active| Start::Found {
            replicas: 2,
            last_active,
        };
        let (ahead, before) = (Timestamp::from_secs(9_000), Timestamp::from_secs(900));
        assert_eq!(found(Some(ahead)).until(now), found(Some(now)));
        assert_eq!(found(Some(before)).until(now), found(Some(before)));
        assert_eq!(found(None).until(now), found(None));
        assert_eq!(Start::Created.until(now), Start::Created);
    }
}
