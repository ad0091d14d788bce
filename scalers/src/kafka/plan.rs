//! What to read for many triggers at once, and who gets which part of it. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::error::ReadError;
use super::lag::PartitionOffsets;
use super::partition::Partition;
use super::topics::Topics;

/// What one trigger wants to know.
#[derive(Clone, Debug)]
pub(crate) struct Want {
    /// Whose committed offsets.
    pub(crate) group: String,
    /// Of which topics; empty: all for which the group committed offsets.
    pub(crate) topics: Vec<String>,
    /// Only these partitions of the topics.
    pub(crate) limit: Option<BTreeSet<i32>>,
}

/// The answer to one [`Want`].
pub(crate) type Answer = Result<Vec<PartitionOffsets>, ReadError>;

/// Committed offsets; `None`: never committed.
pub(crate) type Offsets = HashMap<Partition, Option<u64>>;
/// Committed offsets of every group, or why they are not known.
pub(crate) type ByGroup = HashMap<String, Result<Offsets, ReadError>>;
/// Log-end offsets, or why they are not known.
pub(crate) type ByPartition = HashMap<Partition, Result<Option<u64>, ReadError>>;

/// The partitions whose committed offsets each group is asked for.
pub(super) fn by_group(wants: &[Want], topics: &Topics) -> BTreeMap<String, BTreeSet<Partition>> {
    let mut groups: BTreeMap<String, BTreeSet<Partition>> = BTreeMap::new();
    for want in wants {
        let group = groups.entry(want.group.clone()).or_default();
        if want.topics.is_empty() {
            group.extend(topics.all_partitions());
        }
        for topic in &want.topics {
            // A topic that does not exist fails its own trigger, in `choose`.
            group.extend(
                topics
                    .partitions(topic, want.limit.as_ref())
                    .unwrap_or_default(),
            );
        }
    }
    groups.retain(|_, partitions| !partitions.is_empty());
    groups
}

/// The partitions whose lag counts for `want`.
pub(super) fn choose(
    want: &Want,
    topics: &Topics,
    committed: &ByGroup,
) -> Result<Vec<Partition>, ReadError> {
    let of_topics = |names: &mut dyn Iterator<Item = &str>| {
        let mut partitions = Vec::new();
        for name in names {
            partitions.extend(topics.partitions(name, want.limit.as_ref())?);
        }
        Ok(partitions)
    };
    if !want.topics.is_empty() {
        return of_topics(&mut want.topics.iter().map(String::as_str));
    }
    let names: BTreeSet<&str> = match committed.get(&want.group) {
        None => BTreeSet::new(),
        Some(Err(error)) => return Err(error.clone()),
        Some(Ok(offsets)) => offsets
            .iter()
            .filter(|(_, offset)| offset.is_some())
            .map(|(partition, _)| partition.topic.as_ref())
            .collect(),
    };
    of_topics(&mut names.into_iter())
}

/// Puts the two offsets of every chosen partition together.
pub(super) fn join(
    chosen: Vec<Partition>,
    committed: Option<&Result<Offsets, ReadError>>,
    ends: &ByPartition,
) -> Answer {
    let committed = match committed {
        None => &Offsets::new(),
        Some(Ok(offsets)) => offsets,
        Some(Err(error)) => return Err(error.clone()),
    };
    chosen
        .into_iter()
        .map(|partition| {
            let end = match ends.get(&partition) {
                None => None,
                Some(end) => end.clone()?,
            };
            let committed = committed.get(&partition).copied().flatten();
            Ok(PartitionOffsets {
                partition,
                committed,
                end,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests;
