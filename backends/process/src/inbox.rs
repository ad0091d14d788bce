//! Messages to a thread that waits in epoll.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use parking_lot::Mutex;
use rustix::event::{EventfdFlags, eventfd};

/// What other threads left for one thread, with a descriptor that becomes readable.
///
/// Bounded by its users: each message belongs to one replica or function, whose number is limited.
#[derive(Debug)]
pub(crate) struct Inbox<T> {
    state: Mutex<State<T>>,
    wake: OwnedFd,
}

#[derive(Debug)]
struct State<T> {
    items: Vec<T>,
    /// The reader was woken and has not come yet.
    is_signalled: bool,
    /// Nobody reads any more.
    is_closed: bool,
}

impl<T> Inbox<T> {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            state: Mutex::new(State {
                items: Vec::new(),
                is_signalled: false,
                is_closed: false,
            }),
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    /// Leaves `item` and wakes the reader, unless it is on its way already.
    pub(crate) fn push(&self, item: T) {
        let mut state = self.state.lock();
        state.leave(item);
        // Under the lock: the flag and the descriptor say the same to every reader.
        if !std::mem::replace(&mut state.is_signalled, true) {
            // Fails only when the counter is full, and then the reader is awake anyhow.
            rustix::io::write(&self.wake, &1u64.to_ne_bytes()).ok();
        }
    }

    /// Leaves `item` for when the reader wakes for another reason: one that is sure to come soon,
    /// or that makes the item matter at all.
    pub(crate) fn push_quietly(&self, item: T) {
        self.state.lock().leave(item);
    }

    /// Takes all messages.
    pub(crate) fn take(&self) -> Vec<T> {
        let mut state = self.state.lock();
        if std::mem::take(&mut state.is_signalled) {
            rustix::io::read(&self.wake, &mut [0u8; 8][..]).ok();
        }
        std::mem::take(&mut state.items)
    }

    /// Drops what is there and what comes.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        state.items = Vec::new();
    }
}

impl<T> State<T> {
    fn leave(&mut self, item: T) {
        if !self.is_closed {
            self.items.push(item);
        }
    }
}

impl<T> AsFd for Inbox<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;
    use crate::poller::Poller;

    fn is_awake(poller: &Poller) -> bool {
        let mut ready = Vec::new();
        poller.wait(Some(Duration::ZERO), &mut ready);
        !ready.is_empty()
    }

    #[test]
    fn a_reader_is_woken_once_for_all_and_never_for_quiet_messages() {
        let (inbox, poller) = (Inbox::new().unwrap(), Poller::new().unwrap());
        poller.watch_readable(&inbox, 0).unwrap();
        inbox.push_quietly(1);
        assert!(!is_awake(&poller));
        inbox.push(2);
        inbox.push(3);
        assert!(is_awake(&poller));
        assert_eq!(inbox.take(), [1, 2, 3]);
        assert!(!is_awake(&poller));
        inbox.push(4);
        assert!(is_awake(&poller));
    }

    #[test]
    fn what_comes_after_the_end_is_dropped() {
        let inbox = Inbox::new().unwrap();
        inbox.push(1);
        inbox.close();
        inbox.push(2);
        assert!(inbox.take().is_empty());
    }
}
