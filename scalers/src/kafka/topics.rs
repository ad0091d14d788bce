//! The topics that triggers want and who leads their partitions, as metadata showed them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::endpoint::Endpoint;
use super::error::ReadError;
use super::partition::Partition;
use super::protocol::Code;
use super::protocol::metadata::{Metadata, TopicMetadata};

/// What is older is read again, so that added partitions are seen.
const MAX_AGE: Duration = Duration::from_secs(30);
/// A topic that nobody asked about for so long is forgotten.
const MAX_UNUSED: Duration = Duration::from_secs(600);
/// More are read again each time. Far more than a cluster has, unless it lies.
const MAX_TOPICS: usize = 100_000;
/// The brokers that are asked what any of them knows.
const MAX_BROKERS: usize = 1_000;

/// The partitions of a topic, each with its leader if there is one; or why they are not known.
type Leaders = Result<BTreeMap<i32, Option<Endpoint>>, ReadError>;

/// What is known of topics. Topics that do not exist are left out.
#[derive(Clone, Debug)]
pub(crate) struct Topics {
    servers: Arc<str>,
    brokers: Vec<Endpoint>,
    topics: HashMap<Arc<str>, (Instant, Leaders)>,
}

impl Topics {
    /// Nothing yet.
    pub(crate) fn new(servers: &Arc<str>) -> Self {
        Self {
            servers: servers.clone(),
            brokers: Vec::new(),
            topics: HashMap::new(),
        }
    }

    /// The brokers of the cluster.
    pub(crate) fn brokers(&self) -> &[Endpoint] {
        &self.brokers
    }

    /// Those of `names` that must be read: unknown, old, or without a leader for every partition.
    pub(crate) fn missing<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        let is_good = |name: &str| match self.topics.get(name) {
            Some((read, Ok(leaders))) => {
                read.elapsed() < MAX_AGE && leaders.values().all(Option::is_some)
            }
            Some((_, Err(_))) | None => false,
        };
        names.filter(|name| !is_good(name)).collect()
    }

    /// Takes in what a broker said when it was asked about `names`.
    pub(crate) fn update(&mut self, names: &[&str], metadata: &Metadata<'_>) {
        let now = Instant::now();
        for name in names {
            self.topics.remove(*name);
        }
        self.topics
            .retain(|_, (read, _)| read.elapsed() < MAX_UNUSED);
        if self.topics.len() + names.len() > MAX_TOPICS {
            self.topics.clear();
        }
        let brokers: HashMap<i32, &Endpoint> = metadata
            .brokers
            .iter()
            .map(|(id, endpoint)| (*id, endpoint))
            .collect();
        let wanted: BTreeSet<&str> = names.iter().copied().collect();
        // Old brokers say more than they were asked.
        for topic in metadata.topics.iter().filter(|it| wanted.contains(it.name)) {
            if let Some(leaders) = self.leaders(topic, &brokers) {
                self.topics.insert(topic.name.into(), (now, leaders));
            }
        }
        let brokers = metadata.brokers.iter().take(MAX_BROKERS);
        self.brokers = brokers.map(|(_, endpoint)| endpoint.clone()).collect();
    }

    fn leaders(
        &self,
        topic: &TopicMetadata<'_>,
        brokers: &HashMap<i32, &Endpoint>,
    ) -> Option<Leaders> {
        match topic.code {
            Code::NONE | Code::LEADER_NOT_AVAILABLE => {}
            Code::UNKNOWN_TOPIC_OR_PARTITION | Code::INVALID_TOPIC_EXCEPTION => return None,
            code => return Some(Err(ReadError::from_code(&self.servers, code))),
        }
        // A topic that is just being created shows none yet, which is not to have no lag.
        if topic.partitions.is_empty() {
            let code = Code::LEADER_NOT_AVAILABLE;
            return Some(Err(ReadError::from_code(&self.servers, code)));
        }
        let partitions = topic.partitions.iter();
        let of_broker = |id: &i32| brokers.get(id).map(|endpoint| (*endpoint).clone());
        Some(Ok(partitions
            .map(|(partition, leader)| (*partition, of_broker(leader)))
            .collect()))
    }

    /// Reads these again when they are wanted next.
    pub(crate) fn forget<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        for name in names {
            self.topics.remove(name);
        }
    }

    /// The topic's name, shared with others.
    pub(crate) fn name(&self, name: &str) -> Arc<str> {
        let known = self.topics.get_key_value(name);
        known.map_or_else(|| name.into(), |(name, _)| name.clone())
    }

    /// The partitions of the topic `name`, only those in `limit` where there is one.
    pub(crate) fn partitions(
        &self,
        name: &str,
        limit: Option<&BTreeSet<i32>>,
    ) -> Result<Vec<Partition>, ReadError> {
        let Some((topic, (_, leaders))) = self.topics.get_key_value(name) else {
            return Err(self.no_topic(name.into()));
        };
        Ok(leaders
            .as_ref()
            .map_err(Clone::clone)?
            .keys()
            .filter(|id| limit.is_none_or(|limit| limit.contains(id)))
            .map(|id| Partition {
                topic: topic.clone(),
                id: *id,
            })
            .collect())
    }

    /// Who leads a partition.
    pub(crate) fn leader(&self, partition: &Partition) -> Result<&Endpoint, ReadError> {
        match self.topics.get(&partition.topic) {
            None => Err(self.no_topic(partition.topic.clone())),
            Some((_, Err(error))) => Err(error.clone()),
            Some((_, Ok(leaders))) => {
                let leader = leaders.get(&partition.id).and_then(Option::as_ref);
                leader.ok_or_else(|| ReadError::NoLeader {
                    topic: partition.topic.clone(),
                    partition: partition.id,
                })
            }
        }
    }

    fn no_topic(&self, topic: Arc<str>) -> ReadError {
        ReadError::NoTopic {
            servers: self.servers.clone(),
            topic,
        }
    }
}

#[cfg(test)]
impl Topics {
    /// Topics with the leaders of their partitions, from 0 upwards; a leader is the port of its broker.
    pub(crate) fn of(topics: &[(&str, &[Option<i32>])]) -> Self {
        let broker = |port: i32| Endpoint::new("broker", port).unwrap();
        let leaders = |leaders: &[Option<i32>]| {
            let leaders = leaders.iter().map(|leader| leader.map(broker));
            (0..).zip(leaders).collect()
        };
        let mut known = Self::new(&"broker:9092".into());
        known.topics = topics
            .iter()
            .map(|(name, all)| (Arc::from(*name), (Instant::now(), Ok(leaders(all)))))
            .collect();
        known
    }
}
