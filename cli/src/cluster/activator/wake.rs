//! Waking functions when no autoscaler answers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};
use zeron_backend_kubernetes::scale::Waker;
use zeron_backend_kubernetes::{Pods, ScaleTarget};
use zeron_core::FunctionId;
use zeron_core::route::{RouteSnapshot, RoutedFunction};
use zeron_wire::Wake;

/// Such writes at once.
const WAKES_AT_ONCE: usize = 64;
/// Until one that failed is tried again.
const AFTER_FAILED_WAKE: Duration = Duration::from_millis(250);

/// How many replicas a wake-up asks for, of every function that a request may wake.
#[derive(Debug, Default, PartialEq)]
pub(super) struct WakeCounts(HashMap<FunctionId, u32>);

impl WakeCounts {
    pub(super) fn of(routes: &RouteSnapshot) -> Self {
        let is_ours = |it: &&RoutedFunction| it.is_wake_allowed && it.wake_count > 0;
        let functions = routes.functions.iter().filter(is_ours);
        let counts = functions.map(|it| (it.function.id.clone(), it.wake_count));
        Self(counts.collect())
    }

    fn get(&self, function: &FunctionId) -> Option<u32> {
        self.0.get(function).copied()
    }
}

/// Nobody answered: one write, which does nothing unless the count is zero. At most one is under
/// way for each function, and a few in all: an API server that is slow or gone is not stormed.
pub(super) fn wake_by_itself(
    waker: Waker,
    pods: Pods,
    counts: watch::Receiver<Arc<WakeCounts>>,
) -> Arc<dyn Fn(Wake) + Send + Sync> {
    let runtime = Handle::current();
    let under_way = Arc::new(Mutex::new(HashSet::new()));
    let room = Arc::new(Semaphore::new(WAKES_AT_ONCE));
    Arc::new(move |wake| {
        let Some(target) = pods.target(&wake.function) else {
            return;
        };
        let Some(count) = counts.borrow().get(&wake.function) else {
            return;
        };
        if !under_way.lock().insert(wake.function.clone()) {
            return;
        }
        let (waker, room) = (waker.clone(), Arc::clone(&room));
        let under_way = Arc::clone(&under_way);
        runtime.spawn(async move {
            // It is never closed.
            let _place = room.acquire().await.ok();
            if !write(&waker, &target, count).await {
                tokio::time::sleep(AFTER_FAILED_WAKE).await;
            }
            under_way.lock().remove(&wake.function);
        });
    })
}

/// Says whether the API server took it.
async fn write(waker: &Waker, target: &ScaleTarget, count: u32) -> bool {
    let function = &target.id;
    match waker.wake(target, count).await {
        Ok(outcome) => {
            tracing::info!(%function, ?outcome, "woken without an autoscaler");
            true
        }
        Err(error) => {
            let error = zeron_core::Chain(&error);
            tracing::warn!(%function, %error, "cannot wake without an autoscaler");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use zeron_core::Function;
    use zeron_core::function::Protocol;

    use super::*;
    use crate::testkit;

    fn id(name: &str) -> FunctionId {
        FunctionId::new("default", "Deployment", name)
    }

    fn routed(name: &str, is_wake_allowed: bool, wake_count: u32) -> RoutedFunction {
        let function = Function::new(
            id(name),
            testkit::object("apps/v1", "Deployment", name),
            Protocol::Http1,
        );
        RoutedFunction {
            function: Arc::new(function),
            is_wake_allowed,
            wake_count,
        }
    }

    #[test]
    fn what_must_sleep_is_not_among_what_may_be_woken() {
        let routes = RouteSnapshot {
            functions: vec![
                routed("awake", true, 3),
                routed("paused", false, 1),
                routed("lent", true, 0),
            ],
            ..RouteSnapshot::default()
        };
        let counts = WakeCounts::of(&routes);
        let of = |name: &str| counts.get(&id(name));
        let found = (of("awake"), of("paused"), of("lent"), of("other"));
        assert_eq!(found, (Some(3), None, None, None));
    }
}
