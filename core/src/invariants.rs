//! What must be true of every decision, written once for property tests, simulations and checks.

use crate::decision::{Decision, Rule};
use crate::policy::ScalePolicy;

/// What a decision was made from, as far as the invariants look at it.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Requests at replicas and waiting; `None` = unknown.
    pub requests: Option<u32>,
    /// Some input is unknown, and no fallback replaces it.
    pub is_any_unknown: bool,
    /// What the platform can run at most; `None` = no limit.
    pub cap: Option<u32>,
}

/// A decision that must not be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// More than the smallest explicit maximum.
    #[error("{desired} replicas are above the maximum of {max}")]
    AboveMax {
        /// The decision.
        desired: u32,
        /// The joined maximum.
        max: u32,
    },
    /// Fewer than the largest explicit minimum, without a rule that allows it.
    #[error("{desired} replicas are below the minimum of {min}")]
    BelowMin {
        /// The decision.
        desired: u32,
        /// The joined minimum.
        min: u32,
    },
    /// Lower although something is unknown.
    #[error("from {current} to {desired} replicas while an input is unknown")]
    LoweredWhileUnknown {
        /// Before.
        current: u32,
        /// The decision.
        desired: u32,
    },
    /// Zero although requests are there.
    #[error("to zero with {requests} requests there")]
    ZeroWhileBusy {
        /// At replicas and waiting.
        requests: u32,
    },
    /// The winner is not among the inputs, or asks for less than was decided.
    #[error("the winner does not explain the decision")]
    Unexplained,
}

/// Every invariant that `decision` breaks.
pub fn violations(policy: &ScalePolicy, facts: Facts, decision: &Decision) -> Vec<Violation> {
    if is_fixed(policy, decision) {
        return Vec::new();
    }
    [
        above_max(policy, facts, decision),
        below_min(policy, decision),
        lowered(policy, facts, decision),
        zero_while_busy(policy, facts, decision),
        unexplained(decision),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// People or somebody else decided.
fn is_fixed(policy: &ScalePolicy, decision: &Decision) -> bool {
    policy.groups.is_empty()
        || decision.rules.iter().any(|rule| {
            matches!(
                rule,
                Rule::Paused { .. }
                    | Rule::ScaleInPaused
                    | Rule::ScaleOutPaused
                    | Rule::ExternalWriter
            )
        })
}

fn max(policy: &ScalePolicy, cap: Option<u32>) -> Option<u32> {
    let explicit = policy.groups.iter().filter_map(|group| group.max);
    explicit.chain(cap).min()
}

fn above_max(policy: &ScalePolicy, facts: Facts, decision: &Decision) -> Option<Violation> {
    let (desired, max) = (decision.desired, max(policy, facts.cap)?);
    (desired > max).then_some(Violation::AboveMax { desired, max })
}

/// Idle groups and unreachable functions may be below; a maximum outranks a minimum.
fn below_min(policy: &ScalePolicy, decision: &Decision) -> Option<Violation> {
    let is_allowed = !policy.is_reachable
        || decision.rules.iter().any(|rule| {
            matches!(
                rule,
                Rule::Idle { .. } | Rule::Max { .. } | Rule::Conflict { .. }
            )
        });
    let (desired, min) = (
        decision.desired,
        policy.groups.iter().map(|group| group.min).max()?,
    );
    (desired < min && !is_allowed).then_some(Violation::BelowMin { desired, min })
}

/// A maximum clips whatever is known.
fn lowered(policy: &ScalePolicy, facts: Facts, decision: &Decision) -> Option<Violation> {
    let (current, desired) = (decision.current, decision.desired);
    let floor = max(policy, facts.cap).map_or(current, |max| current.min(max));
    (facts.is_any_unknown && desired < floor)
        .then_some(Violation::LoweredWhileUnknown { current, desired })
}

fn zero_while_busy(policy: &ScalePolicy, facts: Facts, decision: &Decision) -> Option<Violation> {
    let requests = facts.requests.filter(|&requests| requests > 0)?;
    let is_forbidden = max(policy, facts.cap) == Some(0);
    (decision.current > 0 && decision.desired == 0 && !is_forbidden)
        .then_some(Violation::ZeroWhileBusy { requests })
}

fn unexplained(decision: &Decision) -> Option<Violation> {
    let winner = decision.winner?;
    let is_explained = decision
        .asks
        .get(winner)
        .is_some_and(|ask| ask.replicas.is_some());
    (!is_explained).then_some(Violation::Unexplained)
}
