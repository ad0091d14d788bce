//! Another autoscaler, and what waits to be sent to it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prost::Message;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};
use zeron_core::{Chain, Holder, Sample};

use super::dial::{Next, Source, converse, dial};
use super::proto::{WireStatMessage, WireStatMessages};

/// How long each address may take to answer, and the pause after the last one.
const CONNECT_WITHIN: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(500);
/// A statistic that could not be delivered for so long is of no use any more: engines take older
/// ones than ten seconds for those of another clock and count them as of now, and a successor of
/// an autoscaler that was killed would take all that waited for the load of one second.
pub(super) const STALE: Duration = Duration::from_secs(8);
/// Statistics that wait for one autoscaler; of more the oldest are dropped.
pub(super) const CAPACITY: usize = 10_000;
/// Statistics in one message.
const BATCH: usize = 512;

/// A statistic under way.
#[derive(Clone, Debug)]
pub(super) struct Arrived {
    pub(super) sample: Sample,
    /// When it came here.
    pub(super) at: Instant,
    /// Another autoscaler sent it, which believed that it is ours.
    pub(super) is_forwarded: bool,
}

/// First in, first out; bounded in number and in age.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Arrived>,
    dropped: u64,
}

impl Queue {
    pub(super) fn push(&mut self, arrived: Arrived) {
        if self.waiting.len() >= CAPACITY {
            self.waiting.pop_front();
            self.dropped += 1;
        }
        self.waiting.push_back(arrived);
    }

    /// Takes at most `count`, without those that are too old.
    pub(super) fn take(&mut self, count: usize, now: Instant) -> Vec<Arrived> {
        let taken = self.waiting.drain(..count.min(self.waiting.len()));
        let before = taken.len();
        let fresh: Vec<Arrived> = taken
            .filter(|it| now.saturating_duration_since(it.at) < STALE)
            .collect();
        self.dropped += (before - fresh.len()) as u64;
        fresh
    }

    pub(super) fn take_all(&mut self, now: Instant) -> Vec<Arrived> {
        self.take(self.waiting.len(), now)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many were given up since the last time this was asked.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

/// A queue that its connection waits for.
#[derive(Debug, Default)]
struct Outbox {
    queue: Mutex<Queue>,
    arrived: Notify,
}

impl Source for Outbox {
    async fn next(&self) -> Next {
        loop {
            let taken = self.queue.lock().take(BATCH, Instant::now());
            if taken.is_empty() {
                self.wait().await;
                continue;
            }
            let messages = taken.iter().map(|it| WireStatMessage::from(&it.sample));
            let messages = messages.collect();
            return Next::Message(WireStatMessages { messages }.encode_to_vec().into());
        }
    }
}

impl Outbox {
    /// Waits until there is something to send.
    async fn wait(&self) {
        while self.queue.lock().is_empty() {
            self.arrived.notified().await;
        }
    }
}

/// The connection to one autoscaler, for one bucket. It ends when dropped.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) holder: Holder,
    outbox: Arc<Outbox>,
    task: AbortHandle,
}

impl Peer {
    pub(super) fn new(holder: Holder) -> Self {
        let outbox = Arc::new(Outbox::default());
        let task = tokio::spawn(keep(holder.clone(), Arc::clone(&outbox)));
        Self {
            holder,
            outbox,
            task: task.abort_handle(),
        }
    }

    pub(super) fn send(&self, arrived: Arrived) {
        self.outbox.queue.lock().push(arrived);
        self.outbox.arrived.notify_one();
    }

    /// What was not sent.
    pub(super) fn unsent(&self) -> Vec<Arrived> {
        self.outbox.queue.lock().take_all(Instant::now())
    }

    pub(super) fn take_dropped(&self) -> u64 {
        self.outbox.queue.lock().take_dropped()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Dials when there is something to say, by the first address that answers.
async fn keep(holder: Holder, outbox: Arc<Outbox>) {
    let mut last_error = String::new();
    loop {
        outbox.wait().await;
        for address in holder.addresses.iter() {
            let error = match dial(address, CONNECT_WITHIN).await {
                Ok(socket) => {
                    tracing::info!(holder = %holder.name, address, "statistics go to their owner");
                    let ended = converse(socket, &*outbox).await;
                    last_error = Chain(&ended).to_string();
                    tracing::info!(holder = %holder.name, error = last_error, "they go no more");
                    break;
                }
                Err(error) => Chain(&error).to_string(),
            };
            if error != last_error {
                tracing::warn!(holder = %holder.name, address, error, "no way to their owner");
                last_error = error;
            }
        }
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use zeron_core::{FunctionId, Timestamp};

    use super::*;

    fn arrived(name: &str, at: Instant) -> Arrived {
        let sample = Sample {
            function: FunctionId::new("ns", "Revision", name),
            at: Timestamp::EPOCH,
            average_concurrency: 1.0,
            average_proxied_concurrency: 0.0,
            request_count: 1.0,
            proxied_request_count: 0.0,
            pod: "act".into(),
        };
        Arrived {
            sample,
            at,
            is_forwarded: false,
        }
    }

    #[test]
    fn what_waits_is_bounded_and_the_oldest_goes_first() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        for index in 0..=CAPACITY {
            queue.push(arrived(&index.to_string(), now));
        }
        assert_eq!(queue.take_dropped(), 1);
        let first = &queue.take(1, now)[0];
        assert_eq!(first.sample.function.name(), "1");
        assert_eq!(queue.take_all(now).len(), CAPACITY - 1);
        assert!(queue.is_empty());
    }

    #[test]
    fn nothing_is_delivered_that_an_engine_takes_for_another_clocks() {
        // Dates are cut to the second, and what is delivered takes a while.
        assert!(STALE + Duration::from_secs(1) < Duration::from_secs(10));
    }

    #[test]
    fn what_waited_too_long_is_given_up() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        queue.push(arrived("old", start));
        queue.push(arrived("new", start + Duration::from_secs(1)));
        let taken = queue.take_all(start + STALE);
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].sample.function.name(), "new");
        assert_eq!(queue.take_dropped(), 1);
    }
}
