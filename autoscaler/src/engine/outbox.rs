//! Orders to the activator that must not be lost when the link is full for a moment.

use std::collections::VecDeque;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use zeron_wire::ToActivator;

/// At most one order per drain waits here, and a function has few drains at a time.
#[derive(Debug)]
pub(crate) struct Outbox {
    sender: mpsc::Sender<ToActivator>,
    waiting: VecDeque<ToActivator>,
}

impl Outbox {
    pub(crate) fn new(sender: mpsc::Sender<ToActivator>) -> Self {
        Self {
            sender,
            waiting: VecDeque::new(),
        }
    }

    /// Sends now, or as soon as there is room. Without an activator there is nobody to tell.
    pub(crate) fn send(&mut self, order: ToActivator) {
        self.waiting.push_back(order);
        self.flush();
    }

    /// Sends what waits.
    pub(crate) fn flush(&mut self) {
        while let Some(order) = self.waiting.pop_front() {
            match self.sender.try_send(order) {
                Ok(()) => {}
                Err(TrySendError::Full(order)) => {
                    self.waiting.push_front(order);
                    return;
                }
                Err(TrySendError::Closed(_)) => self.waiting.clear(),
            }
        }
    }

    /// Whether something still waits for room.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }
}
