//! Waits on many descriptors, with timeouts finer than a millisecond.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};

/// Below this a timeout is kept to the microsecond, at the price of a second system call.
const FINE: Duration = Duration::from_millis(5);

/// An epoll set whose members are named by a number.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll })
    }

    /// Adds `fd`, level-triggered, until it is closed.
    pub(crate) fn watch_readable(&self, fd: impl AsFd, token: u64) -> io::Result<()> {
        self.add(fd, token, epoll::EventFlags::IN)
    }

    /// Adds `fd` for the end of a connect.
    pub(crate) fn watch_writable(&self, fd: impl AsFd, token: u64) -> io::Result<()> {
        self.add(fd, token, epoll::EventFlags::OUT)
    }

    /// Watches `fd` for data from now on.
    pub(crate) fn rewatch_readable(&self, fd: impl AsFd, token: u64) -> io::Result<()> {
        let token = epoll::EventData::new_u64(token);
        match epoll::modify(&self.epoll, &fd, token, epoll::EventFlags::IN) {
            Err(rustix::io::Errno::NOENT) => self.add(fd, token.u64(), epoll::EventFlags::IN),
            result => Ok(result?),
        }
    }

    /// Takes `fd` out while it stays open.
    pub(crate) fn forget(&self, fd: impl AsFd) {
        // Not being a member is what is wanted.
        epoll::delete(&self.epoll, fd).ok();
    }

    fn add(&self, fd: impl AsFd, token: u64, flags: epoll::EventFlags) -> io::Result<()> {
        Ok(epoll::add(
            &self.epoll,
            fd,
            epoll::EventData::new_u64(token),
            flags,
        )?)
    }

    /// Waits for up to `timeout` (`None`: for ever) and leaves in `ready` the tokens that have
    /// something to say.
    pub(crate) fn wait(&self, timeout: Option<Duration>, ready: &mut Vec<u64>) {
        ready.clear();
        let timeout = match timeout {
            // epoll_pwait counts in milliseconds; ppoll on the set itself does not.
            Some(fine) if fine < FINE => {
                let mut set = [PollFd::new(&self.epoll, PollFlags::IN)];
                match poll(&mut set, Some(&timespec(fine))) {
                    Ok(0) | Err(_) => return,
                    Ok(_) => Some(Duration::ZERO),
                }
            }
            other => other,
        };
        let mut events = [epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        }; 64];
        // An interrupted wait is an early wake-up, which every caller can stand.
        let count =
            epoll::wait(&self.epoll, &mut events[..], timeout.map(timespec).as_ref()).unwrap_or(0);
        ready.extend(events[..count].iter().map(|event| event.data.u64()));
    }
}

/// Seconds beyond a day wait a day: every wait is taken up again by its loop.
fn timespec(duration: Duration) -> Timespec {
    let duration = duration.min(Duration::from_secs(86_400));
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(86_400),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}
