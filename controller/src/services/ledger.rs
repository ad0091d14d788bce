//! Which activator port belongs to which Service port: unique in the cluster, stable, used again late.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;
use std::ops::RangeInclusive;

use super::annotations::Ports;

/// Ports of activators that are kept for Services.
pub const PORT_RANGE: RangeInclusive<u16> = 20_000..=29_999;

/// All ports are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "all {} activator ports are taken by Services",
    PORT_RANGE.end() - PORT_RANGE.start() + 1
)]
pub struct NoPortLeft;

/// Who has which port. Services are known by their UIDs.
#[derive(Clone, Debug)]
pub struct Ledger {
    owners: BTreeMap<NonZeroU16, String>,
    /// Where the search for a free port goes on: a port is used again as late as possible, because
    /// connections of its former Service may still be open.
    cursor: u16,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            owners: BTreeMap::new(),
            cursor: *PORT_RANGE.start(),
        }
    }
}

impl Ledger {
    /// Books what Services claim by annotation; call it with the oldest Service first: a port that
    /// two claim stays with the first.
    pub fn book(&mut self, uid: &str, claimed: &Ports) {
        for port in claimed.values().filter(|p| PORT_RANGE.contains(&p.get())) {
            self.owners.entry(*port).or_insert_with(|| uid.to_owned());
            if port.get() >= self.cursor {
                self.cursor = following(port.get());
            }
        }
    }

    /// The ports of a Service: those it claims and may have, new ones for the rest.
    ///
    /// # Errors
    /// `NoPortLeft`; the Service then has none.
    pub fn settle(
        &mut self,
        uid: &str,
        wanted: &BTreeSet<u16>,
        claimed: &Ports,
    ) -> Result<Ports, NoPortLeft> {
        self.book(uid, claimed);
        let mut settled = Ports::new();
        let mut used = BTreeSet::new();
        for port in wanted {
            let kept = claimed
                .get(port)
                .filter(|allotted| self.owners.get(allotted).is_some_and(|o| o == uid))
                .filter(|allotted| used.insert(**allotted));
            let allotted = match kept {
                Some(kept) => *kept,
                None => self.free(uid, &mut used)?,
            };
            settled.insert(*port, allotted);
        }
        self.owners
            .retain(|allotted, owner| owner != uid || used.contains(allotted));
        Ok(settled)
    }

    /// Frees the ports of Services that are gone.
    pub fn retain(&mut self, is_alive: impl Fn(&str) -> bool) {
        self.owners.retain(|_, owner| is_alive(owner));
    }

    fn free(
        &mut self,
        uid: &str,
        used: &mut BTreeSet<NonZeroU16>,
    ) -> Result<NonZeroU16, NoPortLeft> {
        for _ in PORT_RANGE {
            let port = NonZeroU16::new(self.cursor).expect("the range begins above 0");
            self.cursor = following(self.cursor);
            if let std::collections::btree_map::Entry::Vacant(entry) = self.owners.entry(port) {
                entry.insert(uid.to_owned());
                used.insert(port);
                return Ok(port);
            }
        }
        Err(NoPortLeft)
    }
}

fn following(port: u16) -> u16 {
    match port >= *PORT_RANGE.end() {
        true => *PORT_RANGE.start(),
        false => port + 1,
    }
}
