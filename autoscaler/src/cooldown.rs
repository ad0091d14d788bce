//! The last step to zero of the groups that follow a cooldown.

use std::time::Duration;

use zeron_core::Timestamp;
use zeron_core::decision::ZeroWait;

use crate::state::Start;

/// When a group was last active, and since when it is watched.
#[derive(Clone, Debug)]
pub(crate) struct Cooldown {
    since: Timestamp,
    last_active: Option<Timestamp>,
    is_found_running: bool,
    /// Until then somebody may have had requests that were not counted.
    doubted: Option<Timestamp>,
}

impl Cooldown {
    pub(crate) fn new(start: Start, now: Timestamp) -> Self {
        match start {
            Start::Created => Self {
                since: now,
                last_active: None,
                is_found_running: false,
                doubted: None,
            },
            Start::Found {
                replicas,
                last_active,
            } => Self {
                since: now,
                last_active,
                is_found_running: replicas > 0,
                doubted: None,
            },
        }
    }

    /// There is work now.
    pub(crate) fn touch(&mut self, now: Timestamp) {
        self.last_active = Some(now);
    }

    /// Until now there may have been work that nobody counted.
    pub(crate) fn doubt(&mut self, now: Timestamp) {
        self.doubted = Some(now);
    }

    pub(crate) fn last_active(&self) -> Option<Timestamp> {
        self.last_active
    }

    /// From when on an inactive group may be at zero, and which period ends then.
    pub(crate) fn zero_from(&self, cooldown: Duration, initial: Duration) -> (ZeroWait, Timestamp) {
        let own = match self.last_active {
            Some(last) => (ZeroWait::Cooldown, last + cooldown),
            None if self.is_found_running => {
                (ZeroWait::NewOwner, self.since + cooldown.max(initial))
            }
            None => (ZeroWait::InitialCooldown, self.since + initial),
        };
        // A new owner has seen nothing yet: one full cooldown of its own evidence comes first,
        // and so after a time in which not everybody was heard.
        let found = self.is_found_running.then_some(self.since);
        let blind_until = found.max(self.doubted).map(|until| until + cooldown);
        match blind_until {
            Some(until) if until > own.1 => (ZeroWait::NewOwner, until),
            _ => own,
        }
    }
}
