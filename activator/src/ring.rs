//! Who owns which replica: rendezvous hashing over the activators that live.
//!
//! A replica with a limit is given work by its owner alone, so that its limit holds over all
//! activators. Every activator computes the same owner from the same names; only the replicas of
//! an activator that comes or goes change hands.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use zeron_core::EndpointId;

use crate::replica::Replica;

/// After so long, every activator knows of a change.
const SETTLED_AFTER: Duration = Duration::from_secs(3);

/// Departed activators that are remembered.
const MAX_DEPARTED: usize = 32;

/// Another activator.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer {
    /// The name by which all know it, such as its pod's; unique, also over time.
    pub name: String,
    /// Its [`crate::Config::peer_listener`].
    pub address: SocketAddr,
}

/// Another activator, and the way to it.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) peer: Peer,
    seed: u64,
    /// Requests are sent to it as to a replica.
    pub(crate) way: Arc<Replica>,
    is_gone: AtomicBool,
}

impl Member {
    fn new(peer: Peer) -> Self {
        Self {
            seed: seed(&peer.name),
            way: Arc::new(Replica::new(EndpointId(seed(&peer.name)), peer.address)),
            is_gone: AtomicBool::new(false),
            peer,
        }
    }

    /// It left, and cannot be asked any more: its requests have ended with it.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed)
    }

    pub(crate) fn is_found_gone(&self) {
        self.is_gone.store(true, Ordering::Relaxed);
    }
}

/// All activators that live, as this one knows them.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    name: Box<str>,
    seed: u64,
    members: Vec<Arc<Member>>,
    /// Those that were members before and may still have requests at replicas that are ours now.
    departed: Vec<Arc<Member>>,
    /// When it last changed; `None`: it never did.
    since: Option<Instant>,
}

impl Ring {
    /// This ring with other members; `None` when nothing changes.
    pub(crate) fn next(&self, name: &str, mut peers: Vec<Peer>, now: Instant) -> Option<Self> {
        peers.retain(|peer| peer.name != name);
        peers.sort();
        peers.dedup_by(|a, b| a.name == b.name);
        let is_same = self.members.iter().map(|member| &member.peer).eq(&peers);
        if is_same && *self.name == *name {
            return None;
        }
        let known = |peer: &Peer| {
            let all = self.members.iter().chain(&self.departed);
            let mut same = all.filter(|member| member.peer == *peer && !member.is_gone());
            same.next().cloned()
        };
        let members: Vec<_> = peers
            .into_iter()
            .map(|peer| known(&peer).unwrap_or_else(|| Arc::new(Member::new(peer))))
            .collect();
        let mut departed: Vec<_> = (self.members.iter().chain(&self.departed))
            .filter(|old| !old.is_gone() && !members.iter().any(|new| Arc::ptr_eq(old, new)))
            .cloned()
            .collect();
        departed.truncate(MAX_DEPARTED);
        Some(Self {
            name: name.into(),
            seed: seed(name),
            members,
            departed,
            since: Some(now),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The owner of a replica; `None`: this activator.
    pub(crate) fn owner(&self, replica: EndpointId) -> Option<&Arc<Member>> {
        let ours = (weight(self.seed, replica), &*self.name);
        let theirs = self.members.iter();
        let best = theirs.max_by_key(|it| (weight(it.seed, replica), &*it.peer.name))?;
        ((weight(best.seed, replica), &*best.peer.name) > ours).then_some(best)
    }

    pub(crate) fn member(&self, name: &str) -> Option<&Arc<Member>> {
        self.members.iter().find(|member| member.peer.name == name)
    }

    /// Those who may have requests at replicas that are ours.
    pub(crate) fn others(&self) -> impl Iterator<Item = &Arc<Member>> {
        let departed = self.departed.iter().filter(|member| !member.is_gone());
        self.members.iter().chain(departed)
    }

    pub(crate) fn has_departed(&self, member: &Arc<Member>) -> bool {
        self.departed.iter().any(|it| Arc::ptr_eq(it, member))
    }

    /// It changed so lately that others may not know of it.
    pub(crate) fn is_settling(&self, now: Instant) -> bool {
        self.since
            .is_some_and(|since| now.saturating_duration_since(since) < SETTLED_AFTER)
    }
}

/// FNV-1a: the same for all, whatever their version.
fn seed(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The finisher of splitmix64 over both.
fn weight(seed: u64, replica: EndpointId) -> u64 {
    let mut mixed = seed ^ replica.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str) -> Peer {
        Peer {
            name: name.to_owned(),
            address: ([127, 0, 0, 1], 1).into(),
        }
    }

    fn ring(me: &str, others: &[&str]) -> Ring {
        let others = others.iter().map(|name| peer(name)).collect();
        Ring::default().next(me, others, Instant::now()).unwrap()
    }

    fn owner(ring: &Ring, replica: u64) -> String {
        let owner = ring.owner(EndpointId(replica));
        owner.map_or_else(|| ring.name().to_owned(), |it| it.peer.name.clone())
    }

    #[test]
    fn all_agree_on_the_owner_and_each_has_its_share() {
        let rings = [
            ring("a", &["b", "c"]),
            ring("b", &["c", "a", "b"]),
            ring("c", &["a", "b"]),
        ];
        let mut shares = std::collections::HashMap::new();
        for replica in 0..3000 {
            let name = owner(&rings[0], replica);
            assert!(rings.iter().all(|ring| owner(ring, replica) == name));
            *shares.entry(name).or_insert(0) += 1;
        }
        assert!(
            shares.values().all(|share| (800..1200).contains(share)),
            "{shares:?}"
        );
    }

    #[test]
    fn only_the_replicas_of_who_leaves_change_hands() {
        let (all, two) = (ring("a", &["b", "c"]), ring("a", &["b"]));
        for replica in 0..300 {
            let before = owner(&all, replica);
            assert!(before == "c" || owner(&two, replica) == before);
        }
    }

    #[test]
    fn who_left_is_asked_until_it_is_gone() {
        let two = ring("a", &["b"]);
        assert!(two.next("a", vec![peer("b")], Instant::now()).is_none());
        let alone = two.next("a", Vec::new(), Instant::now()).unwrap();
        let left = alone.others().next().cloned().unwrap();
        assert!(alone.has_departed(&left) && alone.owner(EndpointId(7)).is_none());
        left.is_found_gone();
        assert_eq!(alone.others().count(), 0);
    }
}
