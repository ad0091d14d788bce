//! Brings each statistic to the autoscaler that decides for its function: this one, or another.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use zeron_core::{Holder, Owner, Ownership, Sample};

use super::peer::{Arrived, Peer, Queue};
use crate::link::ActivatorLink;
use crate::message::ToAutoscaler;

/// Messages that may wait; whoever brings more waits with them.
const CAPACITY: usize = 1_000;
/// How often those of a bucket without owner are looked at again.
const RETRY_EVERY: Duration = Duration::from_millis(500);
/// How often losses are told of.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Takes statistics in; cheap to clone. Its task ends with the last of them.
#[derive(Clone, Debug)]
pub struct Forwarder {
    sender: mpsc::Sender<Vec<Arrived>>,
}

impl Forwarder {
    /// What belongs to us goes into `link` as `ToAutoscaler::Samples`, the rest to its owners.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(ownership: watch::Receiver<Arc<Ownership>>, link: ActivatorLink) -> Self {
        let (sender, arrivals) = mpsc::channel(CAPACITY);
        let router = Router {
            ownership,
            link,
            peers: HashMap::new(),
            waiting: Queue::default(),
            told: None,
        };
        tokio::spawn(router.run(arrivals));
        Self { sender }
    }

    /// Waits while too much is under way.
    pub(super) async fn take(&self, arrived: Vec<Arrived>) {
        // Its task ends only with the process.
        drop(self.sender.send(arrived).await);
    }
}

struct Router {
    ownership: watch::Receiver<Arc<Ownership>>,
    link: ActivatorLink,
    /// By bucket.
    peers: HashMap<Arc<str>, Peer>,
    /// Those that nobody owns, and those that another autoscaler wrongly took for ours.
    waiting: Queue,
    /// When losses were told of.
    told: Option<Instant>,
}

impl Router {
    async fn run(mut self, mut arrivals: mpsc::Receiver<Vec<Arrived>>) {
        let mut next_look = Instant::now();
        let mut are_owners_told = true;
        loop {
            tokio::select! {
                arrived = arrivals.recv() => {
                    let Some(arrived) = arrived else { return };
                    if self.waiting.is_empty() {
                        next_look = Instant::now() + RETRY_EVERY;
                    }
                    self.route(arrived).await;
                }
                changed = self.ownership.changed(), if are_owners_told => {
                    are_owners_told = changed.is_ok();
                    self.leave_former_owners();
                    self.look_again().await;
                }
                () = sleep_until(next_look), if !self.waiting.is_empty() => {
                    next_look = Instant::now() + RETRY_EVERY;
                    self.look_again().await;
                }
                // The engine's orders are for activators of our own protocol.
                Some(_) = self.link.receiver.recv() => {}
            }
            self.tell_losses();
        }
    }

    async fn route(&mut self, arrived: Vec<Arrived>) {
        let ownership = Arc::clone(&self.ownership.borrow());
        let mut ours: Vec<Sample> = Vec::new();
        for mut arrived in arrived {
            match ownership.owner_of(&arrived.sample.function) {
                Some((_, Owner::Us)) => ours.push(arrived.sample),
                // Not back at once to whoever may send it here again: its view or ours is old.
                Some((bucket, Owner::Other(holder))) if !arrived.is_forwarded => {
                    self.peer(bucket, holder).send(arrived);
                }
                Some((_, Owner::Other(_) | Owner::Nobody)) | None => {
                    arrived.is_forwarded = false;
                    self.waiting.push(arrived);
                }
            }
        }
        if !ours.is_empty() {
            // The engine ends with the process.
            drop(self.link.sender.send(ToAutoscaler::Samples(ours)).await);
        }
    }

    fn peer(&mut self, bucket: &Arc<str>, holder: &Holder) -> &Peer {
        self.peers
            .entry(Arc::clone(bucket))
            .or_insert_with(|| Peer::new(holder.clone()))
    }

    async fn look_again(&mut self) {
        let waiting = self.waiting.take_all(Instant::now());
        self.route(waiting).await;
    }

    /// Gives up connections to those who own a bucket no more; what was not sent waits again.
    fn leave_former_owners(&mut self) {
        let ownership = Arc::clone(&self.ownership.borrow());
        let waiting = &mut self.waiting;
        self.peers.retain(|bucket, peer| {
            let is_still = matches!(
                ownership.owner(bucket),
                Some(Owner::Other(holder)) if *holder == peer.holder
            );
            if !is_still {
                peer.unsent().into_iter().for_each(|it| waiting.push(it));
            }
            is_still
        });
    }

    fn tell_losses(&mut self) {
        let now = Instant::now();
        if self.told.is_some_and(|told| now < told + TELL_EVERY) {
            return;
        }
        let lost: u64 = self.peers.values().map(Peer::take_dropped).sum();
        let lost = lost + self.waiting.take_dropped();
        if lost > 0 {
            self.told = Some(now);
            tracing::warn!(lost, "statistics without reachable owner were dropped");
        }
    }
}
