//! The topics of a cluster and who leads their partitions, as metadata showed them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::metadata::{Metadata, MetadataTopic};

use super::error::ReadError;
use super::partition::Partition;

/// A broker's number in its cluster.
pub(crate) type BrokerId = i32;

/// The partitions of a topic, each with its leader if there is one; or why they are not known.
type Leaders = Result<BTreeMap<i32, Option<BrokerId>>, ReadError>;

/// The topics of a cluster at one moment.
#[derive(Debug)]
pub(crate) struct Topics {
    servers: Arc<str>,
    topics: HashMap<Arc<str>, Leaders>,
}

impl Topics {
    /// Reads the broker's answer.
    pub(crate) fn new(servers: &Arc<str>, metadata: &Metadata) -> Self {
        let topics = metadata
            .topics()
            .iter()
            .map(|topic| (Arc::from(topic.name()), leaders(servers, topic)))
            .collect();
        Self {
            servers: servers.clone(),
            topics,
        }
    }

    /// Whether all of `names` are there with a leader for every partition.
    pub(crate) fn have<'a>(&self, mut names: impl Iterator<Item = &'a str>) -> bool {
        names.all(|name| match self.topics.get(name) {
            Some(Ok(leaders)) => leaders.values().all(Option::is_some),
            Some(Err(_)) | None => false,
        })
    }

    /// The partitions of the topic `name`, only those in `limit` where there is one.
    pub(crate) fn partitions(
        &self,
        name: &str,
        limit: Option<&BTreeSet<i32>>,
    ) -> Result<Vec<Partition>, ReadError> {
        let Some((topic, leaders)) = self.topics.get_key_value(name) else {
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

    /// Every partition that can be read, of every topic.
    pub(crate) fn all_partitions(&self) -> Vec<Partition> {
        self.topics
            .iter()
            .filter_map(|(topic, leaders)| Some((topic, leaders.as_ref().ok()?)))
            .flat_map(|(topic, leaders)| {
                leaders.keys().map(|id| Partition {
                    topic: topic.clone(),
                    id: *id,
                })
            })
            .collect()
    }

    /// Who leads a partition.
    pub(crate) fn leader(&self, partition: &Partition) -> Result<BrokerId, ReadError> {
        match self.topics.get(&partition.topic) {
            None => Err(self.no_topic(partition.topic.clone())),
            Some(Err(error)) => Err(error.clone()),
            Some(Ok(leaders)) => leaders
                .get(&partition.id)
                .copied()
                .flatten()
                .ok_or_else(|| ReadError::NoLeader {
                    topic: partition.topic.clone(),
                    partition: partition.id,
                }),
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
    /// Topics with the leaders of their partitions, from 0 upwards.
    pub(crate) fn of(topics: &[(&str, &[Option<BrokerId>])]) -> Self {
        let leaders = |leaders: &[Option<BrokerId>]| (0..).zip(leaders.iter().copied()).collect();
        Self {
            servers: "broker:9092".into(),
            topics: topics
                .iter()
                .map(|(name, all)| (Arc::from(*name), Ok(leaders(all))))
                .collect(),
        }
    }
}

fn leaders(servers: &Arc<str>, topic: &MetadataTopic) -> Leaders {
    match topic.error().map(Code::from) {
        None | Some(Code::NoError | Code::LeaderNotAvailable) => Ok(topic
            .partitions()
            .iter()
            .map(|partition| {
                let leader = partition.leader();
                (partition.id(), (leader >= 0).then_some(leader))
            })
            .collect()),
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => Err(ReadError::NoTopic {
            servers: servers.clone(),
            topic: topic.name().into(),
        }),
        Some(code) => Err(ReadError::from_code(servers, code)),
    }
}
