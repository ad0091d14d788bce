//! Pods by their addresses, for who asks whose an address is.

use std::collections::HashMap;
use std::net::IpAddr;

use super::{Slot, remove_one};
use crate::pods::Pod;

/// Places of the pods at an address; those on a node's network share the node's.
#[derive(Debug, Default)]
pub(super) struct Addresses(HashMap<IpAddr, Vec<Slot>>);

impl Addresses {
    pub(super) fn add(&mut self, slot: Slot, pod: &Pod) {
        for address in addresses(pod) {
            self.0.entry(address).or_default().push(slot);
        }
    }

    pub(super) fn remove(&mut self, slot: Slot, pod: &Pod) {
        for address in addresses(pod) {
            remove_one(&mut self.0, &address, &slot);
        }
    }

    pub(super) fn at(&self, address: IpAddr) -> &[Slot] {
        let slots = self.0.get(&address.to_canonical());
        slots.map_or(&[], Vec::as_slice)
    }

    /// Addresses that some pod has.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// All of a pod; those of one that is over are another's, or will be.
fn addresses(pod: &Pod) -> impl Iterator<Item = IpAddr> {
    let all = pod.ip.iter().chain(&pod.other_ips);
    let all = all.filter(move |_| !pod.is_over);
    all.map(IpAddr::to_canonical)
}
