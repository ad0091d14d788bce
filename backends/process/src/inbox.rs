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
        let is_asleep = {
            let mut state = self.state.lock();
            state.leave(item);
            !std::mem::replace(&mut state.is_signalled, true)
        };
        if is_asleep {
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
