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
    items: Mutex<Vec<T>>,
    wake: OwnedFd,
}

impl<T> Inbox<T> {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            items: Mutex::new(Vec::new()),
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    /// Leaves `item`; wakes the reader unless it was woken for an earlier one already.
    pub(crate) fn push(&self, item: T) {
        let was_empty = {
            let mut items = self.items.lock();
            items.push(item);
            items.len() == 1
        };
        if was_empty {
            // Fails only when the counter is full, and then the reader is awake anyhow.
            rustix::io::write(&self.wake, &1u64.to_ne_bytes()).ok();
        }
    }

    /// Takes all messages.
    pub(crate) fn take(&self) -> Vec<T> {
        // Cleared before the list is taken: a later push finds it empty and wakes again.
        rustix::io::read(&self.wake, &mut [0u8; 8][..]).ok();
        std::mem::take(&mut *self.items.lock())
    }
}

impl<T> AsFd for Inbox<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
