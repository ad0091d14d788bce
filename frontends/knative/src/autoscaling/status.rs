//! The status of a PodAutoscaler, from what is seen and what the engine asks.

use zeron_core::Timestamp;
use zeron_core::path::{Activity, FoundPath, PathAsk, PathFacts, PathMode};

use super::condition::{self, Condition, ConditionStatus, READY, Says, find};
use super::pod_autoscaler::{PodAutoscaler, PodAutoscalerStatus};
use super::serverless_service::{ServerlessService, SksMode};

const ACTIVE: &str = "Active";
const INITIALIZED: &str = "ScaleTargetInitialized";
const SKS_READY: &str = "SKSReady";
/// What `Ready` sums up, in the order in which equally old ones are told.
const DEPENDENTS: [&str; 3] = [ACTIVE, SKS_READY, INITIALIZED];

/// Everything that a status tells of.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Its ServerlessService, unless that is somebody else's.
    pub sks: Option<&'a ServerlessService>,
    /// The kind of a child whose name somebody else's object has.
    pub not_owned: Option<&'a str>,
    /// What the engine asks; `None`: it has not spoken of the revision yet.
    pub ask: Option<&'a PathAsk>,
    /// Pods that are ready.
    pub ready: u32,
    /// The time now.
    pub now: Timestamp,
}

impl PodAutoscaler {
    /// Its status now. A condition keeps its time unless it says something else than before.
    pub fn status_now(&self, seen: &Seen<'_>) -> PodAutoscalerStatus {
        let mut status = self.status.clone();
        status.observed_generation = self.metadata.generation;
        initialize(&mut status.conditions, seen.now);
        // Where activators see everything its Service is not asked, and named all the same.
        let private = seen.sks.map(|sks| sks.status.private_service_name.as_str());
        let private = private.filter(|name| !name.is_empty());
        if let Some(name) = private {
            name.clone_into(&mut status.metrics_service_name);
        }
        if let Some(kind) = seen.not_owned {
            let name = &self.metadata.name;
            let message = format!("There is an existing {kind} {name:?} that we do not own.");
            let says = Says::no("NotOwned", &message);
            condition::set(&mut status.conditions, ACTIVE, says, seen.now);
            sum_up(&mut status.conditions, seen.now);
            return status;
        }
        if let Some(sks) = seen.sks.filter(|_| private.is_some()) {
            status.service_name.clone_from(&sks.status.service_name);
        }
        if let Some(says) = sks_says(seen.sks) {
            condition::set(&mut status.conditions, SKS_READY, says, seen.now);
        }
        if let Some(ask) = seen.ask {
            let ready = if private.is_some() { seen.ready } else { 0 };
            tell_scale(&mut status, ask, ready);
            tell_activity(&mut status.conditions, ask, seen.now);
        }
        sum_up(&mut status.conditions, seen.now);
        status
    }

    /// What the engine must know to go on where somebody else ended; `None`: nobody began.
    pub fn found_path(&self) -> Option<FoundPath> {
        let active = self.status.condition(ACTIVE)?;
        let activity = match (active.status, active.reason.as_str()) {
            (ConditionStatus::True, _) => Activity::Active,
            (ConditionStatus::Unknown, _) => Activity::Activating,
            (ConditionStatus::False, "TimedOut") => Activity::TimedOut,
            (ConditionStatus::False, _) => Activity::NoTraffic,
        };
        let initialized = self.status.condition(INITIALIZED);
        Some(FoundPath {
            activity,
            since: active.last_transition_time?,
            is_initialized: initialized.is_some_and(|c| c.status == ConditionStatus::True),
        })
    }
}

impl ServerlessService {
    /// What it says of the path of the requests. `probe` and `found` are not its to say.
    pub fn path_facts(&self) -> PathFacts {
        PathFacts {
            has_private_service: !self.status.private_service_name.is_empty(),
            has_service: !self.status.service_name.is_empty(),
            proxied_since: self.proxied_since(),
            ..PathFacts::default()
        }
    }
}

impl From<PathMode> for SksMode {
    fn from(mode: PathMode) -> Self {
        match mode {
            PathMode::Proxy => Self::Proxy,
            PathMode::Serve => Self::Serve,
        }
    }
}

/// Conditions that are not there yet are Unknown, unless the sum of all says that they hold.
fn initialize(conditions: &mut Vec<Condition>, now: Timestamp) {
    let is_ready = find(conditions, READY).is_some_and(|c| c.status == ConditionStatus::True);
    let missing = match is_ready {
        true => ConditionStatus::True,
        false => ConditionStatus::Unknown,
    };
    for name in DEPENDENTS {
        if find(conditions, name).is_none() {
            condition::set(conditions, name, Says::only(missing), now);
        }
    }
}

/// `None`: as before. Its reconciler is at work on the newest spec, which says nothing of the path
/// that there is meanwhile.
fn sks_says(sks: Option<&ServerlessService>) -> Option<Says<'_>> {
    let Some(sks) = sks.filter(|sks| !sks.status.private_service_name.is_empty()) else {
        return Some(Says::unknown("NotReady", "No Private Service Name"));
    };
    let ready = sks.ready();
    match ready.map(|condition| condition.status) {
        Some(ConditionStatus::True) if sks.is_observed() => Some(Says::only(ConditionStatus::True)),
        Some(ConditionStatus::True) => None,
        _ => {
            let message = ready.map_or("", |condition| &condition.message);
            Some(Says::unknown("NotReady", message))
        }
    }
}

fn tell_scale(status: &mut PodAutoscalerStatus, ask: &PathAsk, ready: u32) {
    let count = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    status.actual_scale = Some(count(ready));
    // Not known never takes the place of a number: it is not known only after a restart.
    status.desired_scale = match (ask.desired, status.desired_scale) {
        (Some(desired), _) => Some(count(desired)),
        (None, Some(known)) if known >= 0 => Some(known),
        (None, _) => Some(-1),
    };
}

fn tell_activity(conditions: &mut Vec<Condition>, ask: &PathAsk, now: Timestamp) {
    if ask.is_initialized {
        let says = Says::only(ConditionStatus::True);
        condition::set(conditions, INITIALIZED, says, now);
    }
    let says = match ask.activity {
        Activity::Active => Says::only(ConditionStatus::True),
        Activity::Activating => Says::unknown(
            "Queued",
            "Requests to the target are being buffered as resources are provisioned.",
        ),
        Activity::NoTraffic => Says::no("NoTraffic", "The target is not receiving traffic."),
        Activity::TimedOut => Says::no("TimedOut", "The target could not be activated."),
    };
    condition::set(conditions, ACTIVE, says, ask.activity_since);
}

/// `Ready`: what fails, else what is not known (Active before all, then the newest), else True.
fn sum_up(conditions: &mut Vec<Condition>, now: Timestamp) {
    let dependent = |name: &str| find(conditions, name);
    let is = |condition: &&Condition, status| condition.status == status;
    let active = dependent(ACTIVE).filter(|c| !is(c, ConditionStatus::True));
    let unknown = || {
        let others = DEPENDENTS[1..].iter().filter_map(|name| dependent(name));
        let unknown = others.filter(|c| is(c, ConditionStatus::Unknown));
        // Of equally new ones the first counts.
        unknown.rev().max_by_key(|c| c.last_transition_time)
    };
    let failing = active.or_else(unknown).cloned();
    let says = match &failing {
        Some(condition) => condition.says(),
        None => Says::only(ConditionStatus::True),
    };
    condition::set(conditions, READY, says, now);
}
