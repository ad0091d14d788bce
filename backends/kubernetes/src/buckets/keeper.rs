//! The elections of all buckets, joined to one view of who owns what.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::{FuturesUnordered, Stream, StreamExt};
use k8s_openapi::api::coordination::v1::Lease as LeaseKind;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use tokio::sync::{oneshot, watch};
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, info};
use zeron_core::{BucketSet, Holder, Owner, Ownership};

use super::announce::Announcement;
use super::config::BucketsConfig;
use crate::api::Caller;
use crate::counters::Counters;
use crate::lease::{Campaign, Leadership, Lease, LeaseConfig};

/// From saying that a bucket is not ours any more to giving it back.
const HAND_OVER: Duration = Duration::from_millis(100);

type Turn = BoxFuture<'static, Option<watch::Receiver<Leadership>>>;

/// One campaign per bucket, and what follows from them.
pub(super) struct Keeper {
    config: BucketsConfig,
    client: Client,
    caller: Caller,
    buckets: Arc<BucketSet>,
    campaigns: Vec<Campaign>,
    announcements: Vec<Option<AbortOnDropHandle<()>>>,
    sender: watch::Sender<Arc<Ownership>>,
}

impl Keeper {
    pub(super) fn new(
        client: Client,
        config: BucketsConfig,
        counters: Arc<Counters>,
        sender: watch::Sender<Arc<Ownership>>,
    ) -> Self {
        let buckets = Arc::new(BucketSet::of_autoscaler(config.count));
        let campaign = |name: &Arc<str>| {
            let lease = LeaseConfig {
                duration: Duration::from_secs(config.duration.as_secs()),
                renew: config.retry,
                retry: config.retry,
                deadline: Some(config.deadline),
                ..LeaseConfig::new(&config.namespace, name, &config.holder())
            };
            Lease::campaign(client.clone(), lease, Arc::clone(&counters))
        };
        Self {
            campaigns: buckets.names().iter().map(campaign).collect(),
            announcements: buckets.names().iter().map(|_| None).collect(),
            caller: Caller::new(client.clone(), counters, config.deadline / 2),
            client,
            buckets,
            sender,
            config,
        }
    }

    pub(super) async fn run(mut self, mut released: oneshot::Receiver<()>) {
        let turns = self.campaigns.iter();
        let mut turns: FuturesUnordered<Turn> = turns.map(|it| turn(it.leadership())).collect();
        let mut changes = changes(self.client.clone(), &self.config).boxed();
        loop {
            tokio::select! {
                _ = &mut released => break,
                Some(leadership) = turns.next() => {
                    turns.extend(leadership.map(turn));
                    self.publish();
                }
                Some(name) = changes.next() => self.look(&name),
            }
        }
        self.leave().await;
    }

    /// The Lease of that name has another holder, or none.
    fn look(&self, name: &str) {
        let mut all = self.buckets.names().iter().zip(&self.campaigns);
        if let Some((_, campaign)) = all.find(|(bucket, _)| ***bucket == *name) {
            campaign.look();
        }
    }

    fn publish(&mut self) {
        let leaderships = self.campaigns.iter();
        let leaderships = leaderships.map(|it| it.leadership().borrow().clone());
        let leaderships: Vec<Leadership> = leaderships.collect();
        let owner = |index: usize| match &leaderships[index] {
            it if it.is_leader => Owner::Us,
            it => match &it.holder {
                // An earlier pod that had our address: what was sent there would come back.
                Some(holder) if address(holder) == Some(self.config.pod_ip) => Owner::Nobody,
                Some(holder) => Owner::Other(self.holder(&self.buckets.names()[index], holder)),
                None => Owner::Nobody,
            },
        };
        let ownership = Ownership::new(Arc::clone(&self.buckets), owner);
        let is_change = self.sender.send_if_modified(|now| {
            let is_change = **now != ownership;
            if is_change {
                *now = Arc::new(ownership);
            }
            is_change
        });
        if is_change {
            let now = Arc::clone(&self.sender.borrow());
            for bucket in self.buckets.names() {
                info!(%bucket, owner = %said(now.owner(bucket)), "who owns buckets changed");
            }
        }
        for (index, leadership) in leaderships.iter().enumerate() {
            let announcement = &mut self.announcements[index];
            match leadership.is_leader {
                true if announcement.is_none() => {
                    let bucket = &self.buckets.names()[index];
                    let it = Announcement::new(self.caller.clone(), &self.config, bucket);
                    *announcement = Some(AbortOnDropHandle::new(tokio::spawn(it.run())));
                }
                true => {}
                false => *announcement = None,
            }
        }
    }

    /// Where another replica takes statistics: at its address, else behind the bucket's Service.
    fn holder(&self, bucket: &str, name: &Arc<str>) -> Holder {
        let BucketsConfig {
            namespace,
            cluster_domain,
            port,
            ..
        } = &self.config;
        let address = address(name).map(|it| SocketAddr::new(it, *port).to_string());
        let service = format!("{bucket}.{namespace}.svc.{cluster_domain}:{port}");
        Holder {
            name: Arc::clone(name),
            addresses: address.into_iter().chain([service]).collect(),
        }
    }

    async fn leave(mut self) {
        self.announcements.clear();
        // First those who rely on us learn that nothing is ours, then the others that it is free.
        self.sender
            .send_modify(|now| *now = Arc::new(now.without_us()));
        sleep(HAND_OVER).await;
        join_all(self.campaigns.drain(..).map(Campaign::resign)).await;
    }
}

/// In one word.
fn said(owner: Option<&Owner>) -> &str {
    match owner {
        Some(Owner::Us) => "us",
        Some(Owner::Other(holder)) => &holder.name,
        Some(Owner::Nobody) | None => "nobody",
    }
}

/// Of a holder's name, `<pod name>_<pod address>`.
fn address(holder: &str) -> Option<IpAddr> {
    holder.split_once('_').and_then(|(_, it)| it.parse().ok())
}

/// The next change; `None`: there will be no more.
fn turn(mut leadership: watch::Receiver<Leadership>) -> Turn {
    Box::pin(async move {
        leadership.changed().await.ok()?;
        Some(leadership)
    })
}

/// The names of Leases whose holder changed. It only saves waiting: they are looked at anyway.
fn changes(client: Client, config: &BucketsConfig) -> impl Stream<Item = String> + Send + use<> {
    let buckets = BucketSet::of_autoscaler(config.count);
    let watched = match buckets.names() {
        [only] => watcher::Config::default().fields(&format!("metadata.name={only}")),
        _ => watcher::Config::default(),
    };
    let is_bucket = move |lease: &LeaseKind| {
        let name = lease.metadata.name.as_deref();
        buckets.names().iter().any(|it| Some(&**it) == name)
    };
    let leases: Api<LeaseKind> = Api::namespaced(client, &config.namespace);
    let mut holders: HashMap<String, Option<String>> = HashMap::new();
    let events = watcher::watcher(leases, watched).default_backoff();
    events.filter_map(move |event| {
        let changed = match event {
            Ok(Event::Apply(lease) | Event::InitApply(lease)) if is_bucket(&lease) => {
                let name = lease.metadata.name.unwrap_or_default();
                let holder = lease.spec.and_then(|spec| spec.holder_identity);
                let before = holders.insert(name.clone(), holder.clone());
                (before != Some(holder)).then_some(name)
            }
            Ok(Event::Delete(lease)) if is_bucket(&lease) => {
                let name = lease.metadata.name.unwrap_or_default();
                holders.remove(&name);
                Some(name)
            }
            Ok(_) => None,
            Err(error) => {
                debug!(%error, "cannot watch Leases");
                None
            }
        };
        std::future::ready(changed)
    })
}
