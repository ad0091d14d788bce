//! What containers use: from `metrics.k8s.io`, or from the kubelets themselves.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::time::Instant;
use zeron_core::Timestamp;
use zeron_core::metric::{Unknown, UnknownKind};
use zeron_core::quantity::quantity;
use zeron_core::usage::{ContainerUsage, Used};

use super::exposition::Sample;
use super::facts::PodFacts;
use crate::api::{CallError, Caller};
use crate::counters::Verb;
use crate::target::parse_time;

/// Namespaces or nodes that are asked at once.
const PARALLEL: usize = 8;
/// How long a missing metrics API is not asked for again.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Kubelets measure every ten seconds or so: nothing is gained by asking more often than this.
const KUBELET_AGE: Duration = Duration::from_secs(5);
/// What a kubelet said counts for so long when it fails to say more.
const KUBELET_FRESH_FOR: Duration = Duration::from_secs(60);

/// Namespace and pod.
type PodKey = (Arc<str>, Arc<str>);

/// Usage by pod.
#[derive(Clone, Debug, Default)]
pub(crate) struct ByPod {
    pods: HashMap<PodKey, Used>,
}

impl ByPod {
    pub(crate) fn of(&self, pod: &PodFacts) -> Option<&Used> {
        let key = (Arc::clone(&pod.namespace), Arc::clone(pod.name()));
        self.pods.get(&key)
    }
}

/// Reads usage, and remembers what rates need.
pub(crate) struct UsageSource {
    caller: Caller,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    /// The metrics API was missing then.
    missing_at: Option<Instant>,
    nodes: HashMap<Arc<str>, Node>,
}

/// What a kubelet said last.
#[derive(Default)]
struct Node {
    read: Option<Instant>,
    counters: HashMap<(PodKey, Box<str>), CpuCounter>,
    usage: HashMap<PodKey, Used>,
}

/// Processor seconds at two moments.
#[derive(Clone, Copy, Debug)]
struct CpuCounter {
    seconds: f64,
    at: i64,
    /// Thousandths of a core between this moment and the one before, and how long that was.
    rate: Option<(f64, Duration)>,
}

impl CpuCounter {
    fn follow(previous: Option<&Self>, seconds: f64, at: i64) -> Self {
        let rate = match previous {
            // The same measurement, told again.
            Some(old) if old.at >= at => return *old,
            // A counter that goes back belongs to a new container.
            Some(old) if old.seconds <= seconds => {
                let millis = u64::try_from(at - old.at).unwrap_or(1);
                let span = Duration::from_millis(millis);
                Some(((seconds - old.seconds) / span.as_secs_f64() * 1000.0, span))
            }
            _ => None,
        };
        Self { seconds, at, rate }
    }
}

#[derive(Deserialize)]
struct PodMetricsList {
    #[serde(default)]
    items: Vec<PodMetrics>,
}

#[derive(Deserialize)]
struct PodMetrics {
    metadata: Named,
    #[serde(default)]
    timestamp: String,
    #[serde(default)]
    window: String,
    #[serde(default)]
    containers: Vec<ContainerMetrics>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct ContainerMetrics {
    name: String,
    #[serde(default)]
    usage: HashMap<String, String>,
}

impl UsageSource {
    pub(crate) fn new(caller: Caller) -> Self {
        Self {
            caller,
            memory: Mutex::default(),
        }
    }

    /// Usage of `pods`, as far as somebody measures it.
    pub(crate) async fn read(
        &self,
        pods: impl Iterator<Item = &PodFacts>,
    ) -> Result<ByPod, Unknown> {
        let (mut namespaces, mut nodes) = (BTreeSet::new(), BTreeSet::new());
        for pod in pods {
            namespaces.insert(Arc::clone(&pod.namespace));
            nodes.extend(pod.node.clone());
        }
        let missing_at = self.memory.lock().missing_at;
        if missing_at.is_none_or(|at| at.elapsed() > LOOK_AGAIN) {
            match self.read_api(&namespaces).await {
                Ok(usage) => return Ok(usage),
                Err(error) if matches!(error.status(), Some(404 | 503)) => {
                    self.memory.lock().missing_at = Some(Instant::now());
                }
                Err(error) => return Err(unknown("metrics.k8s.io", &error)),
            }
        }
        self.read_kubelets(nodes).await
    }

    async fn read_api(&self, namespaces: &BTreeSet<Arc<str>>) -> Result<ByPod, CallError> {
        let calls: Vec<_> = namespaces
            .iter()
            .map(|namespace| async move {
                let path = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods");
                let list: PodMetricsList = self.caller.get(&path).await?;
                Ok((Arc::clone(namespace), list))
            })
            .collect();
        let answers: Vec<Result<_, CallError>> = stream::iter(calls)
            .buffer_unordered(PARALLEL)
            .collect()
            .await;
        let mut usage = ByPod::default();
        for answer in answers {
            let (namespace, list) = answer?;
            for item in list.items {
                let key = (Arc::clone(&namespace), item.metadata.name.as_str().into());
                usage.pods.insert(key, from_metrics(&item));
            }
        }
        Ok(usage)
    }

    async fn read_kubelets(&self, nodes: BTreeSet<Arc<str>>) -> Result<ByPod, Unknown> {
        let is_due = |node: &Arc<str>| {
            let memory = self.memory.lock();
            let read = memory.nodes.get(node).and_then(|node| node.read);
            read.is_none_or(|read| read.elapsed() > KUBELET_AGE)
        };
        let due: Vec<Arc<str>> = nodes.iter().filter(|node| is_due(node)).cloned().collect();
        let calls: Vec<_> = due
            .into_iter()
            .map(|node| async move {
                let path = format!("/api/v1/nodes/{node}/proxy/metrics/resource");
                let text = self.caller.call_bytes(Verb::get, &path, None).await;
                (node, text)
            })
            .collect();
        let answers: Vec<_> = stream::iter(calls)
            .buffer_unordered(PARALLEL)
            .collect()
            .await;
        let (mut usage, mut failure) = (ByPod::default(), None);
        let mut memory = self.memory.lock();
        for (node, text) in answers {
            match text {
                Ok(text) => {
                    let node = memory.nodes.entry(node).or_default();
                    node.update(&String::from_utf8_lossy(&text));
                }
                // Pods of this node soon have no metrics; those of others do.
                Err(error) => failure = Some(unknown(&format!("kubelet of {node}"), &error)),
            }
        }
        memory.nodes.retain(|name, _| nodes.contains(name));
        for node in memory.nodes.values().filter(|node| node.is_fresh()) {
            usage.pods.extend(node.usage.clone());
        }
        match failure.filter(|_| usage.pods.is_empty()) {
            Some(failure) => Err(failure),
            None => Ok(usage),
        }
    }
}

impl Node {
    fn is_fresh(&self) -> bool {
        self.read
            .is_some_and(|read| read.elapsed() <= KUBELET_FRESH_FOR)
    }

    fn update(&mut self, text: &str) {
        let (mut counters, mut usage) = (HashMap::new(), HashMap::new());
        for sample in text.lines().filter_map(Sample::parse) {
            let is_cpu = sample.name == "container_cpu_usage_seconds_total";
            if !is_cpu && sample.name != "container_memory_working_set_bytes" {
                continue;
            }
            let labels = ["namespace", "pod", "container"].map(|name| sample.label(name));
            let [Some(namespace), Some(pod), Some(container)] = labels else {
                continue;
            };
            let key: PodKey = (namespace.into(), pod.into());
            let at = sample.at.unwrap_or_default();
            let pod: &mut Used = usage.entry(key.clone()).or_default();
            let micros = u64::try_from(at).unwrap_or_default().saturating_mul(1000);
            pod.at = pod.at.max(Timestamp::from_micros(micros));
            let own = container_of(pod, container);
            if is_cpu {
                let key = (key, Box::from(container));
                let old = self.counters.get(&key);
                let counter = CpuCounter::follow(old, sample.value, at);
                own.cpu_millis = counter.rate.map(|(rate, _)| rate);
                pod.window = counter.rate.map_or(pod.window, |(_, span)| span);
                counters.insert(key, counter);
            } else {
                own.memory_bytes = Some(sample.value);
            }
        }
        *self = Self {
            read: Some(Instant::now()),
            counters,
            usage,
        };
    }
}

fn container_of<'a>(pod: &'a mut Used, name: &str) -> &'a mut ContainerUsage {
    let at = pod.containers.iter().position(|one| *one.name == *name);
    let at = at.unwrap_or_else(|| {
        pod.containers.push(ContainerUsage {
            name: name.into(),
            cpu_millis: None,
            memory_bytes: None,
        });
        pod.containers.len() - 1
    });
    &mut pod.containers[at]
}

fn from_metrics(item: &PodMetrics) -> Used {
    let container = |container: &ContainerMetrics| ContainerUsage {
        name: container.name.as_str().into(),
        cpu_millis: (container.usage.get("cpu"))
            .and_then(|text| quantity(text))
            .map(|cores| cores * 1000.0),
        memory_bytes: container
            .usage
            .get("memory")
            .and_then(|text| quantity(text)),
    };
    let window: Option<f64> = item.window.trim_end_matches('s').parse().ok();
    let window = window.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Used {
        containers: item.containers.iter().map(container).collect(),
        at: parse_time(&item.timestamp).unwrap_or_default(),
        window: window.unwrap_or_default(),
    }
}

fn unknown(source: &str, error: &CallError) -> Unknown {
    Unknown {
        kind: match (error, error.status()) {
            (CallError::Timeout(_), _) => UnknownKind::Timeout,
            (CallError::Answer(_), _) => UnknownKind::Parse,
            (_, Some(401 | 403)) => UnknownKind::Authentication,
            _ => UnknownKind::Transport,
        },
        message: format!("{source}: {error}"),
    }
}

#[cfg(test)]
mod tests;
