//! How many replicas usage asks for, by the rules of the HorizontalPodAutoscaler.
//!
//! Source: Kubernetes' documentation of the HPA's algorithm: pods that are not ready yet count as
//! using nothing when scaling up and not at all otherwise; pods without metrics count as using
//! nothing when scaling up and all of their target when scaling in.

use std::sync::Arc;
use std::time::Duration;

use zeron_core::Timestamp;
use zeron_core::metric::{Unknown, UnknownKind};
use zeron_core::policy::MetricType;

use super::parameters::{Parameters, Resource};
use super::usage::{PodUsage, Usage};
use crate::pods::{Interner, Pod, Shape};

/// `--horizontal-pod-autoscaler-cpu-initialization-period`.
const CPU_INITIALIZATION: Duration = Duration::from_secs(300);
/// `--horizontal-pod-autoscaler-initial-readiness-delay`.
const INITIAL_READINESS: Duration = Duration::from_secs(30);

/// What the rules look at in a pod.
#[derive(Clone, Debug)]
pub(crate) struct PodFacts {
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Arc<str>,
    pub(crate) node: Option<Arc<str>>,
    shape: Arc<Shape>,
    /// It has an address: its containers were started.
    runs: bool,
    is_ready: bool,
    is_draining: bool,
    started: Timestamp,
    ready_changed: Timestamp,
}

impl PodFacts {
    pub(crate) fn of(pod: &Pod, names: &Interner) -> Self {
        Self {
            namespace: names.text(pod.namespace).into(),
            name: Arc::clone(&pod.name),
            node: pod.node.map(|node| names.text(node).into()),
            shape: Arc::clone(&pod.shape),
            runs: pod.ip.is_some(),
            is_ready: pod.is_ready,
            is_draining: pod.is_draining,
            started: pod.started,
            ready_changed: pod.ready_changed,
        }
    }

    /// Processor use of a pod that still starts says nothing.
    fn is_settling(&self, usage: &PodUsage, now: Timestamp) -> bool {
        let since_start = now.since(self.started);
        match since_start < CPU_INITIALIZATION {
            true => !self.is_ready || usage.at < self.ready_changed + usage.window,
            false => !self.is_ready && self.started + INITIAL_READINESS > self.ready_changed,
        }
    }
}

/// One pod's use, and what it requests where that counts.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    used: f64,
    requested: f64,
}

/// The reading's value: percent of the requests, or the sum of the amounts, such that it asks for
/// as many replicas as the rules do.
pub(crate) fn ask(
    parameters: &Parameters,
    pods: &[PodFacts],
    usage: &Usage,
    now: Timestamp,
) -> Result<f64, Unknown> {
    let (mut measured, mut unready, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for pod in pods.iter().filter(|pod| !pod.is_draining) {
        let requested = match parameters.metric_type {
            MetricType::Utilization => requested(parameters, pod)?,
            MetricType::AverageValue | MetricType::Value => 0.0,
        };
        let share = |used| Share { used, requested };
        let known = usage.of(pod);
        let used = known.and_then(|known| used(parameters, known));
        match (used, known) {
            _ if !pod.runs => unready.push(share(0.0)),
            (Some(used), Some(known)) => {
                let is_cpu = parameters.resource == Resource::Cpu;
                match is_cpu && pod.is_settling(known, now) {
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
                "no {} metrics of {} yet ({} pods are not ready, {} not measured)",
                parameters.resource.name(),
                parameters.function,
                unready.len(),
                missing.len()
            ),
        });
    }
    let ready = pods
        .iter()
        .filter(|pod| pod.is_ready && !pod.is_draining)
        .count();
    let first = ratio(parameters, &measured);
    // What the engine makes of it: ceil(sum / target), or ceil(ready * percent / target).
    let is_whole = missing.is_empty() && (first <= 1.0 || unready.is_empty());
    Ok(match parameters.metric_type {
        MetricType::AverageValue | MetricType::Value if is_whole => {
            measured.iter().map(|share| share.used).sum()
        }
        MetricType::Utilization if is_whole && measured.len() == ready => {
            (first * parameters.target).round()
        }
        MetricType::AverageValue | MetricType::Value => {
            below(filled(parameters, measured, unready, missing)) * parameters.target
        }
        MetricType::Utilization => {
            let count = below(filled(parameters, measured, unready, missing));
            count * parameters.target / to_f64(ready.max(1))
        }
    })
}

/// A hair less, so that a whole number of replicas is not rounded up to the next by the way it
/// was computed.
fn below(count: f64) -> f64 {
    count * (1.0 - 1e-12)
}

/// Replicas asked for, as a fraction: the ratio over the pods that count.
fn filled(
    parameters: &Parameters,
    measured: Vec<Share>,
    unready: Vec<Share>,
    missing: Vec<Share>,
) -> f64 {
    let all = measured.len() + unready.len() + missing.len();
    let first = ratio(parameters, &measured);
    let is_up_with_unready = first > 1.0 && !unready.is_empty();
    if !is_up_with_unready && missing.is_empty() {
        return first * to_f64(measured.len());
    }
    let mut counted = measured;
    if first < 1.0 {
        let full = |share: &Share| Share {
            used: match parameters.metric_type {
                MetricType::Utilization => share.requested * parameters.target.max(100.0) / 100.0,
                MetricType::AverageValue | MetricType::Value => parameters.target,
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
    let second = ratio(parameters, &counted);
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
fn ratio(parameters: &Parameters, shares: &[Share]) -> f64 {
    let used: f64 = shares.iter().map(|share| share.used).sum();
    match parameters.metric_type {
        MetricType::Utilization => {
            let requested: f64 = shares.iter().map(|share| share.requested).sum();
            // The HPA counts whole percents.
            (used * 100.0 / requested).floor() / parameters.target
        }
        MetricType::AverageValue | MetricType::Value => {
            used / to_f64(shares.len()) / parameters.target
        }
    }
}

fn used(parameters: &Parameters, usage: &PodUsage) -> Option<f64> {
    let is_counted = |name: &str| {
        parameters
            .container
            .as_deref()
            .is_none_or(|own| own == name)
    };
    let mut sum = None;
    for container in usage.containers.iter().filter(|one| is_counted(&one.name)) {
        let used = match parameters.resource {
            Resource::Cpu => container.cpu?,
            Resource::Memory => container.memory?,
        };
        sum = Some(sum.unwrap_or(0.0) + used);
    }
    sum
}

fn requested(parameters: &Parameters, pod: &PodFacts) -> Result<f64, Unknown> {
    let is_counted = |name: &str| {
        parameters
            .container
            .as_deref()
            .is_none_or(|own| own == name)
    };
    let resource = parameters.resource;
    let mut sum = 0.0;
    let mut is_any = false;
    for request in pod
        .shape
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
                "container {} of pod {} requests no {}: Utilization has nothing to compare with",
                request.container,
                pod.name,
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
            "pod {} has no container {}",
            pod.name,
            parameters.container.as_deref().unwrap_or_default()
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
pub(super) mod tests;
