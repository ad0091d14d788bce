//! Activators that speak no version that is spoken here: said once each, however often they dial.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::version::Versions;

/// Names that are remembered; beyond them all are forgotten, and said once more.
const CAPACITY: usize = 4_096;

#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<HashMap<String, Versions>>);

impl Refusals {
    /// Remembers one; whether it is news.
    pub(super) fn add(&self, name: &str, versions: Versions) -> bool {
        let mut known = self.0.lock();
        if known.get(name) == Some(&versions) {
            return false;
        }
        if known.len() >= CAPACITY {
            known.clear();
        }
        known.insert(name.to_owned(), versions);
        true
    }

    /// It speaks what is spoken here by now.
    pub(super) fn remove(&self, name: &str) {
        self.0.lock().remove(name);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn one_that_dials_again_is_no_news_until_it_speaks_otherwise() {
        let refusals = Refusals::default();
        let versions = |newest| Versions::new(2, newest).unwrap();
        assert!(refusals.add("a", versions(2)));
        assert!(!refusals.add("a", versions(2)));
        assert!(refusals.add("b", versions(2)));
        assert!(refusals.add("a", versions(3)));
        refusals.remove("a");
        assert!(refusals.add("a", versions(3)));
    }

    #[test]
    fn names_that_are_remembered_are_bounded() {
        let refusals = Refusals::default();
        for number in 0..=CAPACITY {
            refusals.add(&number.to_string(), Versions::OURS);
        }
        assert_eq!(refusals.0.lock().len(), 1);
    }
}
