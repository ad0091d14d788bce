//! One function as the engine owns it.

use std::sync::Arc;

use zeron_core::decision::Cause;
use zeron_core::function::Protocol;
use zeron_core::metric::Unknown;
use zeron_core::policy::{Scaling, Writer};
use zeron_core::roles::BoundTrigger;
use zeron_core::status::TriggerStatus;
use zeron_core::{Decision, EndpointSnapshot, Function, Timestamp};

use super::replicas::Replicas;
use super::view::{Facts, View};
use crate::decide::decide;
use crate::observation::{Load, Observation};
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
    pub(crate) bindings: Vec<Binding>,
    pub(crate) view: Arc<View>,
    triggers: Arc<[TriggerStatus]>,
    since: Timestamp,
}

/// What decisions of all functions share.
#[derive(Clone, Debug)]
pub(crate) struct Circumstances {
    /// Set while nobody counts requests.
    pub(crate) lost: Option<(Unknown, Timestamp)>,
    pub(crate) cap: Option<u32>,
    pub(crate) now: Timestamp,
}

impl Entry {
    /// A function that is new to the engine, with what the back end says of it.
    pub(crate) fn new(
        function: Arc<Function>,
        endpoints: Option<Arc<EndpointSnapshot>>,
        now: Timestamp,
    ) -> Self {
        let found = endpoints.as_deref().map_or(0, existing);
        let start = if found == 0 {
            Start::Created
        } else {
            Start::Found {
                replicas: found,
                last_active: None,
            }
        };
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
            last_active: None,
        };
        Self {
            state: DecisionState::new(&function.scale, start, now),
            function,
            replicas: Replicas::new(found),
            endpoints,
            in_flight: 0,
            queued: 0,
            bindings: Vec::new(),
            view: Arc::new(View::new(facts)),
            triggers,
            since: now,
        }
    }

    /// Takes over another definition of the same function.
    pub(crate) fn redefine(&mut self, function: Arc<Function>, now: Timestamp) {
        let current = self.replicas.current();
        self.state
            .update(&self.function.scale, &function.scale, current, now);
        self.function = function;
    }

    pub(crate) fn observe_endpoints(&mut self, snapshot: Arc<EndpointSnapshot>) {
        if self.function.scale.writer == Writer::External {
            self.replicas.follow(existing(&snapshot));
        }
        self.endpoints = Some(snapshot);
    }

    pub(crate) fn decide(&mut self, cause: Cause, around: &Circumstances) -> Decision {
        let load = match &around.lost {
            Some((reason, since)) if self.has_requests() => Load::Unknown {
                reason: reason.clone(),
                since: *since,
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
            ready: self.endpoints.as_ref().map_or(0, |it| it.ready()),
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

    /// Takes the newest values of its triggers, for people to look at.
    pub(crate) fn refresh_triggers(&mut self, now: Timestamp) {
        self.triggers = self.state.triggers(&self.function.scale, now).into();
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
        })
    }
}

/// Replicas that a platform already has for a function.
fn existing(snapshot: &EndpointSnapshot) -> u32 {
    snapshot.live().saturating_add(snapshot.pending)
}
