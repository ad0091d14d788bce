//! All `cron` triggers: their readings, and one timer that says when a window opens.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::ready;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use zeron_core::roles::{BoxFuture, TriggerHandle};

use super::trigger::CronTrigger;
use crate::source::{Client, OnChange, Readings};

/// Tells the time; tests have their own.
pub(super) type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Evaluates by the clock alone.
pub(super) struct CronClient {
    openings: Arc<Openings>,
}

impl CronClient {
    /// By this clock.
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            openings: Arc::new(Openings {
                clock,
                state: Mutex::default(),
                changed: Notify::new(),
            }),
        }
    }
}

impl fmt::Debug for CronClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CronClient").finish_non_exhaustive()
    }
}

impl Client for CronClient {
    type Trigger = CronTrigger;

    fn read<'a>(
        &'a self,
        triggers: &'a [Arc<CronTrigger>],
        _timeout: Duration,
    ) -> BoxFuture<'a, Vec<Readings>> {
        let now = (self.openings.clock)();
        Box::pin(ready(triggers.iter().map(|it| it.reading(now)).collect()))
    }

    fn watch(
        &self,
        handle: TriggerHandle,
        trigger: &Arc<CronTrigger>,
        on_change: OnChange,
    ) -> bool {
        self.openings.add(handle, trigger, on_change)
    }

    fn forget(&self, handle: TriggerHandle, _trigger: &CronTrigger) {
        self.openings.state.lock().watched.remove(&handle);
        self.openings.changed.notify_one();
    }
}

impl Drop for CronClient {
    fn drop(&mut self) {
        self.openings.state.lock().watched.clear();
        self.openings.changed.notify_one();
    }
}

/// Windows that are to open. Closing is left to the next poll: it is not urgent.
struct Openings {
    clock: Clock,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    watched: HashMap<TriggerHandle, Watched>,
    /// Whether the task runs that sleeps until the next opening.
    is_followed: bool,
}

struct Watched {
    trigger: Arc<CronTrigger>,
    opens_at: Timestamp,
    on_change: OnChange,
}

impl Openings {
    fn add(
        self: &Arc<Self>,
        handle: TriggerHandle,
        trigger: &Arc<CronTrigger>,
        on_change: OnChange,
    ) -> bool {
        let (Some(moment), Ok(runtime)) = (trigger.at((self.clock)()), Handle::try_current())
        else {
            return false;
        };
        let watched = Watched {
            trigger: Arc::clone(trigger),
            opens_at: moment.opens_at,
            on_change,
        };
        let mut state = self.state.lock();
        state.watched.insert(handle, watched);
        if !std::mem::replace(&mut state.is_followed, true) {
            runtime.spawn(Arc::clone(self).follow());
        }
        self.changed.notify_one();
        true
    }

    /// Sleeps from one opening to the next, until nobody waits for one.
    async fn follow(self: Arc<Self>) {
        while let Some(pause) = self.pause() {
            tokio::select! {
                () = tokio::time::sleep(pause) => self.open(),
                () = self.changed.notified() => {}
            }
        }
    }

    /// How long until the next window opens; `None`, and the task is over, when nobody waits.
    fn pause(&self) -> Option<Duration> {
        let mut state = self.state.lock();
        let next = state.watched.values().map(|it| it.opens_at).min();
        state.is_followed = next.is_some();
        let left = next?.duration_since((self.clock)());
        // The clock may have passed it.
        Some(Duration::try_from(left).unwrap_or_default())
    }

    /// Tells whose window opened.
    fn open(&self) {
        let now = (self.clock)();
        let mut opened = Vec::new();
        self.state.lock().watched.retain(|handle, watched| {
            if watched.opens_at > now {
                return true;
            }
            let moment = watched.trigger.at(now);
            if moment.is_some_and(|it| it.is_open) {
                opened.push((*handle, Arc::clone(&watched.on_change)));
            }
            if let Some(moment) = moment {
                watched.opens_at = moment.opens_at;
            }
            moment.is_some()
        });
        for (handle, on_change) in opened {
            on_change(handle);
        }
    }
}

#[cfg(test)]
mod tests;
