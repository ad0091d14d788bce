//! One activator as the hub knows it.

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::SeatId;
use super::merge::Tally;
use crate::message::ToActivator;
use crate::server::Identity;

/// How an activator can be reached.
#[derive(Debug)]
pub(super) enum Link {
    Connected {
        seat: SeatId,
        orders: mpsc::Sender<ToActivator>,
    },
    /// It may still serve: the platform knows it, or nobody said that it is gone.
    Lost,
    /// The platform does not know it any more; until the end of a stable window after `since` it
    /// is not known what it took along.
    Gone { since: Instant },
}

/// One activator.
#[derive(Debug)]
pub(super) struct Activator {
    pub(super) identity: Identity,
    pub(super) link: Link,
    /// Its last report on this connection; `None` before the first.
    pub(super) reported_at: Option<Instant>,
    /// It said goodbye: nothing is in flight there any more.
    pub(super) has_parted: bool,
    pub(super) tally: Tally,
}

impl Activator {
    pub(super) fn seat(&self) -> Option<SeatId> {
        match &self.link {
            Link::Connected { seat, .. } => Some(*seat),
            Link::Lost | Link::Gone { .. } => None,
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.seat().is_some()
    }

    /// Tells it; one that is too far behind to be told is lost.
    pub(super) fn tell(&mut self, order: ToActivator) {
        let Link::Connected { orders, .. } = &self.link else {
            return;
        };
        if orders.try_send(order).is_err() {
            self.link = Link::Lost;
        }
    }
}
