//! The processes of one replica: its group, and what descends from it.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::stat::Stat;

/// Longest line of ancestors that is followed.
const DEPTH: usize = 64;

/// The processes of one replica at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tree {
    leader: u32,
    processes: BTreeMap<u32, Stat>,
}

/// The trees of those `leaders` of process groups that run. A process that left the group, such as
/// a daemon, belongs to that of its nearest ancestor.
pub(super) fn trees(leaders: &HashSet<u32>, all: &[Stat]) -> HashMap<u32, Tree> {
    let by_pid: HashMap<u32, &Stat> = all.iter().map(|it| (it.pid, it)).collect();
    let leader_of = |process: &Stat| {
        let parent = |it: &&Stat| by_pid.get(&it.parent).copied();
        std::iter::successors(Some(process), parent)
            .take(DEPTH)
            .map(|it| it.group)
            .find(|group| leaders.contains(group))
    };
    let mut trees: HashMap<u32, Tree> = HashMap::new();
    for process in all {
        if let Some(leader) = leader_of(process) {
            let tree = trees.entry(leader).or_default();
            tree.leader = leader;
            tree.processes.insert(process.pid, *process);
        }
    }
    trees.retain(|leader, tree| tree.processes.contains_key(leader));
    trees
}

impl Tree {
    /// Pages in memory; one that processes share counts in each.
    pub(super) fn resident(&self) -> u64 {
        self.processes.values().map(|it| it.resident).sum()
    }

    /// Ticks that it ran since `before`. `None`, unknown, where a counter went back or the leader
    /// is another process.
    ///
    /// Of a process that ended in between, what it ran after `before` is known from who waited for
    /// it: its time moves to that one's `reaped`, of which the part before is taken away here. What
    /// nobody waited for is lost.
    pub(super) fn ticks_since(&self, before: &Self) -> Option<u64> {
        let is_same_leader = before.survivor(before.leader, self).is_some();
        if self.leader != before.leader || !is_same_leader {
            return None;
        }
        let mut known_of_ended: HashMap<u32, u64> = HashMap::new();
        for process in before.processes.values() {
            if let Some(heir) = before.heir(process, self) {
                *known_of_ended.entry(heir).or_default() += process.own + process.reaped;
            }
        }
        let mut ticks = 0;
        for now in self.processes.values() {
            let old = before.processes.get(&now.pid);
            let old = old.filter(|old| old.start == now.start);
            let (own, reaped) = old.map_or((0, 0), |old| (old.own, old.reaped));
            let known = known_of_ended.get(&now.pid).copied().unwrap_or(0);
            ticks += now.own.checked_sub(own)?;
            ticks += now.reaped.checked_sub(reaped)?.saturating_sub(known);
        }
        Some(ticks)
    }

    /// The process `pid` of this moment, if it still runs in `now`.
    fn survivor(&self, pid: u32, now: &Self) -> Option<u32> {
        let (old, now) = (self.processes.get(&pid)?, now.processes.get(&pid)?);
        (old.start == now.start).then_some(pid)
    }

    /// Its nearest ancestor that still runs in `now`, if it does not run itself any more.
    fn heir(&self, process: &Stat, now: &Self) -> Option<u32> {
        if self.survivor(process.pid, now).is_some() {
            return None;
        }
        let parent = |it: &&Stat| self.processes.get(&it.parent);
        std::iter::successors(Some(process), parent)
            .take(DEPTH)
            .find_map(|it| self.survivor(it.pid, now))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// pid, parent, group, own, reaped.
    fn process((pid, parent, group, own, reaped): (u32, u32, u32, u64, u64)) -> Stat {
        Stat {
            pid,
            parent,
            group,
            start: u64::from(pid),
            own,
            reaped,
            resident: 10,
        }
    }

    fn tree(processes: &[(u32, u32, u32, u64, u64)]) -> Tree {
        let all: Vec<Stat> = processes.iter().copied().map(process).collect();
        trees(&HashSet::from([5]), &all).remove(&5).unwrap()
    }

    #[test]
    fn a_tree_is_a_group_and_what_descends_from_it() {
        let all: Vec<Stat> = [
            (1, 0, 1, 9, 9),
            (5, 1, 5, 1, 0),
            // A worker, one that began a session of its own, and its child.
            (6, 5, 5, 1, 0),
            (7, 6, 7, 1, 0),
            (8, 7, 7, 1, 0),
            // Its parent ended: the group still tells.
            (9, 1, 5, 1, 0),
            (20, 1, 20, 1, 0),
            (21, 20, 20, 1, 0),
            (30, 1, 30, 1, 0),
        ]
        .map(process)
        .to_vec();
        let found = trees(&HashSet::from([5, 20, 40]), &all);
        let pids = |leader| found[&leader].processes.keys().copied().collect::<Vec<_>>();
        assert_eq!((pids(5), pids(20)), (vec![5, 6, 7, 8, 9], vec![20, 21]));
        assert_eq!(found.len(), 2, "40 does not run");
        assert_eq!(found[&5].resident(), 50);
    }

    #[test]
    fn a_group_whose_leader_is_gone_is_no_replica() {
        let all = [process((6, 5, 5, 1, 0))];
        assert!(trees(&HashSet::from([5]), &all).is_empty());
    }

    #[test]
    fn time_of_all_processes_counts_once() {
        let before = tree(&[(5, 1, 5, 100, 0), (6, 5, 5, 50, 0)]);
        let now = tree(&[(5, 1, 5, 110, 0), (6, 5, 5, 80, 0), (7, 5, 5, 4, 1)]);
        assert_eq!(now.ticks_since(&before), Some(10 + 30 + 5));
        assert_eq!(before.ticks_since(&before), Some(0));
    }

    #[test]
    fn of_a_child_that_ended_only_what_was_not_counted_yet_is() {
        let before = tree(&[(5, 1, 5, 100, 7), (6, 5, 5, 50, 0), (7, 6, 5, 20, 0)]);
        // 6 waited for 7 (25 in the end) and was waited for (60 and those 25), as was 8, which
        // nobody saw (3).
        let now = tree(&[(5, 1, 5, 100, 7 + 60 + 25 + 3)]);
        assert_eq!(now.ticks_since(&before), Some(10 + 5 + 3));
    }

    #[test]
    fn of_a_child_that_nobody_waited_for_nothing_is_taken_away() {
        let before = tree(&[(5, 1, 5, 100, 0), (6, 5, 5, 50, 0)]);
        let now = tree(&[(5, 1, 5, 130, 0)]);
        assert_eq!(now.ticks_since(&before), Some(30));
        // Waited for by somebody outside: the same.
        let before = tree(&[(5, 1, 5, 100, 0), (9, 1, 5, 50, 0)]);
        assert_eq!(now.ticks_since(&before), Some(30));
    }

    #[test]
    fn a_number_that_another_process_got_is_another_process() {
        let before = tree(&[(5, 1, 5, 100, 0), (6, 5, 5, 50, 0)]);
        let mut now = tree(&[(5, 1, 5, 100, 50), (6, 5, 5, 2, 0)]);
        now.processes.get_mut(&6).unwrap().start = 99;
        assert_eq!(now.ticks_since(&before), Some(2));
        now.processes.get_mut(&5).unwrap().start = 99;
        assert_eq!(now.ticks_since(&before), None, "another leader");
    }

    #[test]
    fn a_counter_that_goes_back_is_unknown() {
        let before = tree(&[(5, 1, 5, 100, 10), (6, 5, 5, 50, 0)]);
        let own = tree(&[(5, 1, 5, 99, 10), (6, 5, 5, 90, 0)]);
        assert_eq!(own.ticks_since(&before), None);
        let reaped = tree(&[(5, 1, 5, 100, 9), (6, 5, 5, 90, 0)]);
        assert_eq!(reaped.ticks_since(&before), None);
    }
}
