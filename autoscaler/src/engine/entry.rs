//! One function as the engine owns it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use zeron_core::decision::Cause;
use zeron_core::function::Protocol;
use zeron_core::metric::{Unknown, UnknownKind};
use zeron_core::path::{PathFacts, RequestPath};
use zeron_core::policy::{Scaling, Writer};
use zeron_core::roles::BoundTrigger;
use zeron_core::status::TriggerStatus;
use zeron_core::{Decision, EndpointSnapshot, Function, FunctionId, JobCounts, Timestamp};

use super::Found;
use super::replicas::{Replicas, Step};
use super::reporters::Reporters;
use super::sources::trigger_at;
use super::view::{Facts, View};
use crate::decide::decide;
use crate::kpa::GRID;
use crate::observation::{Load, Observation};
use crate::raise::counts_requests;
use crate::state::{DecisionState, Start, TriggerKey};

/// A trigger of a scaler, bound or not.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) key: TriggerKey,
    pub(crate) bound: Result<BoundTrigger, Unknown>,
}

/// One function: definition, state, replicas, load.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) function: Arc<Function>,
    pub(crate) state: DecisionState,
    pub(crate) replicas: Replicas,
    pub(crate) endpoints: Option<Arc<EndpointSnapshot>>,
    pub(crate) in_flight: u32,
    pub(crate) queued: u32,
    /// Found, with a count that is not known yet: nothing is decided.
    pub(crate) uncounted: Option<Found>,
    /// Whether a report has come since it is ours: before that its load is not known.
    pub(crate) is_heard: bool,
    /// When fewer replicas were last asked for.
    pub(crate) lowered_at: Option<Timestamp>,
    pub(crate) bindings: Vec<Binding>,
    /// When Jobs were last ordered.
    pub(crate) ordered_at: Option<Instant>,
    /// What is seen of a switched path.
    path: Option<PathFacts>,
    /// Who samples the load of that path.
    pub(super) reporters: Reporters,
    pub(crate) view: Arc<View>,
    triggers: Arc<[TriggerStatus]>,
    since: Timestamp,
}

/// What decisions of all functions share.
#[derive(Clone, Debug)]
pub(crate) struct Circumstances {
    /// Set while nobody counts requests.
    pub(crate) lost: Option<(Unknown, Timestamp)>,
    /// Set while some of several do not.
    pub(crate) unheard: Option<(Unknown, Timestamp)>,
    pub(crate) cap: Option<u32>,
    pub(crate) now: Timestamp,
}

impl Entry {
    /// A function that is new to the engine, with what the back end says of it.
    pub(crate) fn new(
        function: Arc<Function>,
        endpoints: Option<Arc<EndpointSnapshot>>,
        start: Start,
        now: Timestamp,
    ) -> Self {
        let found = start.replicas();
        let last_active = match start {
            Start::Created => None,
            Start::Found { last_active, .. } => last_active,
        };
        let mut state = DecisionState::new(&function.scale, start, now);
        state.set_phase(phase(&function.id), now);
        let triggers: Arc<[TriggerStatus]> = Arc::new([]);
        let facts = Facts {
            function: Arc::clone(&function),
            endpoints: endpoints.clone(),
            desired: found,
            asked: found,
            is_draining: false,
            in_flight: 0,
            queued: 0,
            triggers: Arc::clone(&triggers),
            since: now,
            last_active,
            failed: None,
            path: None,
            jobs: None,
        };
        Self {
            state,
            function,
            replicas: Replicas::new(found),
            endpoints,
            in_flight: 0,
            queued: 0,
            uncounted: None,
            is_heard: matches!(start, Start::Created),
            lowered_at: None,
            bindings: Vec::new(),
            ordered_at: None,
            path: None,
            reporters: Reporters::default(),
            view: Arc::new(View::new(facts)),
            triggers,
            since: now,
        }
    }

    /// The count of a function that was found is known now.
    pub(crate) fn begin(&mut self, start: Start, now: Timestamp) {
        self.state = DecisionState::new(&self.function.scale, start, now);
        self.state.set_phase(phase(&self.function.id), now);
        self.replicas = Replicas::new(start.replicas());
        self.reporters = Reporters::default();
        self.observe_path_again(now);
    }

    /// Takes over another definition of the same function.
    pub(crate) fn redefine(&mut self, function: Arc<Function>, now: Timestamp) {
        let current = self.replicas.current();
        self.state
            .update(&self.function.scale, &function.scale, current, now);
        let was_theirs = self.function.scale.writer == Writer::External;
        self.function = function;
        if was_theirs && self.function.scale.writer == Writer::Zeron {
            // Whoever wrote the count until now need not have told what for.
            self.doubt(now);
        }
        self.observe_path_again(now);
    }

    /// Takes in what is seen of a switched path; false when that is nothing new.
    pub(crate) fn observe_path(&mut self, mut facts: PathFacts, now: Timestamp) -> bool {
        let before = self.path.and_then(|before| before.found);
        facts.found = before.or(facts.found);
        if self.path == Some(facts) {
            return false;
        }
        self.path = Some(facts);
        self.observe_path_again(now);
        true
    }

    /// A group that is new knows nothing yet.
    fn observe_path_again(&mut self, now: Timestamp) {
        if let Some(facts) = self.path {
            self.state.observe_path(facts, now);
        }
    }

    /// Takes in a snapshot; `declared` is what the platform says of the count, if it says so.
    pub(crate) fn observe_endpoints(
        &mut self,
        snapshot: Arc<EndpointSnapshot>,
        declared: Option<u32>,
    ) {
        if self.function.scale.writer == Writer::External && !self.has_jobs() {
            self.replicas
                .follow(declared.unwrap_or_else(|| existing(&snapshot)));
        }
        self.endpoints = Some(snapshot);
    }

    /// Whether Jobs are created for it instead of replicas.
    pub(crate) fn has_jobs(&self) -> bool {
        self.function.scale.jobs.is_some()
    }

    /// There are so many Jobs now.
    pub(crate) fn observe_jobs(&mut self, counts: JobCounts, now: Timestamp) {
        if self.has_jobs() {
            self.state.observe_jobs(counts, now);
            self.replicas.follow(counts.running);
        }
    }

    /// The time of an answer to a question of `asked`. Jobs are never created for an answer to a
    /// question that is older than those that were created last: then there is none.
    pub(crate) fn measured_at(&self, asked: Instant, now: Timestamp) -> Option<Timestamp> {
        if !self.has_jobs() {
            return Some(now);
        }
        let is_new = self.ordered_at.is_none_or(|ordered| ordered < asked);
        let age = u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX);
        is_new.then(|| Timestamp::from_micros(now.as_micros().saturating_sub(age)))
    }

    /// Its Jobs, where it has some instead of replicas.
    fn jobs(&self) -> Option<JobCounts> {
        self.has_jobs().then(|| self.state.job_counts())
    }

    /// A request arrived: what was on its way to zero comes back, to wait as long as its groups
    /// say. Where none of them counts requests, only what is in flight holds it.
    pub(crate) fn revive(&mut self) -> Vec<Step> {
        let is_counted = self.function.scale.groups.iter().any(counts_requests);
        if is_counted && self.replicas.current() == 0 {
            self.replicas.cancel_all()
        } else {
            Vec::new()
        }
    }

    /// Until now there may have been requests that nobody counted.
    pub(crate) fn doubt(&mut self, now: Timestamp) {
        if self.replicas.asked() > 0 {
            self.state.doubt(now);
        }
    }

    pub(crate) fn decide(&mut self, cause: Cause, around: &Circumstances) -> Decision {
        if self.is_sampled() {
            let outstanding = self.reporters.outstanding(around.now);
            self.state.expect_load(&outstanding);
        }
        let load = match (&around.lost, &around.unheard) {
            _ if self.is_sampled() => Load::Sampled,
            (Some((reason, since)), _) if self.has_requests() => Load::Unknown {
                reason: reason.clone(),
                since: *since,
            },
            (None, Some((reason, since))) if self.has_requests() => Load::Partial {
                in_flight: self.in_flight,
                queued: self.queued,
                reason: reason.clone(),
                since: *since,
            },
            (None, None) if self.has_requests() && !self.is_heard => Load::Partial {
                in_flight: self.in_flight,
                queued: self.queued,
                reason: Unknown {
                    kind: UnknownKind::Transport,
                    message: "no report has come since it was taken over".to_owned(),
                },
                since: self.since,
            },
            _ => Load::Known {
                in_flight: self.in_flight,
                queued: self.queued,
            },
        };
        let observation = Observation {
            function: self.function.id.clone(),
            cause,
            current: self.replicas.current(),
            ready: match self.jobs() {
                Some(jobs) => jobs.running.saturating_sub(jobs.pending),
                None => self.endpoints.as_ref().map_or(0, |it| it.ready()),
            },
            load,
            concurrency_limit: self.function.concurrency_limit,
            cap: around.cap,
        };
        decide(
            &self.function.scale,
            &observation,
            &mut self.state,
            around.now,
        )
    }

    /// What a decision on a report of load is to be called: the KPA's windows take it in for their
    /// grid, other groups read it as they read any source.
    pub(crate) fn report_cause(&self) -> Cause {
        let mut groups = self.function.scale.groups.iter();
        if groups.any(|group| matches!(group.scaling, Scaling::Knative(_))) {
            Cause::Grid
        } else {
            Cause::Poll
        }
    }

    /// Whether the activator may have requests at its replicas.
    pub(crate) fn has_requests(&self) -> bool {
        self.function.protocol != Protocol::None
    }

    /// Whether its requests pass a path that Knative switches: samples of its load come, no counts.
    fn is_sampled(&self) -> bool {
        let mut groups = self.function.scale.groups.iter();
        groups.any(|group| match &group.scaling {
            Scaling::Knative(knative) => knative.path != RequestPath::Activator,
            Scaling::Http(_) | Scaling::Metric(_) => false,
        })
    }

    /// Whether our activators have all of its requests: its replicas are drained through them.
    pub(crate) fn is_counted(&self) -> bool {
        self.has_requests() && !self.is_sampled()
    }

    /// Takes the newest values of its triggers, for people to look at.
    pub(crate) fn refresh_triggers(&mut self, now: Timestamp) {
        let mut triggers = self.state.triggers(&self.function.scale, now);
        self.tell_trouble(&mut triggers);
        self.triggers = triggers.into();
    }

    fn tell_trouble(&self, triggers: &mut [TriggerStatus]) {
        for Binding { key, bound } in &self.bindings {
            let bound = bound.as_ref().ok();
            let trouble = bound.and_then(|it| it.scaler.push_trouble(it.handle));
            let (Some(trouble), Some((spec, _))) = (trouble, trigger_at(&self.function, *key))
            else {
                continue;
            };
            let source = &self.function.scale.groups[key.group].source;
            let is_its = |it: &&mut TriggerStatus| it.index == spec.index && it.source == *source;
            for status in triggers.iter_mut().filter(is_its) {
                status.push_trouble = Some(trouble.clone());
            }
        }
    }

    /// Shows what is so now; true when that looks different from before.
    pub(crate) fn publish(&self, desired: u32) -> bool {
        self.view.update(Facts {
            function: Arc::clone(&self.function),
            endpoints: self.endpoints.clone(),
            desired,
            asked: self.replicas.asked(),
            is_draining: self.replicas.is_draining(),
            in_flight: self.in_flight,
            queued: self.queued,
            triggers: Arc::clone(&self.triggers),
            since: self.since,
            last_active: self.state.last_active(),
            failed: None,
            path: self.state.path(&self.function.scale),
            jobs: self.jobs(),
        })
    }
}

/// Where in the KPA's grid a function decides: anywhere, and always at the same place.
fn phase(function: &FunctionId) -> Duration {
    let mut hasher = DefaultHasher::new();
    function.hash(&mut hasher);
    let grid = u64::try_from(GRID.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(hasher.finish() % grid)
}

/// Replicas that a platform already has for a function.
pub(crate) fn existing(snapshot: &EndpointSnapshot) -> u32 {
    snapshot.live().saturating_add(snapshot.pending)
}
