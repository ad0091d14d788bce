//! How many connections each peer has.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

/// Connections of one address at once: who opens more leaves room for others.
pub(super) const MOST_OF_A_PEER: usize = 64;

/// Peers that have connections, as many as there are connections at most.
#[derive(Clone, Debug, Default)]
pub(super) struct Peers(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A connection of a peer, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    peer: IpAddr,
    peers: Peers,
}

impl Peers {
    /// One connection more; `None` when the peer has enough of them.
    pub(super) fn sit(&self, peer: IpAddr) -> Option<Seat> {
        let peer = peer.to_canonical();
        let mut taken = self.0.lock();
        let count = taken.entry(peer).or_default();
        if *count >= MOST_OF_A_PEER {
            return None;
        }
        *count += 1;
        Some(Seat {
            peer,
            peers: self.clone(),
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.peers.0.lock();
        if let Some(count) = taken.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_so_many_and_each_that_ends_makes_room() {
        let peers = Peers::default();
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let mut seats: Vec<_> = (0..MOST_OF_A_PEER).map(|_| peers.sit(one)).collect();
        assert!(seats.iter().all(Option::is_some));
        assert!(peers.sit("::ffff:192.0.2.1".parse().unwrap()).is_none());
        assert!(peers.sit("192.0.2.2".parse().unwrap()).is_some());
        seats.pop();
        assert!(peers.sit(one).is_some());
        seats.clear();
        assert!(peers.0.lock().is_empty());
    }
}
