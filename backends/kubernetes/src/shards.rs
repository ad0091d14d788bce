//! Functions in shards, one Lease each, shared evenly by the autoscalers that live.
//!
//! Each autoscaler renews one Lease of its own, by which it keeps all its shards; a watch shows
//! those of the others. So the API server is asked about once a second, however many shards are.

mod assign;
mod follow;
mod member;
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use crate::counters::Counters;

pub use assign::shard_of;
use follow::Acting;
use member::Member;
pub use view::member_lease;

/// The shards that somebody holds.
pub type ShardSet = BTreeSet<u32>;

/// How shards are shared.
#[derive(Clone, Debug)]
pub struct ShardsConfig {
    /// Where the Leases are.
    pub namespace: String,
    /// How many shards there are; the same for all autoscalers.
    pub count: u32,
    /// Who we are; unique and fit for the name of an object, such as the pod's name.
    pub holder: Arc<str>,
    /// How long a shard of an autoscaler that is gone stays without owner; whole seconds.
    pub duration: Duration,
    /// How often we show that we live.
    pub renew: Duration,
    /// Until something that failed is tried again.
    pub retry: Duration,
}

impl ShardsConfig {
    /// The usual timing: 4 s, renewed each third of it.
    pub fn new(namespace: &str, count: u32, holder: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            count,
            holder: holder.into(),
            duration: Duration::from_secs(4),
            renew: Duration::from_secs(4) / 3,
            retry: Duration::from_millis(500),
        }
    }
}

/// Taking part; ends when dropped, without a word to the others.
#[derive(Debug)]
pub struct Shards {
    held: watch::Receiver<ShardSet>,
    acting: watch::Sender<Acting>,
    release: Option<oneshot::Sender<()>>,
    task: AbortOnDropHandle<()>,
}

impl Shards {
    /// Takes part in the sharing. Each member has a Lease that says that it lives; the shards are
    /// assigned by a rule that all compute alike; who holds one that is another's gives it back.
    pub fn campaign(client: Client, config: ShardsConfig, counters: Arc<Counters>) -> Self {
        let (sender, held) = watch::channel(ShardSet::new());
        let (acting, acts) = watch::channel(None);
        let (release, released) = oneshot::channel();
        let member = Member::new(client, config, counters, sender, acts);
        Self {
            held,
            acting,
            release: Some(release),
            task: AbortOnDropHandle::new(tokio::spawn(member.run(released))),
        }
    }

    /// The shards that are ours. One that goes is gone from here before anybody else may have it.
    pub fn held(&self) -> watch::Receiver<ShardSet> {
        self.held.clone()
    }

    /// Calls `hold` with the shards that are ours, now and whenever they change. A shard that `hold`
    /// was called without goes to another once `settled` returned, or after a second.
    pub fn follow<F>(
        &self,
        hold: impl FnMut(&ShardSet) + Send + 'static,
        settled: impl Fn() -> F + Send + 'static,
    ) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (held, acting) = (self.held(), self.acting.clone());
        tokio::spawn(follow::follow(held, acting, hold, settled))
    }

    /// Gives everything back, so that successors need not wait.
    pub async fn release(mut self) {
        if let Some(release) = self.release.take() {
            // An error: it had ended already.
            release.send(()).ok();
            (&mut self.task).await.ok();
        }
    }
}

#[cfg(test)]
mod tests;
