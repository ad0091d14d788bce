//! How many bytes waiting requests of all functions may hold.

use std::collections::HashMap;

use parking_lot::Mutex;

/// Bytes held by waiting requests, in all and per namespace.
///
/// A namespace alone may use three quarters, so that whoever comes next finds something; once others
/// wait too, each may hold its fair share, and more only while less than half of the total is in
/// use.
#[derive(Debug)]
pub(crate) struct Budget {
    max: u64,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    total: u64,
    namespaces: HashMap<Box<str>, u64>,
}

impl Budget {
    pub(crate) fn new(max: u64) -> Self {
        Self {
            max,
            used: Mutex::default(),
        }
    }

    /// Takes `bytes` for `namespace`; `false` when they are not to be had.
    pub(crate) fn take(&self, namespace: &str, bytes: u64) -> bool {
        let mut used = self.used.lock();
        let total = used.total.saturating_add(bytes);
        let own = used.namespaces.get(namespace).copied();
        let others = used.namespaces.len() - usize::from(own.is_some());
        let own = own.unwrap_or(0).saturating_add(bytes);
        let share = match others {
            0 => self.max - self.max / 4,
            others => self.max / (others as u64 + 1),
        };
        let is_fair = own <= share || total <= self.max / 2;
        if total > self.max || !is_fair {
            return false;
        }
        used.total = total;
        used.namespaces.insert(namespace.into(), own);
        true
    }

    /// Takes `bytes` for somebody who was admitted before and must wait again.
    pub(crate) fn take_anyway(&self, namespace: &str, bytes: u64) {
        let mut used = self.used.lock();
        used.total = used.total.saturating_add(bytes);
        *used.namespaces.entry(namespace.into()).or_default() += bytes;
    }

    /// Gives back what [`Self::take`] took.
    pub(crate) fn give(&self, namespace: &str, bytes: u64) {
        let mut used = self.used.lock();
        used.total = used.total.saturating_sub(bytes);
        if let Some(own) = used.namespaces.get_mut(namespace) {
            *own = own.saturating_sub(bytes);
            if *own == 0 {
                used.namespaces.remove(namespace);
            }
        }
    }

    /// Bytes held now.
    pub(crate) fn used(&self) -> u64 {
        self.used.lock().total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_never_passed() {
        let budget = Budget::new(100);
        assert!(budget.take("a", 75));
        assert!(budget.take("b", 25));
        assert!(!budget.take("b", 1));
        budget.give("a", 75);
        budget.give("b", 25);
        assert_eq!(budget.used(), 0);
        assert!(budget.take("b", 75));
    }

    #[test]
    fn a_namespace_alone_leaves_room_for_the_next() {
        let budget = Budget::new(100);
        assert!(budget.take("a", 75));
        assert!(!budget.take("a", 1));
        assert!(budget.take("b", 25));
    }

    #[test]
    fn a_neighbour_keeps_its_share() {
        let budget = Budget::new(100);
        assert!(budget.take("a", 60));
        assert!(budget.take("b", 10));
        assert!(
            !budget.take("a", 10),
            "more than half in all, and than its share"
        );
        assert!(budget.take("b", 30));
        assert!(!budget.take("b", 1));
    }
}
