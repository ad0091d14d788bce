//! A timer without the runtime's millisecond grid.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// Waits by a kernel timer (`timerfd`): tokio rounds to whole milliseconds, which at 6,000 requests a second would
/// send six at once.
#[derive(Debug)]
pub(super) struct Timer {
    fd: AsyncFd<OwnedFd>,
}

impl Timer {
    // `AsyncFd::new` is deprecated because a type may give away another descriptor later; an `OwnedFd` never does.
    #[allow(deprecated)]
    pub(super) fn new() -> Result<Self> {
        let fd = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        Ok(Self {
            fd: AsyncFd::new(fd)?,
        })
    }

    /// Returns at `deadline`; when that is past, after others had a turn.
    pub(super) async fn until(&mut self, deadline: Instant) -> Result<()> {
        let Some(rest) = deadline
            .checked_duration_since(Instant::now())
            .filter(|rest| !rest.is_zero())
        else {
            tokio::task::yield_now().await;
            return Ok(());
        };
        timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &once_after(rest)?)?;
        loop {
            let mut ready = self.fd.readable().await?;
            let read = ready.try_io(|fd| Ok(rustix::io::read(fd, &mut [0; 8])?));
            if let Ok(read) = read {
                read?;
                return Ok(());
            }
        }
    }
}

fn once_after(rest: Duration) -> Result<Itimerspec> {
    Ok(Itimerspec {
        it_interval: Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        },
        it_value: Timespec {
            tv_sec: i64::try_from(rest.as_secs())?,
            tv_nsec: i64::from(rest.subsec_nanos()),
        },
    })
}
