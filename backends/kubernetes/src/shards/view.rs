//! What is known of the other members: who lives, and which shards they hold.
//!
//! A shard is its holder's for as long as the holder shows that it lives, by one Lease of its own
//! that is renewed often; the shards' Leases only say whose they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::member::{COUNT, LABEL, MEMBER};
use crate::lease::{LeaseObject, Observed};

#[derive(Debug)]
pub(super) struct View {
    own: Arc<str>,
    /// How long a member lives after it last showed so, where it does not say.
    duration: Duration,
    /// Leases of all members, ours included, by name.
    members: BTreeMap<String, Observed>,
    /// Shards of autoscalers that were told another count: theirs are the same functions.
    foreign: BTreeMap<String, Observed>,
    /// Holders of shards that have no Lease of their own, and since when: somebody removed it.
    missing: BTreeMap<String, Instant>,
    /// When the newest complete list was asked for; `None`: something does not add up.
    listed: Option<Instant>,
}

/// The name of the Lease by which `holder` shows that it lives.
pub fn member_lease(holder: &str) -> String {
    format!("zeron-autoscaler-member-{holder}")
}

pub(super) fn is_member(object: &LeaseObject) -> bool {
    object.metadata.labels.get(LABEL).map(String::as_str) == Some(MEMBER)
}

impl View {
    pub(super) fn new(own: Arc<str>, duration: Duration) -> Self {
        Self {
            own,
            duration,
            members: BTreeMap::new(),
            foreign: BTreeMap::new(),
            missing: BTreeMap::new(),
            listed: None,
        }
    }

    // === what is shown ===

    /// Takes a complete list, but for the shards that are shared with us.
    pub(super) fn list(&mut self, objects: Vec<LeaseObject>, asked: Instant) {
        let now = Instant::now();
        let names: Vec<String> = objects.iter().map(|it| it.metadata.name.clone()).collect();
        for leases in [&mut self.members, &mut self.foreign] {
            leases.retain(|name, _| names.contains(name));
        }
        for object in objects {
            observe(self.kind(&object), object, now);
        }
        self.listed = Some(asked);
    }

    /// A watch shows this; what is older than what is known is ignored.
    pub(super) fn show(&mut self, object: LeaseObject) {
        let leases = self.kind(&object);
        let known = leases.get(&object.metadata.name);
        if known.is_none_or(|known| !object.is_older_than(&known.object)) {
            observe(leases, object, Instant::now());
        }
    }

    /// It is gone.
    pub(super) fn gone(&mut self, object: &LeaseObject) {
        let leases = self.kind(object);
        let known = leases.get(&object.metadata.name);
        if known.is_some_and(|known| !object.is_older_than(&known.object)) {
            leases.remove(&object.metadata.name);
        }
    }

    /// Something does not add up: nothing is taken before the next list.
    pub(super) fn doubt(&mut self) {
        self.listed = None;
    }

    pub(super) fn listed(&self) -> Option<Instant> {
        self.listed
    }

    fn kind(&mut self, object: &LeaseObject) -> &mut BTreeMap<String, Observed> {
        match is_member(object) {
            true => &mut self.members,
            false => &mut self.foreign,
        }
    }

    /// Holders of these shards, and of foreign ones, that show nothing of themselves.
    pub(super) fn note_missing<'a>(&mut self, shards: impl Iterator<Item = &'a Observed>) {
        let now = Instant::now();
        let missing = |shard: &Observed| {
            let holder = shard.object.holder()?;
            let is_missing =
                holder != &*self.own && !self.members.contains_key(&member_lease(holder));
            is_missing.then(|| holder.to_owned())
        };
        let foreign = self.foreign.values().filter_map(missing);
        let missing: BTreeSet<String> = shards.filter_map(missing).chain(foreign).collect();
        self.missing.retain(|holder, _| missing.contains(holder));
        for holder in missing {
            self.missing.entry(holder).or_insert(now);
        }
    }

    // === what follows ===

    /// When somebody else's hold on a shard ends, by what is known; `None`: there is none.
    pub(super) fn end_of(&self, shard: &Observed) -> Option<Instant> {
        let holder = shard.object.holder()?;
        if holder == &*self.own {
            return None;
        }
        let own = shard.expires(self.duration)?;
        let session = match self.members.get(&member_lease(holder)) {
            Some(member) => member.expires(self.duration)?,
            None => (self.missing.get(holder)).map_or(own, |since| *since + self.duration),
        };
        Some(own.min(session))
    }

    /// Whether it ended, and a list that was asked for afterwards confirms it: a watch that is
    /// behind shows nobody's renewals.
    pub(super) fn is_over(&self, end: Instant, now: Instant) -> bool {
        end <= now && self.listed.is_some_and(|listed| listed >= end)
    }

    /// Members that live and share by `count`; one that does not say by how many does.
    pub(super) fn live(&self, count: u32, now: Instant) -> Vec<&str> {
        let count = count.to_string();
        let is_alike = |member: &Observed| {
            let own = member.object.metadata.labels.get(COUNT);
            own.is_none_or(|own| *own == count)
        };
        let members = self.members.values();
        members
            .filter(|member| is_alike(member))
            .filter(|member| {
                let end = member.expires(self.duration);
                end.is_some_and(|end| !self.is_over(end, now))
            })
            .filter_map(|member| member.object.holder())
            .collect()
    }

    /// Shards of another count that are held, by name.
    pub(super) fn held_by_another_count(&self, now: Instant) -> impl Iterator<Item = &str> {
        let is_held = move |lease: &Observed| {
            let end = self.end_of(lease);
            end.is_some_and(|end| !self.is_over(end, now))
        };
        let foreign = self.foreign.iter();
        foreign.filter_map(move |(name, lease)| is_held(lease).then_some(name.as_str()))
    }

    /// The name of a member's Lease that was not renewed for `age`.
    pub(super) fn dead(&self, age: Duration, now: Instant) -> Option<String> {
        let is_dead = |member: &Observed| {
            let end = member.expires(self.duration);
            let is_over = end.is_none_or(|end| self.is_over(end, now));
            is_over && now.saturating_duration_since(member.changed) > age
        };
        let dead = self.members.iter().find(|(_, member)| is_dead(member));
        dead.map(|(name, _)| name.clone())
    }

    pub(super) fn forget(&mut self, name: &str) {
        self.members.remove(name);
    }

    /// When holds of others end, those of `shards` included.
    pub(super) fn ends<'a>(
        &'a self,
        shards: impl Iterator<Item = &'a Observed>,
    ) -> impl Iterator<Item = Instant> {
        let shards = shards.chain(self.foreign.values());
        let members = self.members.values();
        let others = members.filter(|member| member.object.holder() != Some(&self.own));
        shards
            .filter_map(|shard| self.end_of(shard))
            .chain(others.filter_map(|member| member.expires(self.duration)))
    }
}

fn observe(leases: &mut BTreeMap<String, Observed>, object: LeaseObject, now: Instant) {
    match leases.get_mut(&object.metadata.name) {
        Some(lease) => lease.update(object, now),
        None => {
            let name = object.metadata.name.clone();
            leases.insert(name, Observed::new(object, now));
        }
    }
}
