//! One member: shows that it lives, looks who else does, takes and gives shards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use kube::Client;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, info, warn};

use super::assign::assign;
use super::{ShardSet, ShardsConfig};
use crate::api::{CallError, Caller};
use crate::counters::Counters;
use crate::lease::{Hold, LeaseList, LeaseObject, Observed, collection};

/// Label of our Leases.
const LABEL: &str = "zeron.dev/lease";
/// Its value for shards and for members.
const SHARD: &str = "autoscaler-shard";
const MEMBER: &str = "autoscaler-member";
/// Label of a member's Lease: by how many shards it shares.
const COUNT: &str = "zeron.dev/shards";
/// From saying that a shard is not ours any more to giving it back.
const HAND_OVER: Duration = Duration::from_millis(100);
/// A member's Lease that nobody renewed for so many times its duration is removed.
const FORGOTTEN: u32 = 30;

pub(super) struct Member {
    config: ShardsConfig,
    caller: Caller,
    presence: Hold,
    shards: Vec<Hold>,
    /// Leases of all members, ours included, by name.
    members: BTreeMap<String, Observed>,
    /// Shards of autoscalers that were told another count: theirs are the same functions.
    foreign: BTreeMap<String, Observed>,
    sender: watch::Sender<ShardSet>,
}

impl Member {
    pub(super) fn new(
        client: Client,
        config: ShardsConfig,
        counters: Arc<Counters>,
        sender: watch::Sender<ShardSet>,
    ) -> Self {
        // One slow answer must not cost what is held.
        let caller = Caller::new(client, counters, config.duration / 2);
        let count = config.count;
        let hold = |name: String, label: &str| {
            let hold = Hold::new(
                caller.clone(),
                &config.namespace,
                name,
                Arc::clone(&config.holder),
                config.duration,
            );
            hold.with_labels(&[
                ("app.kubernetes.io/name", "zeron"),
                ("app.kubernetes.io/component", "autoscaler"),
                (LABEL, label),
                (COUNT, &count.to_string()),
            ])
        };
        let shard = |index| hold(format!("zeron-autoscaler-{index:02}-of-{count}"), SHARD);
        Self {
            presence: hold(format!("zeron-autoscaler-member-{}", config.holder), MEMBER),
            shards: (0..count).map(shard).collect(),
            members: BTreeMap::new(),
            foreign: BTreeMap::new(),
            caller,
            config,
            sender,
        }
    }

    pub(super) async fn run(mut self, mut released: oneshot::Receiver<()>) {
        loop {
            tokio::select! {
                biased;
                _ = &mut released => break,
                () = self.step() => {}
            }
            let next = self.next_at();
            tokio::select! {
                _ = &mut released => break,
                () = sleep_until(next) => {}
            }
            // Some hold may have ended while we slept.
            self.publish(&BTreeSet::new());
        }
        self.leave().await;
    }

    async fn step(&mut self) {
        if let Err(error) = self.look().await {
            warn!(%error, "cannot see the other autoscalers");
            // What we hold is renewed all the same.
            self.renew().await;
            self.publish(&BTreeSet::new());
            return;
        }
        self.show_presence().await;
        let (take, give) = self.differences();
        // First those who rely on us learn that it is not ours, then the others that it is free.
        self.publish(&give);
        self.renew().await;
        self.take(&take).await;
        self.publish(&give);
        if !give.is_empty() {
            sleep(HAND_OVER).await;
            self.give(&give).await;
        }
        self.forget_the_dead().await;
    }

    /// Reads all Leases of ours in one list.
    async fn look(&mut self) -> Result<(), CallError> {
        let path = format!(
            "{}?labelSelector={LABEL}%20in%20({SHARD},{MEMBER})",
            collection(&self.config.namespace)
        );
        let list: LeaseList = self.caller.get(&path).await?;
        let now = Instant::now();
        let mut shards: BTreeMap<String, LeaseObject> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for object in list.items {
            let name = object.metadata.name.clone();
            match object.metadata.labels.get(LABEL).map(String::as_str) {
                Some(MEMBER) => {
                    seen.insert(name.clone());
                    observe(&mut self.members, name, object, now);
                }
                _ => {
                    shards.insert(name, object);
                }
            }
        }
        self.members.retain(|name, _| seen.contains(name));
        for hold in &mut self.shards {
            let object = shards.remove(hold.name());
            hold.see(object);
        }
        self.foreign.retain(|name, _| shards.contains_key(name));
        for (name, object) in shards {
            observe(&mut self.foreign, name, object, now);
        }
        let own = self.members.get(self.presence.name());
        self.presence.see(own.map(|own| own.object.clone()));
        Ok(())
    }

    async fn show_presence(&mut self) {
        let is_due = |hold: &Hold, now| is_due(hold, self.config.renew, now);
        if !is_due(&self.presence, Instant::now()) {
            return;
        }
        match self.presence.write().await {
            Ok(()) => {
                let name = self.presence.name().to_owned();
                if let Some(own) = self.presence.observed.clone() {
                    self.members.insert(name, own);
                }
            }
            Err(error) => debug!(%error, "cannot show that we live"),
        }
    }

    /// Shards to take, and shards to give to another who lives.
    fn differences(&self) -> (BTreeSet<usize>, BTreeSet<u32>) {
        let now = Instant::now();
        let live: Vec<&str> = self
            .members
            .values()
            .filter(|member| {
                !member.is_free(self.config.duration, now) && self.shares_alike(member)
            })
            .filter_map(|member| member.object.holder())
            .collect();
        let (mut take, mut give) = (BTreeSet::new(), BTreeSet::new());
        for (index, owner) in assign(self.config.count, &live).into_iter().enumerate() {
            let hold = &self.shards[index];
            let is_ours = owner == Some(&*self.config.holder);
            match (is_ours, hold.is_held(now)) {
                (true, false) if hold.is_free(now) => {
                    take.insert(index);
                }
                (false, true) if owner.is_some() => {
                    give.extend(u32::try_from(index));
                }
                _ => {}
            }
        }
        self.yield_to_foreign(&mut take, &mut give, now);
        (take, give)
    }

    /// Whether a member was told the same count; one that does not say so was.
    fn shares_alike(&self, member: &Observed) -> bool {
        let count = member.object.metadata.labels.get(COUNT);
        count.is_none_or(|count| *count == self.config.count.to_string())
    }

    /// Of two counts one at a time is in force: whoever holds shards keeps them until it ends, and
    /// should both hold some, the smaller count stays.
    fn yield_to_foreign(&self, take: &mut BTreeSet<usize>, give: &mut BTreeSet<u32>, now: Instant) {
        let foreign = self.foreign.iter();
        let mut held = foreign.filter(|(_, lease)| !lease.is_free(self.config.duration, now));
        let Some((name, _)) = held.next() else {
            return;
        };
        if !take.is_empty() {
            warn!(lease = name, "waiting: shards of another --shards are held");
        }
        take.clear();
        let count = |name: &str| name.rsplit_once("-of-")?.1.parse::<u32>().ok();
        let is_smaller = |(name, _): (&String, _)| count(name) < Some(self.config.count);
        if is_smaller((name, ())) || held.any(|(name, _)| is_smaller((name, ()))) {
            give.extend(
                (0..)
                    .zip(&self.shards)
                    .filter_map(|(index, hold)| hold.is_held(now).then_some(index)),
            );
        }
    }

    async fn renew(&mut self) {
        let (now, every) = (Instant::now(), self.config.renew);
        let due = self.shards.iter_mut();
        let due = due.filter(|hold| hold.is_held(now) && is_due(hold, every, now));
        for result in join_all(due.map(Hold::renew)).await {
            if let Err(error) = result {
                warn!(%error, "cannot renew a shard");
            }
        }
    }

    async fn take(&mut self, take: &BTreeSet<usize>) {
        let wanted = self.shards.iter_mut().enumerate();
        let wanted = wanted.filter(|(index, _)| take.contains(index));
        for result in join_all(wanted.map(|(_, hold)| hold.write())).await {
            if let Err(error) = result {
                debug!(%error, "could not take a shard");
            }
        }
    }

    async fn give(&mut self, give: &BTreeSet<u32>) {
        let ours = (0..).zip(&mut self.shards);
        let ours = ours.filter(|(index, _)| give.contains(index));
        for result in join_all(ours.map(|(_, hold)| hold.release())).await {
            if let Err(error) = result {
                debug!(%error, "could not give a shard back");
            }
        }
    }

    /// What is held now, without what is about to go.
    fn publish(&self, without: &BTreeSet<u32>) {
        let now = Instant::now();
        let held: ShardSet = (0..)
            .zip(&self.shards)
            .filter(|(index, hold)| hold.is_held(now) && !without.contains(index))
            .map(|(index, _)| index)
            .collect();
        self.sender.send_if_modified(|before| {
            let is_change = *before != held;
            if is_change {
                info!(?held, of = self.config.count, "shards changed");
                *before = held;
            }
            is_change
        });
    }

    /// Leases of members that ended without a word would pile up.
    async fn forget_the_dead(&mut self) {
        let now = Instant::now();
        let age = self.config.duration * FORGOTTEN;
        let dead = self.members.iter().find(|(_, member)| {
            now.saturating_duration_since(member.changed) > age
                && member.is_free(self.config.duration, now)
        });
        let Some(name) = dead.map(|(name, _)| name.clone()) else {
            return;
        };
        let path = format!("{}/{name}", collection(&self.config.namespace));
        let verb = crate::counters::Verb::delete;
        match self.caller.call_bytes(verb, &path, None).await {
            Ok(_) => debug!(name, "removed the lease of an autoscaler that is gone"),
            Err(error) => debug!(name, %error, "could not remove a lease"),
        }
        self.members.remove(&name);
    }

    async fn leave(&mut self) {
        self.sender.send_replace(ShardSet::new());
        sleep(HAND_OVER).await;
        let all: BTreeSet<u32> = (0..self.config.count).collect();
        self.give(&all).await;
        if let Err(error) = self.presence.delete().await {
            debug!(%error, "could not say that we leave");
        }
    }

    /// The next look: the usual one, or the moment that something expires.
    fn next_at(&self) -> Instant {
        let now = Instant::now();
        let others = self.shards.iter().chain([&self.presence]);
        let others = others.filter_map(|hold| hold.held_until().or(hold.expires()));
        let members = self.members.values();
        let members = members.filter_map(|member| member.expires(self.config.duration));
        let first = others.chain(members).filter(|at| *at > now).min();
        let usual = now + self.config.retry;
        first.map_or(usual, |at| at.min(usual))
    }
}

fn observe(
    leases: &mut BTreeMap<String, Observed>,
    name: String,
    object: LeaseObject,
    now: Instant,
) {
    match leases.get_mut(&name) {
        Some(lease) => lease.update(object, now),
        None => {
            leases.insert(name, Observed::new(object, now));
        }
    }
}

fn is_due(hold: &Hold, every: Duration, now: Instant) -> bool {
    hold.renewed.is_none_or(|renewed| now >= renewed + every) || !hold.is_held(now)
}
