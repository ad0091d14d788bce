//! The committed offsets of groups: who keeps them, and what they are.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::time::Instant;

use super::broker::Made;
use super::cluster::Cluster;
use super::connection::Connection;
use super::endpoint::Endpoint;
use super::error::ReadError;
use super::partition::Partition;
use super::plan::{Asked, ByGroup, Offsets};
use super::protocol::offset_fetch::{self, GroupOffsets};
use super::protocol::{Api, Code, find_coordinator};
use super::topics::Topics;

/// Who keeps the offsets of each group, or why that is not known.
type ByCoordinator = HashMap<String, Result<Endpoint, ReadError>>;

impl Cluster {
    /// Who keeps the offsets of `groups`: remembered, and asked for those that are not, all at once.
    pub(super) async fn coordinators_of(
        &self,
        groups: &[(String, Asked)],
        deadline: Instant,
    ) -> ByCoordinator {
        let mut found = ByCoordinator::new();
        let mut unknown: Vec<&str> = Vec::new();
        {
            let remembered = self.coordinators.lock();
            for (group, _) in groups {
                match remembered.get(group) {
                    Some(endpoint) => drop(found.insert(group.clone(), Ok(endpoint.clone()))),
                    None => unknown.push(group),
                }
            }
        }
        if unknown.is_empty() {
            return found;
        }
        match self.find_coordinators(&unknown, deadline).await {
            Ok(answers) => {
                let mut remembered = self.coordinators.lock();
                for (group, answer) in answers {
                    if let Ok(endpoint) = &answer {
                        remembered.insert(group.clone(), endpoint.clone());
                    }
                    found.insert(group, answer);
                }
            }
            Err(error) => {
                let failed = unknown.into_iter().map(str::to_owned);
                found.extend(failed.map(|group| (group, Err(error.clone()))));
            }
        }
        found
    }

    async fn find_coordinators(
        &self,
        groups: &[&str],
        deadline: Instant,
    ) -> Result<ByCoordinator, ReadError> {
        let make = |connection: &Connection| -> Made {
            let version = connection.version(Api::FindCoordinator)?;
            let chunks = find_coordinator::chunks(version, groups).into_iter();
            Ok(chunks
                .map(|chunk| find_coordinator::request(version, chunk))
                .collect())
        };
        let topics = self.known_topics();
        let answered = self
            .brokers
            .ask_any(topics.brokers(), deadline, &make)
            .await;
        let (broker, responses) = answered?;
        let garbled = || ReadError::garbled(broker.name(), "its coordinators");
        let asked: HashSet<&str> = groups.iter().copied().collect();
        let mut found = ByCoordinator::new();
        for (index, response) in responses.iter().enumerate() {
            let read = find_coordinator::read(response.version, &mut response.reader());
            for coordinator in read.map_err(|_| garbled())? {
                // An answer without a name is to the only group of its request.
                let group = coordinator.group.or_else(|| groups.get(index).copied());
                let answer = match (coordinator.code.ok(), coordinator.endpoint) {
                    (Ok(()), Some(endpoint)) => Ok(endpoint),
                    (Ok(()), None) => Err(garbled()),
                    (Err(code), _) => Err(ReadError::from_code(broker.name(), code)),
                };
                if let Some(group) = group.filter(|group| asked.contains(group)) {
                    found.insert(group.to_owned(), answer);
                }
            }
        }
        Ok(found)
    }

    /// Committed offsets of `groups` at their coordinator; an answer for each.
    pub(super) async fn committed_at(
        &self,
        coordinator: &Endpoint,
        groups: &[(String, Asked)],
        topics: &Topics,
        deadline: Instant,
    ) -> ByGroup {
        let broker = self.brokers.at(coordinator);
        let make = |connection: &Connection| -> Made {
            let version = connection.version(Api::OffsetFetch)?;
            let wants_all = groups.iter().any(|(_, asked)| *asked == Asked::All);
            if wants_all && version < offset_fetch::FIRST_OF_ALL {
                return Err(ReadError::not_spoken(broker.name(), Api::OffsetFetch));
            }
            let chunks = offset_fetch::chunks(version, groups).into_iter();
            Ok(chunks
                .map(|chunk| offset_fetch::request(version, chunk))
                .collect())
        };
        let responses = broker.ask(deadline, &make).await;
        let garbled = ReadError::garbled(broker.name(), "its committed offsets");
        let (responses, failed) = match responses {
            Ok(responses) => (responses, garbled),
            Err(error) => (Vec::new(), error),
        };
        let mut answers = ByGroup::new();
        for (index, response) in responses.iter().enumerate() {
            // One that cannot be read leaves the groups of the others their answers.
            let read = offset_fetch::read(response.version, &mut response.reader());
            for offsets in read.unwrap_or_default() {
                let asked = groups.get(index).map(|(group, _)| group.as_str());
                if let Some(group) = offsets.group.or(asked) {
                    answers.insert(group.to_owned(), gather(&offsets, broker.name(), topics));
                }
            }
        }
        let of = |(group, _): &(String, Asked)| {
            let answer = answers.remove(group);
            (group.clone(), answer.unwrap_or_else(|| Err(failed.clone())))
        };
        groups.iter().map(of).collect()
    }
}

/// What a broker said about one group.
fn gather(
    read: &GroupOffsets<'_>,
    broker: &Arc<str>,
    topics: &Topics,
) -> Result<Offsets, ReadError> {
    let failed = |code| ReadError::from_code(broker, code);
    match read.code {
        // A group that was never heard of has committed nothing.
        Code::NONE | Code::GROUP_ID_NOT_FOUND => {}
        code => return Err(failed(code)),
    }
    let offsets = read.offsets.iter().map(|committed| {
        let partition = Partition {
            topic: topics.name(committed.topic),
            id: committed.partition,
        };
        // A negative offset: never committed.
        let offset = u64::try_from(committed.offset).ok();
        (
            partition,
            committed.code.ok().map(|()| offset).map_err(failed),
        )
    });
    // Some failures are said of every partition instead of the group.
    let offsets: Offsets = offsets.collect();
    match offsets
        .values()
        .find_map(|it| it.as_ref().err().filter(|it| it.is_passing()))
    {
        Some(error) => Err(error.clone()),
        None => Ok(offsets),
    }
}
