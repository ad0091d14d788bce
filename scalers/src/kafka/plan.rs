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

/// Committed offsets, or why they are not known; `None`: never committed.
pub(crate) type Offsets = HashMap<Partition, Result<Option<u64>, ReadError>>;
/// Committed offsets of every group, or why none of them is known.
pub(crate) type ByGroup = HashMap<String, Result<Offsets, ReadError>>;
/// Log-end offsets, or why they are not known.
pub(crate) type ByPartition = HashMap<Partition, Result<Option<u64>, ReadError>>;

/// Which committed offsets a group is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// All that it committed.
    All,
    /// Those of these partitions.
    Partitions(BTreeSet<Partition>),
}

impl Asked {
    fn add(&mut self, more: Vec<Partition>) {
        match self {
            Self::All => {}
            Self::Partitions(partitions) => partitions.extend(more),
        }
    }
}

/// What each group is asked for, however many triggers want it.
pub(super) fn by_group(wants: &[Want], topics: &Topics) -> Vec<(String, Asked)> {
    let mut groups: BTreeMap<&str, Asked> = BTreeMap::new();
    for want in wants {
        let group = groups.entry(&want.group);
        let asked = group.or_insert_with(|| Asked::Partitions(BTreeSet::new()));
        if want.topics.is_empty() {
            *asked = Asked::All;
        }
        for topic in &want.topics {
            // A topic that does not exist fails its own trigger, in `choose`.
            let partitions = topics.partitions(topic, want.limit.as_ref());
            asked.add(partitions.unwrap_or_default());
        }
    }
    let is_something = |asked: &Asked| match asked {
        Asked::All => true,
        Asked::Partitions(partitions) => !partitions.is_empty(),
    };
    groups
        .into_iter()
        .filter(|(_, asked)| is_something(asked))
        .map(|(group, asked)| (group.to_owned(), asked))
        .collect()
}

/// The topics of all `wants`; where one names none, those for which its group committed offsets.
pub(super) fn names<'a>(wants: &'a [Want], committed: &'a ByGroup) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    for want in wants {
        names.extend(want.topics.iter().map(String::as_str));
        if want.topics.is_empty() {
            names.extend(with_commits(want, committed));
        }
    }
    names
}

/// The topics for which a group committed offsets.
fn with_commits<'a>(want: &Want, committed: &'a ByGroup) -> BTreeSet<&'a str> {
    let offsets = committed
        .get(&want.group)
        .and_then(|read| read.as_ref().ok());
    offsets
        .into_iter()
        .flatten()
        .filter(|(_, offset)| !matches!(offset, Ok(None)))
        .map(|(partition, _)| partition.topic.as_ref())
        .collect()
}

/// The partitions whose lag counts for `want`.
pub(super) fn choose(
    want: &Want,
    topics: &Topics,
    committed: &ByGroup,
) -> Result<Vec<Partition>, ReadError> {
    let mut partitions = Vec::new();
    if want.topics.is_empty() {
        if let Some(Err(error)) = committed.get(&want.group) {
            return Err(error.clone());
        }
        // A broker that has just started knows no topics for a moment: one with commits that it does not know
        // is no topic without lag. Where it was deleted, its commits go with it.
        for name in with_commits(want, committed) {
            partitions.extend(topics.partitions(name, None)?);
        }
        return Ok(partitions);
    }
    for name in &want.topics {
        partitions.extend(topics.partitions(name, want.limit.as_ref())?);
    }
    if partitions.is_empty() {
        let topic = want.topics.join(",").into();
        return Err(ReadError::NoPartition { topic });
    }
    Ok(partitions)
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
            let committed = match committed.get(&partition) {
                None => None,
                Some(committed) => committed.clone()?,
            };
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
