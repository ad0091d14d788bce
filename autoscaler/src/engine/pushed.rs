//! Triggers of one source that its pushes ask for: collected until they may be read, then read together.

use std::collections::BTreeMap;
use std::time::Duration;

use zeron_core::roles::TriggerHandle;
use zeron_core::{FunctionId, Timestamp};

use super::poll::Member;
use crate::state::TriggerKey;

/// Reads caused by pushes of one source are at least this far apart.
const SPACING: Duration = Duration::from_secs(1);

/// What waits of one source: at most each of its triggers, once.
#[derive(Debug, Default)]
pub(super) struct Pushed {
    waiting: BTreeMap<(FunctionId, TriggerKey), TriggerHandle>,
    read_at: Option<Timestamp>,
    is_running: bool,
}

impl Pushed {
    pub(super) fn add(&mut self, member: Member) {
        let trigger = (member.function, member.key);
        self.waiting.insert(trigger, member.handle);
    }

    pub(super) fn remove(&mut self, function: &FunctionId, key: TriggerKey) {
        self.waiting.remove(&(function.clone(), key));
    }

    /// They are read otherwise.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// When what waits may be read; `None` when nothing does. A read under way is `given` that long to end.
    pub(super) fn due(&self, given: Duration) -> Option<Timestamp> {
        if self.waiting.is_empty() {
            return None;
        }
        let pause = match self.is_running {
            true => SPACING.max(given),
            false => SPACING,
        };
        Some(self.read_at.map_or(Timestamp::EPOCH, |at| at + pause))
    }

    /// A read begins: takes all that waits.
    pub(super) fn begin(&mut self, now: Timestamp) -> Vec<Member> {
        self.read_at = Some(now);
        self.is_running = true;
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        let members = waiting.map(|((function, key), handle)| Member {
            function,
            key,
            handle,
        });
        members.collect()
    }

    /// The read has answered.
    pub(super) fn end(&mut self) {
        self.is_running = false;
    }
}
