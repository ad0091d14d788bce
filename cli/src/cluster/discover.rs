//! Our own processes in the cluster, found by the labels of their pods.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;
use zeron_backend_kubernetes::pods::FollowedPod;
use zeron_backend_kubernetes::{LabelSelector, Pods};
use zeron_wire::hub::Expected;

use super::args::ClusterArgs;

/// What a process of ours is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Component {
    Activator,
    Autoscaler,
}

impl Component {
    fn label(self) -> &'static str {
        match self {
            Self::Activator => "activator",
            Self::Autoscaler => "autoscaler",
        }
    }
}

/// The labels that our manifests give a component's pods.
pub(super) fn selector(component: Component) -> LabelSelector {
    LabelSelector::from_labels([
        ("app.kubernetes.io/name", "zeron"),
        ("app.kubernetes.io/component", component.label()),
    ])
}

/// What follows from the pods, each time they change.
pub(super) fn map<T: PartialEq + Send + Sync + 'static>(
    mut pods: watch::Receiver<Arc<[FollowedPod]>>,
    view: impl Fn(&[FollowedPod]) -> T + Send + 'static,
) -> watch::Receiver<T> {
    let first = view(&pods.borrow_and_update());
    let (sender, receiver) = watch::channel(first);
    tokio::spawn(async move {
        while pods.changed().await.is_ok() {
            let next = view(&pods.borrow_and_update());
            sender.send_if_modified(|now| {
                let is_other = *now != next;
                *now = next;
                is_other
            });
        }
    });
    receiver
}

/// The names of a component's pods, once the pods are known; `None` outside of a cluster.
pub(super) fn names(
    args: &ClusterArgs,
    pods: &Pods,
    component: Component,
) -> watch::Receiver<Expected> {
    let found = pods.follow(&args.pod_namespace, selector(component));
    map(found, |pods| {
        // One that is not ready serves nobody, and one that still does is connected.
        let ready = pods.iter().filter(|pod| pod.is_ready);
        let names: BTreeSet<_> = ready.map(|pod| pod.name.to_string()).collect();
        // Without a single one, activators do not run as pods: then connections alone count.
        Some(names).filter(|names| !names.is_empty())
    })
}
