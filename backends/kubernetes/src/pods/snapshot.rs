//! A function's pods as the snapshot that others read.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use zeron_core::workload::ReadinessProbe;
use zeron_core::{Endpoint, EndpointSnapshot, StartFailure, Timestamp};

use super::pod::Pod;
use super::shape::Asking;
use super::trouble::Patience;
use crate::target::ScaleTarget;

/// The snapshot now, and when it changes without another event.
pub(crate) fn of<'a>(
    target: &ScaleTarget,
    wanted: Option<u32>,
    pods: impl Iterator<Item = &'a Pod> + Clone,
    patience: &Patience,
    now: Timestamp,
) -> (EndpointSnapshot, Option<Timestamp>) {
    let mut endpoints: Vec<Endpoint> = pods
        .clone()
        .filter_map(|pod| endpoint(target, pod))
        .collect();
    endpoints.sort_unstable_by_key(|endpoint| endpoint.id);
    let live = pods.clone().filter(|pod| pod.is_live()).count();
    let live = u32::try_from(live).unwrap_or(u32::MAX);
    // Pods without an address yet were asked for, whatever is known of the count.
    let starting = pods
        .clone()
        .filter(|pod| !pod.is_draining && !pod.is_live());
    let starting = u32::try_from(starting.count()).unwrap_or(u32::MAX);
    let pending = wanted.map_or(starting, |wanted| wanted.saturating_sub(live));
    let is_ready = endpoints.iter().any(|one| one.is_ready && !one.is_draining);
    let (failure, recheck) = failure(target, wanted, pods, patience, now);
    let failure = match (failure, is_ready) {
        (failure, false) => failure,
        // Some serve: the rest is told, but nobody is refused for it.
        (Some(failure), true) if pending > 0 => Some(partial(failure, live, pending)),
        (_, true) => None,
    };
    let snapshot = EndpointSnapshot {
        endpoints,
        pending,
        share: None,
        failure,
    };
    (snapshot, recheck)
}

fn endpoint(target: &ScaleTarget, pod: &Pod) -> Option<Endpoint> {
    let ip = pod.ip?;
    let port = pod.shape.port(&target.port);
    let probe = match &pod.shape.asking {
        Asking::Probe(probe) => Some(Arc::clone(&probe.0)),
        Asking::Connect if port.is_some() => Some(connect()),
        Asking::Connect | Asking::Platform => None,
    };
    Some(Endpoint {
        id: pod.id,
        address: port.map(|port| SocketAddr::new(ip, port.get())),
        is_ready: pod.is_ready,
        is_draining: pod.is_draining,
        probe,
        is_probe_needed: false,
        replicas: 1,
        shared_by: 1,
    })
}

/// One for all.
fn connect() -> Arc<ReadinessProbe> {
    static CONNECT: OnceLock<Arc<ReadinessProbe>> = OnceLock::new();
    Arc::clone(CONNECT.get_or_init(Arc::default))
}

fn partial(failure: StartFailure, live: u32, pending: u32) -> StartFailure {
    let asked = live.saturating_add(pending);
    StartFailure {
        message: format!("{live} of {asked} replicas run: {}", failure.message),
        ..not_final(failure)
    }
}

/// The same, of which something better may still come. Its time differs from that of the final
/// one, which must be news when it comes after all.
fn not_final(failure: StartFailure) -> StartFailure {
    let nudge = Duration::from_micros(u64::from(failure.is_final));
    StartFailure {
        is_final: false,
        at: failure.at - nudge,
        ..failure
    }
}

/// The trouble of the newest pod that has any; else what the target's own conditions say. A final
/// one counts only while every pod that might serve is in such trouble.
fn failure<'a>(
    target: &ScaleTarget,
    wanted: Option<u32>,
    pods: impl Iterator<Item = &'a Pod>,
    patience: &Patience,
    now: Timestamp,
) -> (Option<StartFailure>, Option<Timestamp>) {
    let (mut newest, mut recheck, mut is_hope_left) = (None, None, false);
    for pod in pods {
        let case = pod.case.as_deref();
        let Some(case) = case else {
            is_hope_left |= !pod.is_draining;
            continue;
        };
        let final_at = case.final_at(patience, pod.shape.patience);
        let is_final = final_at.is_some_and(|at| at <= now);
        is_hope_left |= !pod.is_draining && !is_final;
        if !pod.is_draining && !is_final {
            recheck = [recheck, final_at].into_iter().flatten().min();
        }
        let rank = (!pod.is_draining, is_final, pod.created, pod.id);
        if case.is_told(final_at, now) && newest.as_ref().is_none_or(|(best, _)| *best < rank) {
            newest = Some((rank, case.failure(final_at, now)));
        }
    }
    let is_asleep = wanted == Some(0);
    let own = newest.filter(|_| !is_asleep);
    // The end of a pod that is over must not hide what keeps the next one from being made.
    let declared = target.failure.clone().filter(|_| !is_asleep);
    let failure = match own {
        Some(((true, ..), failure)) => Some(failure),
        own => declared.or(own.map(|(_, failure)| failure)),
    };
    let failure = match is_hope_left {
        true => failure.map(not_final),
        false => failure,
    };
    (failure, recheck)
}
