//! Triggers of type `kubernetes-workload`: how many pods of a namespace have certain labels.
//!
//! They are counted in the table of the pod watch, which is there anyway: all triggers in one pass.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use zeron_core::metric::{Activity, MetricReading, Unknown, UnknownKind};
use zeron_core::roles::{BoundTrigger, BoxFuture, Scaler, TriggerHandle};

use crate::following::unseen;
use crate::pods::{Pods, Table};
use crate::target::LabelSelector;

/// What one trigger counts.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadQuery {
    /// In this namespace.
    pub namespace: Box<str>,
    /// Pods with such labels that have neither succeeded nor failed.
    pub selector: LabelSelector,
    /// Nodes with such pods instead.
    pub is_by_node: bool,
    /// Pods for one replica; above zero.
    pub target: f64,
    /// Active above so many.
    pub activation: f64,
}

/// Counts pods for all such triggers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Workloads(Arc<Shared>);

struct Shared {
    pods: Pods,
    queries: Mutex<HashMap<TriggerHandle, Arc<WorkloadQuery>>>,
    next: AtomicU64,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workloads")
            .field("queries", &self.queries.lock().len())
            .finish_non_exhaustive()
    }
}

impl Workloads {
    /// Counts what `pods` shows.
    pub fn new(pods: Pods) -> Self {
        Self(Arc::new(Shared {
            pods,
            queries: Mutex::default(),
            next: AtomicU64::new(1),
        }))
    }

    /// Adds a trigger.
    pub fn bind(&self, query: WorkloadQuery) -> BoundTrigger {
        let handle = TriggerHandle(self.0.next.fetch_add(1, Ordering::Relaxed));
        self.0.queries.lock().insert(handle, Arc::new(query));
        BoundTrigger {
            source: "kubernetes-workload".into(),
            scaler: Arc::clone(&self.0) as Arc<dyn Scaler>,
            handle,
        }
    }
}

impl Scaler for Shared {
    fn evaluate<'a>(
        &'a self,
        triggers: &'a [TriggerHandle],
        _: Duration,
    ) -> BoxFuture<'a, Vec<Result<Vec<MetricReading>, Unknown>>> {
        let answers = self.read(triggers);
        Box::pin(std::future::ready(answers))
    }

    fn release(&self, trigger: TriggerHandle) {
        self.queries.lock().remove(&trigger);
    }
}

impl Shared {
    fn read(&self, triggers: &[TriggerHandle]) -> Vec<Result<Vec<MetricReading>, Unknown>> {
        let queries: Vec<_> = {
            let known = self.queries.lock();
            triggers.iter().map(|it| known.get(it).cloned()).collect()
        };
        let is_synced = self.pods.is_synced();
        let counts = match is_synced {
            true => self.pods.read(|table| count(table, &queries)),
            false => Vec::new(),
        };
        let mut counts = counts.into_iter();
        let answer = |query: Option<Arc<WorkloadQuery>>| {
            let count = counts.next();
            let query = query.ok_or_else(|| not_read("the trigger was released"))?;
            let count = count.ok_or_else(|| not_read("the pods are not listed yet"))?;
            if let Some(age) = self.pods.stale_for(&query.namespace) {
                return Err(unseen("pods", age));
            }
            Ok(vec![reading(&query, count)])
        };
        queries.into_iter().map(answer).collect()
    }
}

fn reading(query: &WorkloadQuery, count: u32) -> MetricReading {
    let value = f64::from(count);
    MetricReading {
        metric: format!("workload-{}", query.namespace),
        value,
        target: query.target,
        activity: Activity::Above {
            value,
            threshold: query.activation,
        },
    }
}

/// One count per query, in their order.
fn count(table: &Table, queries: &[Option<Arc<WorkloadQuery>>]) -> Vec<u32> {
    let mut by_namespace: HashMap<_, Vec<usize>> = HashMap::new();
    for (index, query) in queries.iter().enumerate() {
        // In a namespace whose name nobody knows there are no pods.
        let namespace = query.as_ref().and_then(|it| table.names.get(&it.namespace));
        if let Some(namespace) = namespace {
            by_namespace.entry(namespace).or_default().push(index);
        }
    }
    let mut counts = vec![0_u32; queries.len()];
    let mut nodes: Vec<BTreeSet<_>> = vec![BTreeSet::new(); queries.len()];
    for pod in table.all_pods().filter(|pod| !pod.is_over) {
        for index in by_namespace.get(&pod.namespace).into_iter().flatten() {
            let Some(query) = &queries[*index] else {
                continue;
            };
            if !query.selector.matches(|key| pod.label(key, &table.names)) {
                continue;
            }
            match query.is_by_node {
                true => nodes[*index].extend(pod.node),
                false => counts[*index] += 1,
            }
        }
    }
    for (count, nodes) in counts.iter_mut().zip(nodes) {
        *count += u32::try_from(nodes.len()).unwrap_or(u32::MAX);
    }
    counts
}

fn not_read(message: &str) -> Unknown {
    Unknown {
        kind: UnknownKind::NotRead,
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn pod(name: &str, namespace: &str, app: &str, phase: &str, node: &str) -> serde_json::Value {
        json!({
            "metadata": {
                "name": name, "namespace": namespace, "uid": format!("uid-{namespace}-{name}"),
                "labels": { "app": app },
            },
            "spec": { "nodeName": node, "containers": [] },
            "status": { "phase": phase },
        })
    }

    fn query(selector: &str, is_by_node: bool) -> WorkloadQuery {
        WorkloadQuery {
            namespace: "shop".into(),
            selector: LabelSelector::parse(selector).unwrap(),
            is_by_node,
            target: 2.0,
            activation: 1.0,
        }
    }

    async fn values(workloads: &Workloads, queries: Vec<WorkloadQuery>) -> Vec<f64> {
        let bound: Vec<_> = queries.into_iter().map(|it| workloads.bind(it)).collect();
        let handles: Vec<_> = bound.iter().map(|it| it.handle).collect();
        let answers = bound[0]
            .scaler
            .evaluate(&handles, Duration::from_secs(1))
            .await;
        answers.into_iter().map(|it| it.unwrap()[0].value).collect()
    }

    #[tokio::test]
    async fn pods_of_the_namespace_that_are_not_over_are_counted() {
        let pods = Pods::without_watch();
        for pod in [
            pod("a", "shop", "web", "Running", "n1"),
            pod("b", "shop", "web", "Pending", "n1"),
            pod("c", "shop", "web", "Succeeded", "n2"),
            pod("d", "shop", "web", "Failed", "n2"),
            pod("e", "shop", "api", "Running", "n3"),
            pod("f", "other", "web", "Running", "n4"),
        ] {
            pods.put(pod);
        }
        let workloads = Workloads::new(pods);
        let queries = vec![
            query("app=web", false),
            query("app in (web, api)", false),
            query("app in (web, api)", true),
            query("app=none", false),
        ];
        assert_eq!(values(&workloads, queries).await, [2.0, 3.0, 2.0, 0.0]);
    }

    #[tokio::test]
    async fn a_trigger_says_its_target_and_when_it_is_active() {
        let pods = Pods::without_watch();
        pods.put(pod("a", "shop", "web", "Running", "n1"));
        let workloads = Workloads::new(pods);
        let bound = workloads.bind(query("app=web", false));
        let answers = bound
            .scaler
            .evaluate(&[bound.handle], Duration::from_secs(1))
            .await;
        let reading = answers[0].as_ref().unwrap()[0].clone();
        assert_eq!((&*reading.metric, reading.target), ("workload-shop", 2.0));
        assert!(!reading.activity.is_active());
        bound.scaler.release(bound.handle);
        let answers = bound
            .scaler
            .evaluate(&[bound.handle], Duration::from_secs(1))
            .await;
        assert_eq!(answers[0].as_ref().unwrap_err().kind, UnknownKind::NotRead);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_broken_watch_showed_is_unknown_after_a_while() {
        let pods = Pods::without_watch();
        pods.put(pod("a", "shop", "web", "Running", "n1"));
        let workloads = Workloads::new(pods.clone());
        pods.interrupt();
        assert_eq!(
            values(&workloads, vec![query("app=web", false)]).await,
            [1.0]
        );
        tokio::time::advance(Duration::from_secs(30)).await;
        let bound = workloads.bind(query("app=web", false));
        let within = Duration::from_secs(1);
        let answers = bound.scaler.evaluate(&[bound.handle], within).await;
        let unknown = answers[0].as_ref().unwrap_err();
        assert_eq!(unknown.kind, UnknownKind::Transport, "shown, not hidden");
        assert_eq!(unknown.message, "the pods have not been seen for 30 s");
    }
}
