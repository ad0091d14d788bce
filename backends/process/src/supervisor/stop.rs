//! The end of the supervisor.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::oneshot;
use tracing::warn;

use super::{STOP_SLACK, Stopping, Supervisor, Timer};
use crate::clock::Now;
use crate::logs::LogEvent;

impl Supervisor {
    pub(super) fn stop(&mut self, grace: Duration, done: Option<oneshot::Sender<()>>) {
        let now = Now::read();
        match &mut self.stopping {
            // The shorter grace wins: whoever asks again is in a hurry.
            Some(stopping) => {
                stopping.grace = stopping.grace.min(grace);
                stopping.done.extend(done);
            }
            None => {
                self.stopping = Some(Stopping {
                    grace,
                    done: done.into_iter().collect(),
                    is_given_up: false,
                });
                let effects = self.shared.fleet.lock().close(now);
                self.apply(effects);
            }
        }
        let end = now.instant + grace;
        // Also those that were stopping already with a longer grace.
        for id in self.live.keys() {
            self.timers.set(end, Timer::Kill(*id));
        }
        self.timers.set(end + STOP_SLACK, Timer::GiveUp);
    }

    /// Nothing runs and nothing is being started any more.
    pub(super) fn is_done(&self) -> bool {
        match &self.stopping {
            None => false,
            Some(stopping) if stopping.is_given_up => true,
            Some(_) => self.live.is_empty() && self.shared.fleet.lock().is_at_rest(),
        }
    }

    pub(super) fn finish(mut self) {
        if self.stopping.as_ref().is_some_and(|s| s.is_given_up) {
            let left = self.live.len();
            warn!(left, "replicas did not end: left to the keeper");
        }
        self.settle();
        self.shared.orders.close();
        *self.shared.limits.lock() = None;
        self.shared.logs.push(LogEvent::Stop);
        // It ends what escaped its group, then itself.
        if let Some(keeper) = self.shared.keeper.close() {
            wait_readable(&keeper, self.shared.config.orphan_grace + STOP_SLACK);
            self.shared.keeper.reap();
        }
        // Whoever still leaves something there learns that nobody comes.
        self.shared.supervisor.close();
        for done in self.stopping.into_iter().flat_map(|s| s.done) {
            // Whoever waited may have gone.
            done.send(()).ok();
        }
    }
}

fn wait_readable(fd: &std::os::fd::OwnedFd, wait: Duration) {
    let deadline = Instant::now() + wait;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        let mut set = [PollFd::new(fd, PollFlags::IN)];
        match poll(&mut set, Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => {}
            _ => return,
        }
    }
}
