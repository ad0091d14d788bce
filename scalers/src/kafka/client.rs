//! One librdkafka client. Every call blocks until its deadline at most: for a lane's threads only.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::metadata::Metadata;
use rdkafka::{Offset, TopicPartitionList};
use tracing::debug;

use super::error::ReadError;
use super::partition::Partition;

/// The first attempt of a call ends after this, so that a dead broker is noticed long before the
/// deadline; the second takes thrice as long, the third all that is left.
const FIRST_ATTEMPT: Duration = Duration::from_millis(100);

/// A cluster that was down at the last call gets this long to be back.
const GRACE_WHEN_DOWN: Duration = Duration::from_millis(300);

/// Longest pause after an attempt that failed before its time was up.
const MAX_PAUSE: Duration = Duration::from_millis(50);

/// Events taken from the client after a call; what is left waits for the next.
const MAX_EVENTS: usize = 1_000;

/// A client that reads metadata and offsets; with a group, that group's committed offsets too.
pub(crate) struct Client {
    servers: Arc<str>,
    consumer: BaseConsumer<Events>,
    /// Why the last call failed, until one succeeds.
    failed: Mutex<Option<ReadError>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("servers", &self.servers)
            .finish_non_exhaustive()
    }
}

/// What librdkafka reported since the last look: the reason behind a bare time-out.
#[derive(Debug, Default)]
struct Events(Mutex<Reported>);

#[derive(Debug, Default)]
struct Reported {
    refused: Option<String>,
    last: Option<String>,
    is_down: bool,
}

impl ClientContext for Events {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        debug!(facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let mut reported = self.0.lock();
        match error.rdkafka_error_code() {
            Some(Code::AllBrokersDown) => reported.is_down = true,
            Some(Code::Authentication | Code::SaslAuthenticationFailed) => {
                reported.refused = Some(reason.to_owned());
            }
            _ => reported.last = Some(reason.to_owned()),
        }
    }
}

impl ConsumerContext for Events {}

impl Client {
    /// Makes a client; it connects when it is first asked.
    pub(crate) fn new(servers: &Arc<str>, config: &ClientConfig) -> Result<Self, ReadError> {
        let consumer = BaseConsumer::from_config_and_context(config, Events::default())
            .map_err(|error| ReadError::from_kafka(servers, &error))?;
        Ok(Self {
            servers: servers.clone(),
            consumer,
            failed: Mutex::new(None),
        })
    }

    /// All topics of the cluster.
    pub(crate) fn metadata(&self, deadline: Instant) -> Result<Metadata, ReadError> {
        self.attempt(deadline, |timeout| {
            self.consumer.fetch_metadata(None, timeout)
        })
    }

    /// The group's committed offsets; `None` where it never committed one.
    pub(crate) fn committed(
        &self,
        partitions: &[Partition],
        deadline: Instant,
    ) -> Result<Vec<(Partition, Option<u64>)>, ReadError> {
        let offsets = self.attempt(deadline, |timeout| {
            self.consumer
                .committed_offsets(list(partitions, Offset::Invalid)?, timeout)
        })?;
        self.read(&offsets)
    }

    /// The log-end offsets.
    pub(crate) fn ends(
        &self,
        partitions: &[Partition],
        deadline: Instant,
    ) -> Result<Vec<(Partition, Option<u64>)>, ReadError> {
        let offsets = self.attempt(deadline, |timeout| {
            self.consumer
                .offsets_for_times(list(partitions, Offset::End)?, timeout)
        })?;
        self.read(&offsets)
    }

    fn read(&self, list: &TopicPartitionList) -> Result<Vec<(Partition, Option<u64>)>, ReadError> {
        list.elements()
            .iter()
            .map(|element| {
                element
                    .error()
                    .map_err(|error| ReadError::from_kafka(&self.servers, &error))?;
                let partition = Partition {
                    topic: element.topic().into(),
                    id: element.partition(),
                };
                let offset = match element.offset() {
                    Offset::Offset(offset) => u64::try_from(offset).ok(),
                    _ => None,
                };
                Ok((partition, offset))
            })
            .collect()
    }

    /// Tries `call` until it succeeds, fails for good, the cluster is known to be down, or the
    /// deadline has passed.
    fn attempt<T>(
        &self,
        deadline: Instant,
        call: impl Fn(Duration) -> KafkaResult<T>,
    ) -> Result<T, ReadError> {
        self.look_back();
        let began = Instant::now();
        let mut patience = FIRST_ATTEMPT;
        loop {
            let started = Instant::now();
            let left = deadline.saturating_duration_since(started);
            let is_last = patience > FIRST_ATTEMPT * 3;
            let timeout = if is_last { left } else { patience.min(left) };
            let error = match call(timeout) {
                Ok(value) => {
                    *self.failed.lock() = None;
                    return Ok(value);
                }
                Err(error) => ReadError::from_kafka(&self.servers, &error),
            };
            if !error.is_passing() {
                return Err(error);
            }
            // An attempt that failed early must not turn into a busy loop.
            self.consumer
                .poll(timeout.saturating_sub(started.elapsed()).min(MAX_PAUSE));
            let is_over = Instant::now() >= deadline;
            if let Some(verdict) = self.verdict(error, began.elapsed(), is_over) {
                return Err(verdict);
            }
            patience = patience.saturating_mul(3);
        }
    }

    /// Whether the last call failed: such a client may keep a thread waiting again.
    pub(crate) fn is_failing(&self) -> bool {
        self.failed.lock().is_some()
    }

    /// Notes what happened since the last call. A cluster that went down may be down still, or its
    /// idle connections were closed: the attempts that follow tell.
    fn look_back(&self) {
        let reported = self.reported();
        if reported.is_down {
            self.failed
                .lock()
                .get_or_insert_with(|| self.unreachable(reported.last));
        }
    }

    /// Whether to give up after a failed attempt, and why.
    fn verdict(&self, error: ReadError, spent: Duration, is_over: bool) -> Option<ReadError> {
        let reported = self.reported();
        let mut failed = self.failed.lock();
        let servers = self.servers.clone();
        let was_down = failed.as_ref().is_some_and(ReadError::is_down);
        let is_certain = reported.refused.is_some()
            || reported.is_down
            || is_over
            || (was_down && spent >= GRACE_WHEN_DOWN);
        if let Some(detail) = reported.refused {
            *failed = Some(ReadError::Authentication { servers, detail });
        } else if reported.is_down || (was_down && reported.last.is_some()) {
            *failed = Some(self.unreachable(reported.last));
        } else if is_over && !was_down {
            *failed = Some(match (reported.last, error) {
                (Some(detail), _) => ReadError::Unreachable { servers, detail },
                (None, refused @ ReadError::Refused { .. }) => refused,
                (None, _) => ReadError::Timeout { servers },
            });
        }
        failed.clone().filter(|_| is_certain)
    }

    fn unreachable(&self, detail: Option<String>) -> ReadError {
        let detail = detail.unwrap_or_else(|| "all brokers are down".to_owned());
        ReadError::Unreachable {
            servers: self.servers.clone(),
            detail,
        }
    }

    /// Takes what librdkafka reported since the last call.
    fn reported(&self) -> Reported {
        for _ in 0..MAX_EVENTS {
            if self.consumer.poll(Duration::ZERO).is_none() {
                break;
            }
        }
        std::mem::take(&mut self.consumer.context().0.lock())
    }
}

fn list(partitions: &[Partition], offset: Offset) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition_offset(&partition.topic, partition.id, offset)?;
    }
    Ok(list)
}
