//! The activators of this cluster and their addresses, as their pods say.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use futures_util::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Which pods are activators.
const LABELS: &str = "app.kubernetes.io/name=zeron,app.kubernetes.io/component=activator";

/// One activator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivatorPod {
    /// The pod's name.
    pub name: String,
    /// The pod's UID.
    pub uid: String,
    /// Where it runs.
    pub node: Option<String>,
    /// One per address family.
    pub addresses: Vec<IpAddr>,
    /// `Ready`, and not ending.
    pub is_ready: bool,
    /// It was told to end.
    pub is_ending: bool,
}

/// All activators, by UID.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activators(BTreeMap<String, ActivatorPod>);

impl FromIterator<ActivatorPod> for Activators {
    fn from_iter<I: IntoIterator<Item = ActivatorPod>>(pods: I) -> Self {
        Self(pods.into_iter().map(|pod| (pod.uid.clone(), pod)).collect())
    }
}

impl Activators {
    /// Those that callers may be led to. Where none is ready: all that are not ending, for one that
    /// has just become unready may still answer, and nobody else does.
    pub fn usable(&self) -> Vec<&ActivatorPod> {
        let ready: Vec<_> = self.0.values().filter(|pod| pod.is_ready).collect();
        match ready.is_empty() {
            true => self.0.values().filter(|pod| !pod.is_ending).collect(),
            false => ready,
        }
    }

    fn put(&mut self, pod: &Pod) {
        let Some(found) = activator(pod) else {
            let uid = pod.metadata.uid.as_deref().unwrap_or_default();
            self.0.remove(uid);
            return;
        };
        self.0.insert(found.uid.clone(), found);
    }
}

/// `None` for a pod without an address, or one that has ended.
fn activator(pod: &Pod) -> Option<ActivatorPod> {
    let status = pod.status.as_ref()?;
    let is_over = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    let addresses = addresses(status);
    if is_over || addresses.is_empty() {
        return None;
    }
    let is_ending = pod.metadata.deletion_timestamp.is_some();
    let conditions = status.conditions.iter().flatten();
    let mut ready = conditions.filter(|c| c.type_ == "Ready");
    Some(ActivatorPod {
        name: pod.metadata.name.clone()?,
        uid: pod.metadata.uid.clone()?,
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        addresses,
        is_ready: !is_ending && ready.any(|c| c.status == "True"),
        is_ending,
    })
}

fn addresses(status: &PodStatus) -> Vec<IpAddr> {
    let all = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str());
    let mut addresses: Vec<IpAddr> = all.filter_map(|ip| ip.parse().ok()).collect();
    if addresses.is_empty() {
        addresses.extend(
            status
                .pod_ip
                .as_deref()
                .and_then(|ip| ip.parse::<IpAddr>().ok()),
        );
    }
    addresses
}

/// Watches the activators of `namespace` until `end`. `None` until all are known once; after that
/// what was known last stays when the API server is away.
pub fn follow_activators(
    client: Client,
    namespace: &str,
    end: CancellationToken,
) -> watch::Receiver<Option<Arc<Activators>>> {
    let (sender, receiver) = watch::channel(None);
    let api: Api<Pod> = Api::namespaced(client, namespace);
    tokio::spawn(async move {
        tokio::select! {
            () = end.cancelled() => {}
            () = follow(api, &sender) => {}
        }
    });
    receiver
}

async fn follow(api: Api<Pod>, sender: &watch::Sender<Option<Arc<Activators>>>) {
    let events = watcher(api, watcher::Config::default().labels(LABELS)).default_backoff();
    pin_mut!(events);
    let mut now = Activators::default();
    let mut listed = Activators::default();
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => listed = Activators::default(),
            Ok(watcher::Event::InitApply(pod)) => {
                listed.put(&pod);
                continue;
            }
            Ok(watcher::Event::InitDone) => now = std::mem::take(&mut listed),
            Ok(watcher::Event::Apply(pod)) => now.put(&pod),
            Ok(watcher::Event::Delete(pod)) => {
                now.0
                    .remove(pod.metadata.uid.as_deref().unwrap_or_default());
            }
            Err(error) => {
                warn!(%error, "cannot watch the activators; their last addresses stay");
                continue;
            }
        }
        publish(sender, &now);
    }
}

fn publish(sender: &watch::Sender<Option<Arc<Activators>>>, now: &Activators) {
    sender.send_if_modified(|known| {
        let is_new = known.as_ref().is_none_or(|known| **known != *now);
        if is_new {
            *known = Some(Arc::new(now.clone()));
        }
        is_new
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn pod(uid: &str, ready: &str, ending: bool) -> Pod {
        let mut pod = json!({
            "metadata": { "name": uid, "uid": uid },
            "spec": { "nodeName": "n", "containers": [] },
            "status": {
                "phase": "Running",
                "podIPs": [{ "ip": "10.0.0.7" }, { "ip": "fd00::7" }],
                "conditions": [{ "type": "Ready", "status": ready }],
            },
        });
        if ending {
            pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        serde_json::from_value(pod).unwrap()
    }

    fn names(activators: &Activators) -> Vec<&str> {
        activators
            .usable()
            .iter()
            .map(|p| p.name.as_str())
            .collect()
    }

    #[test]
    fn an_ending_activator_leaves_although_it_is_still_ready() {
        let mut activators = Activators::default();
        activators.put(&pod("a", "True", false));
        activators.put(&pod("b", "True", true));
        assert_eq!(names(&activators), ["a"]);
    }

    #[test]
    fn without_any_ready_one_those_that_are_not_ending_stay() {
        let mut activators = Activators::default();
        activators.put(&pod("a", "False", false));
        activators.put(&pod("b", "True", true));
        assert_eq!(names(&activators), ["a"]);
    }

    #[test]
    fn an_activator_has_an_address_of_each_family() {
        let found = activator(&pod("a", "True", false)).unwrap();
        assert_eq!(found.addresses.len(), 2);
    }

    #[test]
    fn a_pod_that_has_ended_is_no_activator() {
        let mut over = pod("a", "True", false);
        let mut activators = Activators::default();
        activators.put(&over);
        over.status.as_mut().unwrap().phase = Some("Failed".to_owned());
        activators.put(&over);
        assert!(activators.usable().is_empty());
    }
}
