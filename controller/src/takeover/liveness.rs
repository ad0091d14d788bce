//! Whether somebody holds a lease, by watching it change: clocks of other machines do not matter.

use std::time::Duration;

use tokio::time::Instant;

use super::object::Object;

/// KEDA's own lease duration; for leases that do not say theirs.
const DEFAULT_DURATION: Duration = Duration::from_secs(15);

/// What is known about the holder of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Life {
    /// There is no such lease.
    Absent,
    /// Its holder let it go.
    Released,
    /// Held; whether the holder lives is not known yet.
    Held {
        /// Who.
        holder: String,
        /// After this time without a change nobody holds it.
        stale_in: Duration,
    },
    /// It was renewed while we looked.
    Renewed {
        /// Who.
        holder: String,
    },
    /// It was not renewed for as long as it lasts: the holder is gone.
    Stale {
        /// Who it was.
        holder: String,
    },
}

impl Life {
    /// Nobody works under this lease.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Absent | Self::Released | Self::Stale { .. })
    }

    /// Somebody works under this lease, for certain.
    pub fn is_proven(&self) -> bool {
        matches!(self, Self::Renewed { .. })
    }
}

/// Follows one lease.
#[derive(Clone, Debug, Default)]
pub struct LeaseWatch {
    seen: Option<Record>,
    has_changed: bool,
}

#[derive(Clone, Debug)]
struct Record {
    holder: String,
    renewed: String,
    duration: Duration,
    since: Instant,
}

impl LeaseWatch {
    /// Takes in what the lease says now. A lease counts as renewed when its record changed under
    /// the same holder or to another one, and as stale once it has not changed for its duration.
    pub fn observe(&mut self, lease: Option<&Object>, now: Instant) -> Life {
        let Some(lease) = lease else {
            self.seen = None;
            return Life::Absent;
        };
        let holder = lease.text("/spec/holderIdentity").unwrap_or_default();
        if holder.is_empty() {
            self.seen = None;
            return Life::Released;
        }
        let renewed = lease.text("/spec/renewTime").unwrap_or_default();
        let is_same = |seen: &&mut Record| seen.holder == holder && seen.renewed == renewed;
        if let Some(seen) = self.seen.as_mut().filter(is_same) {
            return seen.life(self.has_changed, now);
        }
        self.has_changed = self.seen.is_some();
        let seconds = lease.number("/spec/leaseDurationSeconds");
        let record = Record {
            holder: holder.to_owned(),
            renewed: renewed.to_owned(),
            duration: seconds.map_or(DEFAULT_DURATION, Duration::from_secs),
            since: now,
        };
        self.seen.insert(record).life(self.has_changed, now)
    }
}

impl Record {
    fn life(&self, has_changed: bool, now: Instant) -> Life {
        let holder = self.holder.clone();
        let stale_in = self.duration.saturating_sub(now - self.since);
        if stale_in.is_zero() {
            Life::Stale { holder }
        } else if has_changed {
            Life::Renewed { holder }
        } else {
            Life::Held { holder, stale_in }
        }
    }
}
