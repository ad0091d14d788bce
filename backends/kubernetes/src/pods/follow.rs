//! Pods that somebody follows by a selector: our own activators and autoscalers.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::watch;

use super::pod::Pod;
use super::raw::RawPod;
use super::table::Table;
use crate::target::LabelSelector;

/// One followed pod that has an address and is not on its way out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FollowedPod {
    /// The pod's name.
    pub name: Arc<str>,
    /// Its address.
    pub address: IpAddr,
    /// The platform says that it is ready.
    pub is_ready: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Followers(Vec<Follower>);

#[derive(Debug)]
struct Follower {
    namespace: Box<str>,
    selector: LabelSelector,
    sender: watch::Sender<Arc<[FollowedPod]>>,
}

impl Followers {
    pub(crate) fn add(
        &mut self,
        namespace: &str,
        selector: LabelSelector,
        table: &Table,
    ) -> watch::Receiver<Arc<[FollowedPod]>> {
        self.0
            .retain(|follower| follower.sender.receiver_count() > 0);
        let (sender, receiver) = watch::channel(Arc::from([]));
        let follower = Follower {
            namespace: namespace.into(),
            selector,
            sender,
        };
        follower.refresh(table);
        self.0.push(follower);
        receiver
    }

    /// After a full list.
    pub(crate) fn refresh_all(&self, table: &Table) {
        for follower in &self.0 {
            follower.refresh(table);
        }
    }

    /// After a change of `pod`. Our own pods keep the labels that they are followed by.
    pub(crate) fn refresh(&self, pod: &RawPod, table: &Table) {
        let label = |key: &str| {
            let labels = pod.metadata.labels.as_ref()?;
            labels.get(key).map(String::as_str)
        };
        for follower in &self.0 {
            let is_own = pod.metadata.namespace.as_deref() == Some(&*follower.namespace);
            if is_own && follower.selector.matches(label) {
                follower.refresh(table);
            }
        }
    }
}

impl Follower {
    fn refresh(&self, table: &Table) {
        let namespace = table.names.get(&self.namespace);
        let is_taken = |pod: &&Pod| {
            Some(pod.namespace) == namespace
                && pod.is_live()
                && self.selector.matches(|key| pod.label(key, &table.names))
        };
        let followed = |pod: &Pod| {
            Some(FollowedPod {
                name: Arc::clone(&pod.name),
                address: pod.ip?,
                is_ready: pod.is_ready,
            })
        };
        let mut pods: Vec<_> = table
            .all_pods()
            .filter(is_taken)
            .filter_map(followed)
            .collect();
        pods.sort_unstable();
        self.sender.send_if_modified(|now| {
            let is_change = **now != *pods;
            if is_change {
                *now = pods.into();
            }
            is_change
        });
    }
}
