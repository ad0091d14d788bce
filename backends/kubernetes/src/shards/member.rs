//! One member: shows that it lives, looks who else does, takes and gives shards.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use kube::Client;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::assign::assign;
use super::follow::Acting;
use super::view::{View, is_member, member_lease};
use super::{ShardSet, ShardsConfig};
use crate::api::{CallError, Caller};
use crate::counters::{Counters, Verb};
use crate::lease::{Hold, LeaseObject, LeaseWatch, Observed, Shown, collection};

/// Label of our Leases.
pub(super) const LABEL: &str = "zeron.dev/lease";
/// Its value for shards and for members.
const SHARD: &str = "autoscaler-shard";
pub(super) const MEMBER: &str = "autoscaler-member";
/// Label: by how many shards a member shares.
pub(super) const COUNT: &str = "zeron.dev/shards";
/// What a shard's Lease says of itself. Its holder's own Lease counts, which ends much sooner.
const SHARD_DURATION: Duration = Duration::from_secs(900);
/// All Leases are listed so often, whatever the watch shows.
const LIST_EVERY: Duration = Duration::from_secs(60);
/// From saying that a shard is not ours any more to giving it back, where nobody says what is
/// acted on.
const HAND_OVER: Duration = Duration::from_millis(100);
/// Where somebody does: for what was sent while it was ours. Far less than a hold lasts.
const LAST_WRITES: Duration = Duration::from_secs(1);
/// A member's Lease that nobody renewed for so many times its duration is removed.
const FORGOTTEN: u32 = 30;

pub(super) struct Member {
    config: ShardsConfig,
    caller: Caller,
    watch: LeaseWatch,
    view: View,
    presence: Hold,
    /// Ours only while presence is held as well, without a gap.
    shards: Vec<Hold>,
    /// Our presence could not be shown: not before this is it tried again.
    presence_at: Option<Instant>,
    /// The same of all else.
    retry_at: Option<Instant>,
    sender: watch::Sender<ShardSet>,
    acting: watch::Receiver<Acting>,
}

impl Member {
    pub(super) fn new(
        client: Client,
        config: ShardsConfig,
        counters: Arc<Counters>,
        sender: watch::Sender<ShardSet>,
        acting: watch::Receiver<Acting>,
    ) -> Self {
        // One slow answer must not cost what is held.
        let caller = Caller::new(client, counters, config.duration / 3);
        let count = config.count;
        let hold = |name: String, label: &str, duration: Duration| {
            let hold = Hold::new(
                caller.clone(),
                &config.namespace,
                name,
                Arc::clone(&config.holder),
                duration,
            );
            hold.with_labels(&[
                ("app.kubernetes.io/name", "zeron"),
                ("app.kubernetes.io/component", "autoscaler"),
                (LABEL, label),
                (COUNT, &count.to_string()),
            ])
        };
        let shard = |index| {
            let name = format!("zeron-autoscaler-{index:02}-of-{count}");
            hold(name, SHARD, SHARD_DURATION)
        };
        let leases = collection(&config.namespace);
        let selector = format!("{LABEL}%20in%20({SHARD},{MEMBER})");
        Self {
            presence: hold(member_lease(&config.holder), MEMBER, config.duration),
            shards: (0..count).map(shard).collect(),
            watch: LeaseWatch::new(caller.clone(), &leases, &selector),
            view: View::new(Arc::clone(&config.holder), config.duration),
            presence_at: None,
            retry_at: None,
            caller,
            config,
            sender,
            acting,
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
                shown = self.watch.next() => self.show(shown),
                () = sleep_until(next) => {}
            }
            // Some hold may have ended while we slept.
            self.publish(&BTreeSet::new());
        }
        self.leave().await;
    }

    async fn step(&mut self) {
        let is_ahead = |at: &Instant| *at > Instant::now();
        self.presence_at = self.presence_at.filter(is_ahead);
        self.retry_at = self.retry_at.filter(is_ahead);
        self.show_presence().await;
        self.look().await;
        // It is known now whether it was there before.
        self.show_presence().await;
        let (take, give) = self.differences();
        // First those who rely on us learn that it is not ours, then the others that it is free.
        self.publish(&give);
        self.renew().await;
        self.take(&take).await;
        self.publish(&give);
        if !give.is_empty() {
            self.let_go(&give).await;
            self.give(&give).await;
        }
        self.forget_the_dead().await;
    }

    // === what is known ===

    fn show(&mut self, shown: Shown) {
        match shown {
            Shown::Is(object) => {
                if let Some(hold) = self.hold(&object) {
                    hold.show(object.clone());
                }
                if !self.is_own_shard(&object) {
                    self.view.show(object);
                }
            }
            Shown::Gone(object) => {
                if let Some(hold) = self.hold(&object) {
                    hold.gone(&object);
                }
                self.view.gone(&object);
            }
            Shown::Ended => {
                self.view.doubt();
                self.retry();
            }
        }
    }

    fn is_own_shard(&self, object: &LeaseObject) -> bool {
        !is_member(object)
            && self
                .shards
                .iter()
                .any(|it| it.name() == object.metadata.name)
    }

    fn hold(&mut self, object: &LeaseObject) -> Option<&mut Hold> {
        let mut holds = self.shards.iter_mut().chain([&mut self.presence]);
        holds.find(|hold| hold.name() == object.metadata.name)
    }

    /// Lists all Leases of ours where the watch alone does not do.
    async fn look(&mut self) {
        let now = Instant::now();
        let is_due = self.list_at().is_none_or(|at| at <= now);
        if !is_due || self.retry_at.is_some() {
            return;
        }
        let mut objects = match self.watch.list().await {
            Ok(objects) => objects,
            Err(error) => {
                warn!(%error, "cannot see the other autoscalers");
                self.retry();
                return;
            }
        };
        let own = |name: &str| {
            let at = objects.iter().position(|it| it.metadata.name == name)?;
            Some(objects[at].clone())
        };
        self.presence.see(own(self.presence.name()));
        for hold in &mut self.shards {
            hold.see(own(hold.name()));
        }
        objects.retain(|object| !self.is_own_shard(object));
        self.view.list(objects, now);
    }

    /// When a list is due; `None`: now.
    fn list_at(&self) -> Option<Instant> {
        let listed = self.view.listed()?;
        // What ended since then must be confirmed before anything is taken.
        let ends = self.view.ends(self.observed()).filter(|end| *end > listed);
        ends.chain([listed + LIST_EVERY]).min()
    }

    fn observed(&self) -> impl Iterator<Item = &Observed> {
        self.shards.iter().filter_map(|hold| hold.observed.as_ref())
    }

    fn retry(&mut self) {
        self.retry_at = Some(Instant::now() + self.config.retry);
    }

    fn failed(&mut self, error: &CallError) {
        self.suspect(error);
        self.retry();
    }

    /// A Lease may not be as we know it.
    fn suspect(&mut self, error: &CallError) {
        if matches!(error.status(), Some(404 | 409)) {
            self.view.doubt();
        }
    }

    // === what is ours ===

    /// Renews our own Lease. Without it nothing else is ours, even if it comes back: others may
    /// have taken it meanwhile.
    async fn show_presence(&mut self) {
        let now = Instant::now();
        let is_held = self.presence.is_held(now);
        if !is_held {
            self.shards.iter_mut().for_each(Hold::lapse);
        }
        let is_due = match is_held {
            true => self
                .presence
                .due(self.config.renew)
                .is_none_or(|at| at <= now),
            false => self.view.listed().is_some(),
        };
        if !is_due || self.presence_at.is_some() {
            return;
        }
        let written = match is_held {
            true => self.presence.renew().await,
            false => self.presence.write().await,
        };
        if let Some(own) = &self.presence.observed {
            self.view.show(own.object.clone());
        }
        if let Err(error) = written {
            warn!(%error, "cannot show that we live");
            self.presence_at = Some(Instant::now() + self.config.retry);
            self.suspect(&error);
        }
    }

    /// Shards to take, and shards to give to another who lives.
    fn differences(&mut self) -> (BTreeSet<usize>, BTreeSet<u32>) {
        let now = Instant::now();
        let (mut take, mut give) = (BTreeSet::new(), BTreeSet::new());
        let shards = self.shards.iter().filter_map(|hold| hold.observed.as_ref());
        self.view.note_missing(shards);
        if !self.presence.is_held(now) {
            return (take, give);
        }
        let live = self.view.live(self.config.count, now);
        for (index, owner) in assign(self.config.count, &live).into_iter().enumerate() {
            let hold = &self.shards[index];
            let is_ours = owner == Some(&*self.config.holder);
            match (is_ours, hold.is_held(now)) {
                (true, false) if self.is_free(hold, now) => {
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

    fn is_free(&self, hold: &Hold, now: Instant) -> bool {
        let end = (hold.observed.as_ref()).and_then(|shard| self.view.end_of(shard));
        end.is_none_or(|end| self.view.is_over(end, now))
    }

    /// Of two counts one at a time is in force: whoever holds shards keeps them until it ends, and
    /// should both hold some, the smaller count stays.
    fn yield_to_foreign(&self, take: &mut BTreeSet<usize>, give: &mut BTreeSet<u32>, now: Instant) {
        let held: Vec<&str> = self.view.held_by_another_count(now).collect();
        let Some(name) = held.first() else {
            return;
        };
        if !take.is_empty() {
            warn!(lease = name, "waiting: shards of another --shards are held");
        }
        take.clear();
        let count = |name: &str| name.rsplit_once("-of-")?.1.parse::<u32>().ok();
        if held
            .iter()
            .any(|name| count(name) < Some(self.config.count))
        {
            give.extend(
                (0..)
                    .zip(&self.shards)
                    .filter_map(|(index, hold)| hold.is_held(now).then_some(index)),
            );
        }
    }

    async fn renew(&mut self) {
        let now = Instant::now();
        let is_due = |hold: &&mut Hold| {
            let due = hold.due(SHARD_DURATION / 3);
            hold.is_held(now) && due.is_none_or(|at| at <= now)
        };
        let due = self.shards.iter_mut().filter(is_due);
        for result in join_all(due.map(Hold::renew)).await {
            if let Err(error) = result {
                warn!(%error, "cannot renew a shard");
                self.failed(&error);
            }
        }
    }

    async fn take(&mut self, take: &BTreeSet<usize>) {
        let wanted = self.shards.iter_mut().enumerate();
        let wanted = wanted.filter(|(index, _)| take.contains(index));
        for result in join_all(wanted.map(|(_, hold)| hold.write())).await {
            if let Err(error) = result {
                debug!(%error, "could not take a shard");
                self.failed(&error);
            }
        }
    }

    /// Waits until nobody acts on these any more.
    async fn let_go(&mut self, give: &BTreeSet<u32>) {
        let is_let_go = |acting: &Acting| match acting {
            Some(acting) => acting.is_disjoint(give),
            None => false,
        };
        let is_said = self.acting.borrow().is_some();
        let limit = if is_said { LAST_WRITES } else { HAND_OVER };
        let waited = timeout(limit, self.acting.wait_for(is_let_go)).await;
        if is_said && waited.is_err() {
            warn!(shards = ?give, "giving shards away while something is still written for them");
        }
    }

    async fn give(&mut self, give: &BTreeSet<u32>) {
        let ours = (0..).zip(&mut self.shards);
        let ours = ours.filter(|(index, _)| give.contains(index));
        for result in join_all(ours.map(|(_, hold)| hold.release())).await {
            if let Err(error) = result {
                debug!(%error, "could not give a shard back");
                self.failed(&error);
            }
        }
    }

    /// What is held now, without what is about to go.
    fn publish(&self, without: &BTreeSet<u32>) {
        let now = Instant::now();
        let is_held = |hold: &Hold| self.presence.is_held(now) && hold.is_held(now);
        let held: ShardSet = (0..)
            .zip(&self.shards)
            .filter(|(index, hold)| is_held(hold) && !without.contains(index))
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
        let age = self.config.duration * FORGOTTEN;
        let Some(name) = self.view.dead(age, Instant::now()) else {
            return;
        };
        let path = format!("{}/{name}", collection(&self.config.namespace));
        match self.caller.call_bytes(Verb::delete, &path, None).await {
            Ok(_) => debug!(name, "removed the lease of an autoscaler that is gone"),
            Err(error) => debug!(name, %error, "could not remove a lease"),
        }
        self.view.forget(&name);
    }

    async fn leave(&mut self) {
        self.sender.send_replace(ShardSet::new());
        let all: BTreeSet<u32> = (0..self.config.count).collect();
        self.let_go(&all).await;
        self.give(&all).await;
        if let Err(error) = self.presence.delete().await {
            debug!(%error, "could not say that we leave");
        }
    }

    /// When the next step is due, unless the watch shows something before.
    fn next_at(&self) -> Instant {
        let now = Instant::now();
        let presence = match self.presence.is_held(now) {
            true => self.presence.due(self.config.renew),
            false => self.view.listed().map(|_| now),
        };
        let presence = presence.map(|at| at.max(self.presence_at.unwrap_or(now)));
        let shards = self.shards.iter().filter(|hold| hold.is_held(now));
        let shards = shards.filter_map(|hold| hold.due(SHARD_DURATION / 3));
        let others = shards.chain([self.list_at().unwrap_or(now)]);
        let others = others.map(|at| at.max(self.retry_at.unwrap_or(now)));
        // The moment that our own hold ends it is said.
        let end = self.presence.held_until().filter(|end| *end > now);
        let next = presence.into_iter().chain(others);
        let next = next.chain(self.retry_at).chain(end).min();
        next.unwrap_or(now).max(now)
    }
}
