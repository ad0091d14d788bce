//! How many replicas usage asks for, by the rules of the HorizontalPodAutoscaler.
//!
//! Source: Kubernetes' documentation of the HPA's algorithm: replicas that are not ready yet count
//! as using nothing when scaling up and not at all otherwise; replicas without metrics count as
//! using nothing when scaling up and all of their target when scaling in.

use std::time::Duration;

use zeron_core::Timestamp;
use zeron_core::metric::{Unknown, UnknownKind};
use zeron_core::policy::MetricType;
use zeron_core::usage::{ReplicaUsage, Used};

use super::trigger::{Resource, ResourceTrigger};

/// `--horizontal-pod-autoscaler-cpu-initialization-period`.
const CPU_INITIALIZATION: Duration = Duration::from_secs(300);
/// `--horizontal-pod-autoscaler-initial-readiness-delay`.
const INITIAL_READINESS: Duration = Duration::from_secs(30);

/// Processor use of a replica that still starts says nothing.
fn is_settling(replica: &ReplicaUsage, used: &Used, now: Timestamp) -> bool {
    let since_start = now.since(replica.started);
    match since_start < CPU_INITIALIZATION {
        true => !replica.is_ready || used.at < replica.ready_changed + used.window,
        false => !replica.is_ready && replica.started + INITIAL_READINESS > replica.ready_changed,
    }
}

/// One replica's use, and what it requests where that counts.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    used: f64,
    requested: f64,
}

/// The reading's value: percent of the requests, or the sum of the amounts, such that it asks for
/// as many replicas as the rules do.
pub(super) fn ask(
    trigger: &ResourceTrigger,
    replicas: &[ReplicaUsage],
    now: Timestamp,
) -> Result<f64, Unknown> {
    let (mut measured, mut unready, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for replica in replicas.iter().filter(|it| !it.is_draining) {
        let requested = match trigger.metric_type {
            MetricType::Utilization => requested(trigger, replica)?,
            MetricType::AverageValue | MetricType::Value => 0.0,
        };
        let share = |used| Share { used, requested };
        let known = replica.used.as_ref();
        let used = known.and_then(|known| used(trigger, known));
        match (used, known) {
            _ if !replica.is_started => unready.push(share(0.0)),
            (Some(used), Some(known)) => {
                let is_cpu = trigger.resource == Resource::Cpu;
                match is_cpu && is_settling(replica, known, now) {
                    true => unready.push(share(0.0)),
                    false => measured.push(share(used)),
                }
            }
            _ => missing.push(share(0.0)),
        }
    }
    if measured.is_empty() {
        return Err(Unknown {
            kind: UnknownKind::NotRead,
            message: format!(
                "no {} metrics of {} yet ({} replicas are not ready, {} not measured)",
                trigger.resource.name(),
                trigger.function,
                unready.len(),
                missing.len()
            ),
        });
    }
    let is_counted = |it: &&ReplicaUsage| it.is_ready && !it.is_draining;
    let ready = replicas.iter().filter(is_counted).count();
    let first = ratio(trigger, &measured);
    // What the engine makes of it: ceil(sum / target), or ceil(ready * percent / target).
    let is_whole = missing.is_empty() && (first <= 1.0 || unready.is_empty());
    Ok(match trigger.metric_type {
        MetricType::AverageValue | MetricType::Value if is_whole => {
            measured.iter().map(|share| share.used).sum()
        }
        MetricType::Utilization if is_whole && measured.len() == ready => {
            (first * trigger.target).round()
        }
        MetricType::AverageValue | MetricType::Value => {
            below(filled(trigger, measured, unready, missing)) * trigger.target
        }
        MetricType::Utilization => {
            let count = below(filled(trigger, measured, unready, missing));
            count * trigger.target / to_f64(ready.max(1))
        }
    })
}

/// A hair less, so that a whole number of replicas is not rounded up to the next by the way it
/// was computed.
fn below(count: f64) -> f64 {
    count * (1.0 - 1e-12)
}

/// Replicas asked for, as a fraction: the ratio over the replicas that count.
fn filled(
    trigger: &ResourceTrigger,
    measured: Vec<Share>,
    unready: Vec<Share>,
    missing: Vec<Share>,
) -> f64 {
    let all = measured.len() + unready.len() + missing.len();
    let first = ratio(trigger, &measured);
    let is_up_with_unready = first > 1.0 && !unready.is_empty();
    if !is_up_with_unready && missing.is_empty() {
        return first * to_f64(measured.len());
    }
    let mut counted = measured;
    if first < 1.0 {
        let full = |share: &Share| Share {
            used: match trigger.metric_type {
                MetricType::Utilization => share.requested * trigger.target.max(100.0) / 100.0,
                MetricType::AverageValue | MetricType::Value => trigger.target,
            },
            ..*share
        };
        counted.extend(missing.iter().map(full));
    } else {
        counted.extend(missing);
    }
    if is_up_with_unready {
        counted.extend(unready);
    }
    let second = ratio(trigger, &counted);
    let count = second * to_f64(counted.len());
    // What the guesses turned round is not acted upon.
    let is_turned = (first < 1.0) != (second < 1.0);
    let current = to_f64(all);
    match is_turned || (second < 1.0 && count > current) || (second > 1.0 && count < current) {
        true => current,
        false => count,
    }
}

/// Use against the target.
fn ratio(trigger: &ResourceTrigger, shares: &[Share]) -> f64 {
    let used: f64 = shares.iter().map(|share| share.used).sum();
    match trigger.metric_type {
        MetricType::Utilization => {
            let requested: f64 = shares.iter().map(|share| share.requested).sum();
            // The HPA counts whole percents.
            (used * 100.0 / requested).floor() / trigger.target
        }
        MetricType::AverageValue | MetricType::Value => {
            used / to_f64(shares.len()) / trigger.target
        }
    }
}

fn used(trigger: &ResourceTrigger, usage: &Used) -> Option<f64> {
    let is_counted = |name: &str| trigger.container.as_deref().is_none_or(|own| own == name);
    let mut sum = None;
    for container in usage.containers.iter().filter(|one| is_counted(&one.name)) {
        let used = match trigger.resource {
            Resource::Cpu => container.cpu_millis?,
            Resource::Memory => container.memory_bytes?,
        };
        sum = Some(sum.unwrap_or(0.0) + used);
    }
    sum
}

fn requested(trigger: &ResourceTrigger, replica: &ReplicaUsage) -> Result<f64, Unknown> {
    let is_counted = |name: &str| trigger.container.as_deref().is_none_or(|own| own == name);
    let resource = trigger.resource;
    let mut sum = 0.0;
    let mut is_any = false;
    for request in replica
        .requests
        .iter()
        .filter(|one| is_counted(&one.container))
    {
        let amount = match resource {
            Resource::Cpu => request.cpu_millis,
            Resource::Memory => request.memory_bytes,
        };
        let Some(amount) = amount.filter(|amount| *amount > 0) else {
            return Err(configuration(format!(
                "container {} of {} requests no {}: Utilization has nothing to compare with",
                request.container,
                replica.name,
                resource.name()
            )));
        };
        is_any = true;
        #[expect(clippy::cast_precision_loss, reason = "bytes far below 2^53")]
        let amount = amount as f64;
        sum += amount;
    }
    match is_any {
        true => Ok(sum),
        false => Err(configuration(format!(
            "{} has no container {}",
            replica.name,
            trigger.container.as_deref().unwrap_or_default()
        ))),
    }
}

fn configuration(message: String) -> Unknown {
    Unknown {
        kind: UnknownKind::Configuration,
        message,
    }
}

fn to_f64(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
