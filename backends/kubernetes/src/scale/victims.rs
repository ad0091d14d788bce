//! Which pods go first, and how the platform is told.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use serde_json::json;
use zeron_core::EndpointId;

use crate::api::{CallError, Caller, Content, FIELD_MANAGER, MERGE_PATCH};
use crate::counters::Verb;
use crate::pods::Replica;
use crate::target::ScaleTarget;

/// What a ReplicaSet sorts ready pods by; the lowest go first.
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// Lower than what people give.
const COST_OF_VICTIMS: &str = "-1000";
/// Pods that are marked at once.
const PARALLEL: usize = 16;

/// The pods to mark before `leaving` of them go: of the victims those that are still there. Pods
/// that are not ready go before any other by the platform's own order, and need no mark.
pub(crate) fn to_mark(replicas: &[Replica], victims: &[EndpointId], leaving: u32) -> Vec<Arc<str>> {
    let victims: HashSet<_> = victims.iter().collect();
    let leaving = usize::try_from(leaving).unwrap_or(usize::MAX);
    replicas
        .iter()
        .filter(|replica| replica.is_ready && !replica.is_draining)
        .filter(|replica| victims.contains(&replica.id))
        .take(leaving)
        .map(|replica| Arc::clone(&replica.name))
        .collect()
}

/// The pods that a target of its own mind removes on the way to `count`: a StatefulSet its highest
/// ordinals.
pub(crate) fn predicted(replicas: &[Replica], count: u32) -> Vec<EndpointId> {
    let ordinal =
        |replica: &Replica| -> Option<u32> { replica.name.rsplit_once('-')?.1.parse().ok() };
    let mut staying: Vec<_> = replicas.iter().filter(|one| !one.is_draining).collect();
    staying.sort_by_key(|replica| Reverse(ordinal(replica)));
    let keep = usize::try_from(count).unwrap_or(usize::MAX);
    let leaving = staying.len().saturating_sub(keep);
    staying[..leaving].iter().map(|one| one.id).collect()
}

/// Gives pods the lowest deletion cost, or takes it back. A pod that is gone needs none.
///
/// # Errors
/// The first refusal.
pub(crate) async fn mark(
    caller: &Caller,
    target: &ScaleTarget,
    pods: &[Arc<str>],
    is_victim: bool,
) -> Result<(), CallError> {
    let cost = is_victim.then_some(COST_OF_VICTIMS);
    let patch = json!({"metadata": {"annotations": {DELETION_COST: cost}}});
    let mark = |pod: &Arc<str>| {
        let path = format!(
            "/api/v1/namespaces/{}/pods/{pod}?fieldManager={FIELD_MANAGER}",
            target.namespace
        );
        let content = Content::new(MERGE_PATCH, &patch);
        async move { caller.call_bytes(Verb::patch, &path, Some(content)).await }
    };
    let calls: Vec<_> = pods.iter().map(mark).collect();
    let results: Vec<_> = stream::iter(calls)
        .buffer_unordered(PARALLEL)
        .collect()
        .await;
    for result in results {
        match result {
            Ok(_) => {}
            Err(error) if error.status() == Some(404) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use zeron_core::Timestamp;

    use super::*;

    fn replica(id: u64, name: &str, is_ready: bool) -> Replica {
        Replica {
            id: EndpointId(id),
            name: name.into(),
            created: Timestamp::EPOCH,
            is_ready,
            is_draining: false,
        }
    }

    #[test]
    fn victims_that_are_ready_are_marked_and_no_more_than_leave() {
        let replicas = [
            replica(1, "a", true),
            replica(2, "b", false),
            replica(3, "c", true),
            replica(4, "d", true),
        ];
        let victims = [EndpointId(4), EndpointId(2), EndpointId(3), EndpointId(9)];
        let names = |leaving| to_mark(&replicas, &victims, leaving);
        assert_eq!(
            names(3).iter().map(|n| &**n).collect::<Vec<_>>(),
            ["c", "d"]
        );
        assert_eq!(names(1).len(), 1);
    }

    #[test]
    fn a_stateful_set_removes_its_highest_ordinals() {
        let replicas = [
            replica(10, "web-10", true),
            replica(2, "web-2", true),
            replica(9, "web-9", false),
        ];
        assert_eq!(predicted(&replicas, 1), [EndpointId(10), EndpointId(9)]);
        assert!(predicted(&replicas, 5).is_empty());
    }
}
