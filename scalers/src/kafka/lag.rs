//! The arithmetic of consumer lag, by KEDA's rules. Pure: offsets in, a number out.

use std::collections::HashMap;

use super::partition::Partition;

/// Where a consumer without a committed offset begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OffsetReset {
    /// Behind the newest record.
    Latest,
    /// At the oldest record.
    Earliest,
}

/// How lag becomes a number to scale by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LagRules {
    /// Lag that one replica should carry, at least 1.
    pub(crate) threshold: u64,
    /// What a missing committed offset means.
    pub(crate) reset: OffsetReset,
    /// A missing committed offset counts as no lag.
    pub(crate) is_zero_on_invalid_offset: bool,
    /// More replicas than partitions may be asked for.
    pub(crate) is_idle_allowed: bool,
    /// No more replicas than partitions that have lag.
    pub(crate) is_limited_to_lagging: bool,
    /// Only replica counts that divide the partitions evenly.
    pub(crate) is_even: bool,
    /// Partitions whose committed offset stands still do not count for scaling.
    pub(crate) is_persistent_excluded: bool,
}

/// The two offsets of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionOffsets {
    /// Which.
    pub(crate) partition: Partition,
    /// The group's committed offset; `None`: it never committed one.
    pub(crate) committed: Option<u64>,
    /// The log-end offset; `None`: the broker has none.
    pub(crate) end: Option<u64>,
}

/// Lag of all partitions of one trigger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lag {
    /// What replicas are computed from.
    pub(crate) scaling: u64,
    /// What wakes from zero: persistent lag counts here, bounds do not.
    pub(crate) activation: u64,
}

/// Committed offsets of the previous reading: tells lag that stands still from lag that moves.
///
/// Advanced once per [`total`]; partitions that are gone are forgotten.
#[derive(Debug, Default)]
pub(crate) struct PreviousOffsets(HashMap<Partition, u64>);

/// The lag of `partitions` together.
pub(crate) fn total(
    rules: &LagRules,
    partitions: &[PartitionOffsets],
    previous: &mut PreviousOffsets,
) -> Lag {
    let mut lag = Lag::default();
    let mut lagging: u64 = 0;
    for offsets in partitions {
        let activation = of_partition(rules, offsets);
        let scaling = if rules.is_persistent_excluded && stands_still(previous, offsets) {
            0
        } else {
            activation
        };
        lag.scaling = lag.scaling.saturating_add(scaling);
        lag.activation = lag.activation.saturating_add(activation);
        lagging += u64::from(scaling > 0);
    }
    if rules.is_persistent_excluded {
        previous.remember(partitions);
    }
    lag.scaling = bound(rules, lag.scaling, count(partitions), lagging);
    lag
}

impl PreviousOffsets {
    fn remember(&mut self, partitions: &[PartitionOffsets]) {
        self.0 = partitions
            .iter()
            .filter_map(|offsets| Some((offsets.partition.clone(), offsets.committed?)))
            .collect();
    }
}

fn stands_still(previous: &PreviousOffsets, offsets: &PartitionOffsets) -> bool {
    offsets.committed.is_some() && previous.0.get(&offsets.partition) == offsets.committed.as_ref()
}

/// Lag of one partition. A committed offset behind the log end (read before a commit, or of a log
/// that was truncated) is no lag: it never lessens the lag of other partitions.
fn of_partition(rules: &LagRules, offsets: &PartitionOffsets) -> u64 {
    match (offsets.committed, offsets.end) {
        (None, _) if rules.is_zero_on_invalid_offset => 0,
        (None, end) => match rules.reset {
            // One consumer must start once, so that it commits.
            OffsetReset::Latest => 1,
            OffsetReset::Earliest => end.unwrap_or(0),
        },
        (Some(_), None) => 0,
        (Some(committed), Some(end)) => end.saturating_sub(committed),
    }
}

/// Keeps the replica count at or below what the partitions can feed.
///
/// KEDA compares whole thresholds, so that a remainder slips through and asks for one replica more
/// than there are partitions. Here the cap is the cap.
fn bound(rules: &LagRules, lag: u64, partitions: u64, lagging: u64) -> u64 {
    if (rules.is_idle_allowed && !rules.is_limited_to_lagging) || lag == 0 {
        return lag;
    }
    let limit = if rules.is_limited_to_lagging {
        lagging
    } else {
        partitions
    };
    let lag = if rules.is_even {
        even_consumers(lag, partitions, rules.threshold).saturating_mul(rules.threshold)
    } else {
        lag
    };
    lag.min(limit.saturating_mul(rules.threshold))
}

/// The smallest divisor of `partitions` whose replicas carry `lag`; all partitions where none does.
fn even_consumers(lag: u64, partitions: u64, threshold: u64) -> u64 {
    (1..=partitions)
        .filter(|divisor| partitions.is_multiple_of(*divisor))
        .find(|divisor| divisor.saturating_mul(threshold) >= lag)
        .unwrap_or(partitions)
}

fn count(partitions: &[PartitionOffsets]) -> u64 {
    u64::try_from(partitions.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
