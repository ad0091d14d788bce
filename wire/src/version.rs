//! Which versions of the protocol an end speaks, and which one both speak.

use std::fmt;

/// Versions of the protocol that one end speaks, all of them from the oldest to the newest.
///
/// An activator says its own in the hello, the autoscaler chooses the newest that both speak and
/// says it in the welcome. Within a version, fields and kinds of messages that are not known are
/// passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    pub(crate) oldest: u32,
    pub(crate) newest: u32,
}

impl Versions {
    /// Those of this build.
    pub const OURS: Self = Self {
        oldest: 1,
        newest: 1,
    };

    /// `None` for a range that has nothing in it, or a version 0, which nobody speaks.
    pub(crate) fn new(oldest: u32, newest: u32) -> Option<Self> {
        (1..=newest)
            .contains(&oldest)
            .then_some(Self { oldest, newest })
    }

    pub(crate) fn contains(self, version: u32) -> bool {
        (self.oldest..=self.newest).contains(&version)
    }

    /// The newest that both speak.
    pub(crate) fn common(self, other: Self) -> Option<u32> {
        let newest = self.newest.min(other.newest);
        (self.contains(newest) && other.contains(newest)).then_some(newest)
    }
}

#[cfg(debug_assertions)]
impl Versions {
    /// Those of the build after this one, for tests of upgrades: it speaks one version more, and
    /// says things that this one does not know.
    #[must_use]
    pub fn of_next_build() -> Self {
        Self {
            newest: Self::OURS.newest + 1,
            ..Self::OURS
        }
    }

    pub(crate) fn is_ahead(self) -> bool {
        self.newest > Self::OURS.newest
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { oldest, newest } = self;
        if oldest == newest {
            write!(f, "version {oldest}")
        } else {
            write!(f, "versions {oldest} to {newest}")
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_newest_version_that_both_speak_is_spoken() {
        let range = |oldest, newest| Versions::new(oldest, newest).unwrap();
        for (one, other, common) in [
            (range(1, 1), range(1, 1), Some(1)),
            (range(1, 1), range(1, 2), Some(1)),
            (range(1, 3), range(2, 5), Some(3)),
            (range(2, 3), range(1, 9), Some(3)),
            (range(1, 2), range(3, 4), None),
        ] {
            assert_eq!(one.common(other), common, "{one:?} {other:?}");
            assert_eq!(other.common(one), common, "{other:?} {one:?}");
        }
    }

    #[test]
    fn a_range_without_a_version_is_none() {
        for (oldest, newest) in [(0, 0), (0, 1), (2, 1)] {
            assert_eq!(Versions::new(oldest, newest), None);
        }
    }
}
