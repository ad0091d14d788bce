//! One Kafka cluster with one set of credentials: reads the offsets that many triggers want at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::broker::Made;
use super::brokers::Brokers;
use super::connection::Connection;
use super::endpoint::Endpoint;
use super::error::ReadError;
use super::partition::Partition;
use super::plan::{Answer, Asked, ByGroup, ByPartition, Want, by_group, choose, join, names};
use super::protocol::{Api, list_offsets, metadata};
use super::security::SourceKey;
use super::topics::Topics;
use crate::AddressPolicy;

/// Pause before a question is asked again whose answer was about to change; doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// One cluster with one set of credentials.
#[derive(Debug)]
pub(crate) struct Cluster {
    servers: Arc<str>,
    pub(super) brokers: Brokers,
    topics: Mutex<Arc<Topics>>,
    /// Who keeps the offsets of which group.
    pub(super) coordinators: Mutex<HashMap<String, Endpoint>>,
}

impl Cluster {
    /// Knows where the cluster is; connects with the first reading.
    pub(crate) fn new(key: &SourceKey, addresses: AddressPolicy) -> Self {
        let servers = Arc::from(key.servers.as_str());
        Self {
            brokers: Brokers::new(&servers, key.endpoints(), key.access(addresses)),
            topics: Mutex::new(Arc::new(Topics::new(&servers))),
            coordinators: Mutex::default(),
            servers,
        }
    }

    /// Reads everything that `wants` ask for, answering each on its own within `timeout`.
    ///
    /// What is about to change (a coordinator that loads or moves, a leader being elected), or was
    /// asked of a broker that is no longer responsible, is asked again while half of the time is left.
    pub(crate) async fn read(&self, wants: &[Want], timeout: Duration) -> Vec<Answer> {
        let began = Instant::now();
        let end = began + timeout * 19 / 20;
        let mut answers = self.pass(wants, end).await;
        let mut pause = FIRST_PAUSE;
        for round in 0.. {
            let numbered = answers.iter().enumerate();
            let open = numbered.filter(|(_, answer)| is_open(answer, round));
            let open: Vec<usize> = open.map(|(index, _)| index).collect();
            if open.is_empty() || Instant::now() + pause > began + timeout / 2 {
                break;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
            let again: Vec<Want> = open.iter().map(|index| wants[*index].clone()).collect();
            let next = self.pass(&again, end).await;
            for (index, answer) in open.into_iter().zip(next) {
                answers[index] = answer;
            }
        }
        answers
    }

    /// Forgets who keeps the offsets of `group`.
    pub(crate) fn forget(&self, group: &str) {
        self.coordinators.lock().remove(group);
    }

    /// Asks for everything once.
    ///
    /// Every step may take a part of the time, so that one broker that hangs does not take the answers
    /// of the others with it.
    async fn pass(&self, wants: &[Want], end: Instant) -> Vec<Answer> {
        let began = Instant::now();
        let time = end.saturating_duration_since(began);
        let named = wants.iter().flat_map(|want| &want.topics);
        let named: BTreeSet<&str> = named.map(String::as_str).collect();
        let known = self.known_topics();
        let topics = match self.topics(known, &named, began + time * 6 / 10).await {
            Ok(topics) => topics,
            Err(error) => return vec![Err(error); wants.len()],
        };
        let groups = by_group(wants, &topics);
        let committed = self.committed(groups, &topics, began + time * 8 / 10).await;
        let mut more = names(wants, &committed);
        more.retain(|name| !named.contains(name));
        let topics = match self.topics(topics, &more, began + time * 9 / 10).await {
            Ok(topics) => topics,
            Err(error) => return vec![Err(error); wants.len()],
        };
        let chosen: Vec<_> = wants
            .iter()
            .map(|want| choose(want, &topics, &committed))
            .collect();
        let partitions = chosen.iter().flatten().flatten().cloned().collect();
        let ends = self.ends(partitions, &topics, end).await;
        let answers: Vec<Answer> = wants
            .iter()
            .zip(chosen)
            .map(|(want, chosen)| join(chosen?, committed.get(&want.group), &ends))
            .collect();
        self.forget_stale(wants, &answers, &committed);
        answers
    }

    /// Leaders and partitions of what failed may have changed.
    fn forget_stale(&self, wants: &[Want], answers: &[Answer], committed: &ByGroup) {
        let failed = wants
            .iter()
            .zip(answers)
            .filter(|(_, answer)| match answer {
                Ok(_) => false,
                Err(error) => error.may_be_stale(),
            });
        let names: BTreeSet<&str> = failed
            .flat_map(|(want, _)| names(std::slice::from_ref(want), committed))
            .collect();
        if !names.is_empty() {
            Arc::make_mut(&mut self.topics.lock()).forget(names.into_iter());
        }
    }

    /// `known` with what is missing of the topics `names`: unknown, old or without a leader.
    async fn topics(
        &self,
        mut known: Arc<Topics>,
        names: &BTreeSet<&str>,
        deadline: Instant,
    ) -> Result<Arc<Topics>, ReadError> {
        let missing: Vec<&str> = known.missing(names.iter().copied());
        if missing.is_empty() {
            return Ok(known);
        }
        let make = |connection: &Connection| -> Made {
            let version = connection.version(Api::Metadata)?;
            Ok(vec![metadata::request(version, missing.iter().copied())])
        };
        let asked = self.brokers.ask_any(known.brokers(), deadline, &make).await;
        let (broker, responses) = asked?;
        for response in responses {
            let read = metadata::read(response.version, &mut response.reader());
            let read = read.map_err(|_| ReadError::garbled(broker.name(), "its metadata"))?;
            Arc::make_mut(&mut known).update(&missing, &read);
            // Another reading may have changed what is remembered meanwhile.
            Arc::make_mut(&mut self.topics.lock()).update(&missing, &read);
        }
        self.brokers.keep(known.brokers());
        Ok(known)
    }

    pub(super) fn known_topics(&self) -> Arc<Topics> {
        Arc::clone(&self.topics.lock())
    }

    /// Committed offsets of all groups: one request per coordinator, or a few where it is too old or
    /// the answer would be too large.
    async fn committed(
        &self,
        groups: Vec<(String, Asked)>,
        topics: &Topics,
        deadline: Instant,
    ) -> ByGroup {
        let mut answers = ByGroup::new();
        let mut by_coordinator: BTreeMap<Endpoint, Vec<(String, Asked)>> = BTreeMap::new();
        let mut coordinators = self.coordinators_of(&groups, deadline).await;
        for (group, asked) in groups {
            match coordinators.remove(&group) {
                Some(Ok(endpoint)) => {
                    let groups = by_coordinator.entry(endpoint).or_default();
                    groups.push((group, asked));
                }
                Some(Err(error)) => drop(answers.insert(group, Err(error))),
                None => {
                    let error = ReadError::garbled(&self.servers, "no coordinator for a group");
                    answers.insert(group, Err(error));
                }
            }
        }
        let read = by_coordinator
            .iter()
            .map(|(endpoint, groups)| self.committed_at(endpoint, groups, topics, deadline));
        answers.extend(join_all(read).await.into_iter().flatten());
        for (group, answer) in &answers {
            if matches!(answer, Err(error) if error.may_be_stale()) {
                self.forget(group);
            }
        }
        answers
    }

    /// Log-end offsets, one request per leader so that one that is down fails only its partitions.
    async fn ends(
        &self,
        partitions: BTreeSet<Partition>,
        topics: &Topics,
        deadline: Instant,
    ) -> ByPartition {
        let mut answers = ByPartition::new();
        let mut by_leader: BTreeMap<&Endpoint, Vec<Partition>> = BTreeMap::new();
        for partition in partitions {
            match topics.leader(&partition) {
                Ok(leader) => by_leader.entry(leader).or_default().push(partition),
                Err(error) => drop(answers.insert(partition, Err(error))),
            }
        }
        let read = by_leader
            .into_iter()
            .map(|(leader, partitions)| async move {
                let mut ends = self.ends_at(leader, &partitions, topics, deadline).await;
                let failed = match &ends {
                    Ok(_) => ReadError::garbled(&self.servers, "log ends are left out"),
                    Err(error) => error.clone(),
                };
                let of = |partition: Partition| {
                    let found = ends.as_mut().ok().and_then(|ends| ends.remove(&partition));
                    let end = found.unwrap_or_else(|| Err(failed.clone()));
                    (partition, end)
                };
                partitions.into_iter().map(of).collect::<Vec<_>>()
            });
        answers.extend(join_all(read).await.into_iter().flatten());
        answers
    }

    async fn ends_at(
        &self,
        leader: &Endpoint,
        partitions: &[Partition],
        topics: &Topics,
        deadline: Instant,
    ) -> Result<ByPartition, ReadError> {
        let broker = self.brokers.at(leader);
        let make = |connection: &Connection| -> Made {
            let version = connection.version(Api::ListOffsets)?;
            Ok(vec![list_offsets::request(version, partitions)])
        };
        let mut ends = ByPartition::new();
        for response in broker.ask(deadline, &make).await? {
            let read = list_offsets::read(response.version, &mut response.reader());
            let read = read.map_err(|_| ReadError::garbled(broker.name(), "its log ends"))?;
            ends.extend(read.into_iter().map(|end| {
                let partition = Partition {
                    topic: topics.name(end.topic),
                    id: end.partition,
                };
                let offset = match end.code.ok() {
                    Ok(()) => Ok(u64::try_from(end.offset).ok()),
                    Err(code) => Err(ReadError::from_code(broker.name(), code)),
                };
                (partition, offset)
            }));
        }
        Ok(ends)
    }
}

/// Whether another answer may come within the same reading; a memory that is out of date is blamed once.
fn is_open(answer: &Answer, round: u32) -> bool {
    match answer {
        Ok(_) => false,
        Err(error) => error.is_passing() || (round == 0 && error.may_be_stale()),
    }
}

#[cfg(test)]
mod tests;
