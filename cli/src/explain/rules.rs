//! Each rule and cause as words.

use zeron_core::Timestamp;
use zeron_core::decision::{Cause, Rule, ZeroWait};

use super::{number, replicas, requests};
use crate::output::{age, clean, clock, duration};

/// Why a decision was made at its moment: goes after "because".
pub(super) fn cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Applied => "it was declared or changed",
        Cause::FirstWaiter => "a request found no replica",
        Cause::Backlog => "there were more requests than the ready replicas may take",
        Cause::Grid => "the two-second grid of the Knative autoscaler came round",
        Cause::Poll => "a metric source was read",
        Cause::Push => "a metric source pushed",
        Cause::Endpoints => "its replicas changed",
        Cause::Timer => "a cooldown, delay or window ran out",
    }
}

/// The same in a word or two.
pub(crate) fn short_cause(cause: Cause) -> &'static str {
    match cause {
        Cause::Applied => "applied",
        Cause::FirstWaiter => "first request",
        Cause::Backlog => "backlog",
        Cause::Grid => "grid",
        Cause::Poll => "poll",
        Cause::Push => "push",
        Cause::Endpoints => "replicas",
        Cause::Timer => "timer",
    }
}

/// What a rule did, as a sentence without its stop.
pub(super) fn sentence(rule: &Rule, now: Timestamp) -> String {
    match rule {
        Rule::Min { min, from } => format!("the minimum of {min} raised {from} to {min}"),
        Rule::Max { max, from } => format!("the maximum of {max} clipped {from} to {max}"),
        Rule::Conflict { min, max } => format!(
            "conflict: the minimum {min} of one object lies above the maximum {max} of another; the maximum holds"
        ),
        Rule::InitialScale { initial } => format!(
            "a new revision begins with its initial scale of {}",
            replicas(*initial)
        ),
        Rule::ActivationScale { scale } => {
            format!("the activation scale raised it to {}", replicas(*scale))
        }
        Rule::Panic { since, count } => format!(
            "panic mode since {} ({} ago): not below {}",
            clock(*since),
            age(now, *since),
            replicas(*count)
        ),
        Rule::ScaleUpRate { limit } => format!("max-scale-up-rate clipped it to {limit}"),
        Rule::ScaleDownRate { limit } => format!("max-scale-down-rate kept it at {limit}"),
        Rule::ScaleDownDelay { count } => format!("scale-down-delay holds {}", replicas(*count)),
        Rule::Stabilization { count, until } => format!(
            "the stabilization window holds {} until {} ({})",
            replicas(*count),
            clock(*until),
            ahead(now, *until)
        ),
        Rule::Behavior { limit } => format!("a behavior policy clipped it to {limit}"),
        Rule::Tolerance => "the change is within the tolerance, so nothing changes".to_owned(),
        Rule::Idle { replicas: count } => {
            format!(
                "nothing is active: idleReplicaCount keeps {}",
                replicas(*count)
            )
        }
        Rule::ZeroNotBefore { wait, until } => format!(
            "not to zero before {} ({}): {}",
            clock(*until),
            ahead(now, *until),
            zero_wait(*wait)
        ),
        Rule::ScaleToZeroDisabled => "not to zero: enable-scale-to-zero is off".to_owned(),
        Rule::Busy { in_flight, queued } => {
            format!(
                "not to zero: {} in flight, {queued} waiting",
                requests(*in_flight)
            )
        }
        Rule::Unknown { metric } => {
            format!(
                "not down: {} is unknown, and unknown is never zero",
                clean(metric)
            )
        }
        Rule::Fallback {
            metric,
            replicas: count,
        } => {
            format!(
                "the fallback of {} replaced the unknown {}",
                replicas(*count),
                clean(metric)
            )
        }
        Rule::Formula { result } => format!("the formula gave {}", number(*result)),
        Rule::FormulaFailed { message } => format!("the formula failed: {}", clean(message)),
        Rule::Paused { at } => format!("paused at {}", replicas(*at)),
        Rule::ScaleInPaused => "going down is paused".to_owned(),
        Rule::ScaleOutPaused => "going up is paused".to_owned(),
        Rule::Unreachable => "no route leads here any more: its minimum does not hold".to_owned(),
        Rule::ExternalWriter => "somebody else writes the count: it is only followed".to_owned(),
        Rule::Fixed { replicas: count } => {
            format!(
                "it has no trigger: the declared count of {} holds",
                replicas(*count)
            )
        }
        Rule::Jobs { .. } | Rule::UnknownJobs { .. } => of_jobs(rule),
    }
}

fn of_jobs(rule: &Rule) -> String {
    match rule {
        Rule::Jobs {
            wanted,
            unfinished,
            pending,
            created,
        } => format!(
            "{wanted} Jobs are wanted beside {unfinished} unfinished ones, {pending} of them not yet at work: \
             {created} are created"
        ),
        Rule::UnknownJobs { metric } => {
            format!("{} is unknown and asks for no Jobs", clean(metric))
        }
        _ => String::new(),
    }
}

/// The rule in a few words, for one line of a timeline.
pub(super) fn short(rule: &Rule) -> String {
    match rule {
        Rule::Min { min, .. } => format!("min {min}"),
        Rule::Max { max, .. } => format!("max {max}"),
        Rule::Conflict { .. } => "min above max".to_owned(),
        Rule::InitialScale { initial } => format!("initial scale {initial}"),
        Rule::ActivationScale { scale } => format!("activation scale {scale}"),
        Rule::Panic { count, .. } => format!("panic, at least {count}"),
        Rule::ScaleUpRate { .. } => "scale-up rate".to_owned(),
        Rule::ScaleDownRate { .. } => "scale-down rate".to_owned(),
        Rule::ScaleDownDelay { .. } => "scale-down delay".to_owned(),
        Rule::Stabilization { .. } => "stabilization".to_owned(),
        Rule::Behavior { .. } => "behavior".to_owned(),
        Rule::Tolerance => "within tolerance".to_owned(),
        Rule::Idle { replicas } => format!("idle {replicas}"),
        Rule::ZeroNotBefore { wait, .. } => format!("{} runs", zero_word(*wait)),
        Rule::ScaleToZeroDisabled => "scale to zero is off".to_owned(),
        Rule::Busy { .. } => "busy".to_owned(),
        Rule::Unknown { metric } => format!("{} unknown", clean(metric)),
        Rule::Fallback { replicas, .. } => format!("fallback {replicas}"),
        Rule::Formula { result } => format!("formula {}", number(*result)),
        Rule::FormulaFailed { .. } => "formula failed".to_owned(),
        Rule::Paused { at } => format!("paused at {at}"),
        Rule::ScaleInPaused => "scale-in paused".to_owned(),
        Rule::ScaleOutPaused => "scale-out paused".to_owned(),
        Rule::Unreachable => "no route".to_owned(),
        Rule::ExternalWriter => "external writer".to_owned(),
        Rule::Fixed { replicas } => format!("declared {replicas}"),
        Rule::Jobs { created, .. } => format!("{created} Jobs created"),
        Rule::UnknownJobs { metric } => format!("{} unknown", clean(metric)),
    }
}

pub(super) fn zero_wait(wait: ZeroWait) -> &'static str {
    match wait {
        ZeroWait::Cooldown => "the cooldown must pass without activity",
        ZeroWait::InitialCooldown => "the initial cooldown must pass without activity",
        ZeroWait::StableWindow => "the stable window must pass without traffic",
        ZeroWait::Grace => "the scale-to-zero grace period must pass",
        ZeroWait::Retention => "the last replica is retained for a while",
        ZeroWait::NewOwner => "zeron has just begun and first gathers evidence of its own",
        ZeroWait::Activating => "the initial scale has not been reached yet",
    }
}

fn zero_word(wait: ZeroWait) -> &'static str {
    match wait {
        ZeroWait::Cooldown => "cooldown",
        ZeroWait::InitialCooldown => "initial cooldown",
        ZeroWait::StableWindow => "stable window",
        ZeroWait::Grace => "grace period",
        ZeroWait::Retention => "retention",
        ZeroWait::NewOwner => "new owner's warm-up",
        ZeroWait::Activating => "activation",
    }
}

/// `in 43s`, or `now due`.
pub(super) fn ahead(now: Timestamp, at: Timestamp) -> String {
    if at > now {
        format!("in {}", duration(at.since(now)))
    } else {
        "now due".to_owned()
    }
}
