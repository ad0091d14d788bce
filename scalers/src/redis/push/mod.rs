//! Follows arrivals, so that a function wakes before the next poll. Consumes nothing, writes nothing.
//!
//! Something arrives -> the trigger is read -> if it is active, the engine hears of it: an arrival alone does not say that
//! there is more than the activation threshold. Entries of streams are followed by `XREAD BLOCK`, elements of lists by
//! keyspace notifications. `lanes` keeps the connections: two for a server; for a cluster one per node for lists
//! and one per slot for streams, because one XREAD takes the keys of one slot alone.

mod lanes;
mod lists;
mod streams;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use zeron_core::roles::TriggerHandle;

use super::reader::Reader;
use super::trigger::RedisTrigger;
use crate::source::OnChange;

/// Triggers of one source that are followed; those beyond are polled alone.
const MAX_FOLLOWED: usize = 1_000;

/// How long the reading after an arrival may take.
const CHECK_WITHIN: Duration = Duration::from_secs(2);

/// What has work already is looked at again after this, however much arrives.
const PAUSE_ACTIVE: Duration = Duration::from_secs(1);

/// What has no work yet is looked at again after this.
const PAUSE_INACTIVE: Duration = Duration::from_millis(20);

/// A trigger that is followed.
struct Followed {
    handle: TriggerHandle,
    trigger: Arc<RedisTrigger>,
    on_change: OnChange,
    /// The count when it was last looked at.
    seen: Mutex<Option<u64>>,
    /// Why nothing is heard of it.
    trouble: Mutex<Option<String>>,
}

impl fmt::Debug for Followed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Followed")
            .field("handle", &self.handle)
            .finish_non_exhaustive()
    }
}

/// All triggers of one source that are followed.
#[derive(Debug, Default)]
struct Registry {
    followed: Mutex<HashMap<TriggerHandle, Arc<Followed>>>,
    changed: Notify,
}

/// Follows the triggers of one source; ends with the last of them, or when this is dropped.
#[derive(Debug)]
pub(super) struct Push {
    reader: Arc<Reader>,
    registry: Arc<Registry>,
    task: Mutex<Option<Task>>,
}

/// A task that ends when this is dropped.
#[derive(Debug)]
struct Task(AbortHandle);

impl Task {
    fn start(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work).abort_handle())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Push {
    pub(super) fn new(reader: Arc<Reader>) -> Self {
        Self {
            reader,
            registry: Arc::default(),
            task: Mutex::default(),
        }
    }

    /// Follows a trigger; `false`: there are too many already. Called within a runtime.
    pub(super) fn add(
        &self,
        handle: TriggerHandle,
        trigger: &Arc<RedisTrigger>,
        on_change: OnChange,
    ) -> bool {
        let mut followed = self.registry.followed.lock();
        if followed.len() >= MAX_FOLLOWED {
            tracing::warn!(source = %self.reader.shown, limit = MAX_FOLLOWED, "too many triggers with push: this one is polled alone");
            return false;
        }
        let new = Followed {
            handle,
            trigger: Arc::clone(trigger),
            on_change,
            seen: Mutex::default(),
            trouble: Mutex::default(),
        };
        followed.insert(handle, Arc::new(new));
        drop(followed);
        let mut task = self.task.lock();
        if task.as_ref().is_none_or(|task| task.0.is_finished()) {
            let (reader, registry) = (Arc::clone(&self.reader), Arc::clone(&self.registry));
            *task = Some(Task::start(lanes::keep(reader, registry)));
        }
        self.registry.changed.notify_one();
        true
    }

    /// Why nothing is heard of a trigger with push.
    pub(super) fn trouble(&self, handle: TriggerHandle) -> Option<String> {
        match self.registry.followed.lock().get(&handle) {
            Some(followed) => followed.trouble.lock().clone(),
            None => Some(format!(
                "the server has more than {MAX_FOLLOWED} triggers with push"
            )),
        }
    }

    /// Follows it no more.
    pub(super) fn remove(&self, handle: TriggerHandle) {
        let mut followed = self.registry.followed.lock();
        followed.remove(&handle);
        if followed.is_empty() {
            *self.task.lock() = None;
        } else {
            self.registry.changed.notify_one();
        }
    }
}

/// Notes why nothing is heard of them; `None`: they are followed.
fn note_trouble(followed: &[Arc<Followed>], trouble: Option<&str>) {
    for it in followed {
        *it.trouble.lock() = trouble.map(str::to_owned);
    }
}

/// Why triggers are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// Something arrived.
    Arrival,
    /// They were not followed for a moment.
    Gap,
}

/// Reads triggers and tells the engine of those that have work. Says which have.
async fn look(reader: &Reader, followed: &[Arc<Followed>], cause: Cause) -> Vec<bool> {
    if followed.is_empty() {
        return Vec::new();
    }
    let triggers: Vec<_> = followed.iter().map(|it| Arc::clone(&it.trigger)).collect();
    let counts = reader
        .measure(&triggers, Instant::now() + CHECK_WITHIN)
        .await;
    let looked = followed.iter().zip(counts).map(|(it, count)| {
        // What cannot be read now is told by the next poll.
        let Ok(count) = count else { return false };
        let before = it.seen.lock().replace(count);
        let is_active = it.trigger.reading(count).activity.is_active();
        if is_active && (cause == Cause::Arrival || before != Some(count)) {
            (it.on_change)(it.handle);
        }
        is_active
    });
    looked.collect()
}

/// Which triggers are left alone for a moment, and until when.
#[derive(Debug, Default)]
struct Pauses {
    until: HashMap<TriggerHandle, Instant>,
}

impl Pauses {
    /// After they were looked at.
    fn looked(&mut self, followed: &[Arc<Followed>], active: &[bool]) {
        let now = Instant::now();
        for (it, is_active) in followed.iter().zip(active) {
            let pause = if *is_active {
                PAUSE_ACTIVE
            } else {
                PAUSE_INACTIVE
            };
            self.until.insert(it.handle, now + pause);
        }
    }

    /// For so long.
    fn set(&mut self, handle: TriggerHandle, pause: Duration) {
        self.until.insert(handle, Instant::now() + pause);
    }

    fn holds(&self, handle: TriggerHandle) -> bool {
        self.until.contains_key(&handle)
    }

    /// Ends what is over, and says whose.
    fn end(&mut self) -> Vec<TriggerHandle> {
        let now = Instant::now();
        let over = self.until.iter().filter(|(_, until)| **until <= now);
        let over: Vec<_> = over.map(|(handle, _)| *handle).collect();
        for handle in &over {
            self.until.remove(handle);
        }
        over
    }

    /// When the next ends.
    fn next(&self) -> Option<Instant> {
        self.until.values().min().copied()
    }
}
