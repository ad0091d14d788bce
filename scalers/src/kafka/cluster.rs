//! One Kafka cluster with one set of credentials: reads the offsets that many triggers want at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parking_lot::Mutex;
use rdkafka::ClientConfig;

use super::clients::Clients;
use super::error::ReadError;
use super::lane::{Lane, LaneError};
use super::partition::Partition;
use super::plan::{Answer, ByGroup, ByPartition, Want, by_group, choose, join};
use super::security::SourceKey;
use super::topics::Topics;

/// Metadata older than this is read again, so that added partitions are seen.
const MAX_METADATA_AGE: Duration = Duration::from_secs(30);

/// How much longer than a call's own deadline its answer is waited for.
const ANSWER_MARGIN: Duration = Duration::from_millis(20);

/// One cluster with one set of credentials.
pub(crate) struct Cluster {
    servers: Arc<str>,
    config: ClientConfig,
    lane: Mutex<Option<Arc<Lane>>>,
    clients: Arc<Clients>,
    topics: Mutex<Option<(Instant, Arc<Topics>)>>,
    turn: AtomicUsize,
}

/// Shows no settings: they hold the credentials.
impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("servers", &self.servers)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Knows where the cluster is; connects with the first reading.
    pub(crate) fn new(key: &SourceKey) -> Self {
        let servers = Arc::from(key.servers.as_str());
        Self {
            config: key.client_config(),
            lane: Mutex::default(),
            clients: Arc::default(),
            topics: Mutex::default(),
            turn: AtomicUsize::default(),
            servers,
        }
    }

    /// Reads everything that `wants` ask for, answering each on its own within `timeout`.
    ///
    /// Every step may take a part of the time, so that one group or broker that hangs does not take
    /// the answers of the others with it.
    pub(crate) async fn read(&self, wants: &[Want], timeout: Duration) -> Vec<Answer> {
        let began = Instant::now();
        let topics = match self.topics(wants, began + timeout * 4 / 10).await {
            Ok(topics) => topics,
            Err(error) => return vec![Err(error); wants.len()],
        };
        let committed = self
            .committed(by_group(wants, &topics), began + timeout * 7 / 10)
            .await;
        let chosen: Vec<_> = wants
            .iter()
            .map(|want| choose(want, &topics, &committed))
            .collect();
        let partitions = chosen.iter().flatten().flatten().cloned().collect();
        let ends = self
            .ends(partitions, &topics, began + timeout * 9 / 10)
            .await;
        let answers: Vec<_> = wants
            .iter()
            .zip(chosen)
            .map(|(want, chosen)| join(chosen?, committed.get(&want.group), &ends))
            .collect();
        if answers.iter().any(Result::is_err) {
            // Leaders or partitions may have changed.
            *self.topics.lock() = None;
        }
        answers
    }

    /// Closes the client of `group`, which nobody wants any more.
    pub(crate) fn forget(&self, group: &str) {
        if let Some(client) = self.clients.groups.lock().remove(group) {
            self.close(client);
        }
    }

    /// Metadata, read again when it is old or lacks something.
    async fn topics(&self, wants: &[Want], deadline: Instant) -> Result<Arc<Topics>, ReadError> {
        if let Some((read, topics)) = self.topics.lock().clone() {
            let mut names = wants
                .iter()
                .flat_map(|want| &want.topics)
                .map(String::as_str);
            if read.elapsed() < MAX_METADATA_AGE && topics.have(&mut names) {
                return Ok(topics);
            }
        }
        let (servers, config) = (self.servers.clone(), self.config.clone());
        let clients = self.clients.clone();
        let read = move || {
            let metadata = clients.shared(&servers, &config)?.metadata(deadline)?;
            Ok(Arc::new(Topics::new(&servers, &metadata)))
        };
        let topics = self.run(deadline, read).await?;
        *self.topics.lock() = Some((Instant::now(), topics.clone()));
        Ok(topics)
    }

    /// Committed offsets of every group, the groups that failed last time last. A reading begins where
    /// the one before ended, so that too many groups for the time are all read by turns.
    async fn committed(
        &self,
        groups: BTreeMap<String, BTreeSet<Partition>>,
        deadline: Instant,
    ) -> ByGroup {
        let mut groups: Vec<_> = groups.into_iter().collect();
        let turn = self.turn.load(Ordering::Relaxed) % groups.len().max(1);
        groups.rotate_left(turn);
        groups.sort_by_cached_key(|(group, _)| self.clients.is_failing(group));
        let answers: ByGroup = join_all(groups.into_iter().map(|(group, partitions)| async {
            let (name, clients) = (group.clone(), self.clients.clone());
            let (servers, config) = (self.servers.clone(), self.config.clone());
            let partitions: Vec<_> = partitions.into_iter().collect();
            let read = move || {
                let client = clients.of_group(&name, &servers, config)?;
                client.committed(&partitions, deadline)
            };
            let offsets = self
                .run(deadline, read)
                .await
                .map(|offsets| offsets.into_iter().collect());
            (group, offsets)
        }))
        .await
        .into_iter()
        .collect();
        let read = answers.values().filter(|answer| answer.is_ok()).count();
        self.turn.fetch_add(read, Ordering::Relaxed);
        answers
    }

    /// Log-end offsets, one call per leader so that one that is down fails only its partitions.
    async fn ends(
        &self,
        partitions: BTreeSet<Partition>,
        topics: &Topics,
        deadline: Instant,
    ) -> ByPartition {
        let mut answers = ByPartition::new();
        let mut by_leader: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for partition in partitions {
            match topics.leader(&partition) {
                Ok(leader) => by_leader.entry(leader).or_default().push(partition),
                Err(error) => drop(answers.insert(partition, Err(error))),
            }
        }
        let read = join_all(by_leader.into_values().map(|partitions| async {
            let (servers, config) = (self.servers.clone(), self.config.clone());
            let (clients, asked) = (self.clients.clone(), partitions.clone());
            let read = move || clients.shared(&servers, &config)?.ends(&asked, deadline);
            match self.run(deadline, read).await {
                Ok(ends) => ends.into_iter().map(|(p, end)| (p, Ok(end))).collect(),
                Err(error) => partitions
                    .into_iter()
                    .map(|p| (p, Err(error.clone())))
                    .collect::<Vec<_>>(),
            }
        }));
        answers.extend(read.await.into_iter().flatten());
        answers
    }

    async fn run<T: Send + 'static>(
        &self,
        deadline: Instant,
        call: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let lane = self.lane()?;
        // The call ends by itself at the deadline, with a better reason.
        let deadline = tokio::time::Instant::from_std(deadline + ANSWER_MARGIN);
        match lane.run(deadline, call).await {
            Ok(answer) => answer,
            Err(LaneError::Full) => Err(ReadError::Busy {
                servers: self.servers.clone(),
            }),
            Err(LaneError::Late) => Err(ReadError::Timeout {
                servers: self.servers.clone(),
            }),
        }
    }

    fn lane(&self) -> Result<Arc<Lane>, ReadError> {
        let mut lane = self.lane.lock();
        if let Some(lane) = lane.as_ref() {
            return Ok(lane.clone());
        }
        let started = Arc::new(Lane::start().map_err(|error| ReadError::Thread(Arc::new(error)))?);
        *lane = Some(started.clone());
        Ok(started)
    }

    /// Closing waits for the client's threads: not here. Where there is a client there is a lane.
    fn close<T: Send + 'static>(&self, clients: T) {
        if let Some(lane) = self.lane.lock().as_ref() {
            lane.submit(move || drop(clients));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let clients = std::mem::take(&mut self.clients);
        self.close(clients);
    }
}
