//! What one group of triggers asks for.

use zeron_core::Timestamp;
use zeron_core::decision::{Ask, Rule};
use zeron_core::id::ObjectRef;

use crate::observation::Observation;

/// What a group evaluation sees beside its own settings and state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene<'a> {
    /// The object that has the group.
    pub(crate) source: &'a ObjectRef,
    /// At least so many; zero while no route leads here.
    pub(crate) min: u32,
    /// At most so many.
    pub(crate) max: u32,
    /// Whether a route leads here.
    pub(crate) is_reachable: bool,
    /// What is so now.
    pub(crate) observation: &'a Observation,
    /// What the requests of this moment alone ask for.
    pub(crate) raise: u32,
    /// Now.
    pub(crate) now: Timestamp,
}

/// What one group asks for, smoothed and bounded by its own rules.
#[derive(Clone, Debug, Default)]
pub(crate) struct GroupAsk {
    /// Replicas asked for; zero = this group consents to none.
    pub(crate) replicas: u32,
    /// Every input and what it would ask for.
    pub(crate) asks: Vec<Ask>,
    /// Which of `asks` gave `replicas`.
    pub(crate) winner: Option<usize>,
    /// Rules that changed the number.
    pub(crate) rules: Vec<Rule>,
    /// Inputs that are unknown: the function does not go down.
    pub(crate) unknown: Vec<String>,
    /// When anything last kept it above zero.
    pub(crate) last_active: Option<Timestamp>,
    /// When to look again although nothing happens.
    pub(crate) due: Option<Timestamp>,
}

impl GroupAsk {
    /// Asks to be looked at again at `at`, or earlier.
    pub(crate) fn look_again(&mut self, at: Timestamp) {
        self.due = earliest(self.due, Some(at));
    }
}

/// The earlier of two moments, where there are any.
pub(crate) fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
