//! Load: what one activator counted since the last merge, and the sum over all of them.

use std::collections::{BTreeMap, HashMap};

use zeron_core::{EndpointId, FunctionId, Stat, Timestamp};

use crate::message::Wake;

/// What an activator's silence since the last merge says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// It is connected and late: what it counts goes on, what arrived comes with its next report.
    Late,
    /// It cannot be heard: it goes on as it was last heard.
    Unheard,
}

/// One activator's reports since the last merge, and the newest of all.
#[derive(Debug, Default)]
pub(super) struct Tally {
    reports: u32,
    sums: HashMap<FunctionId, Sum>,
    newest: HashMap<FunctionId, Stat>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    concurrency: f64,
    requests: f64,
}

impl Tally {
    /// Adds a report: whoever is not in it has no requests.
    pub(super) fn record(&mut self, stats: Vec<Stat>) {
        self.reports += 1;
        self.newest.clear();
        for stat in stats {
            let sum = self.sums.entry(stat.function.clone()).or_default();
            sum.concurrency += stat.average_concurrency;
            sum.requests += stat.request_count;
            self.newest.insert(stat.function.clone(), stat);
        }
    }

    /// A wake-up knows better than the newest report what is so at this moment.
    pub(super) fn wake(&mut self, wake: &Wake) {
        let newest = self.newest.entry(wake.function.clone());
        let stat = newest.or_insert_with(|| empty(wake.function.clone()));
        stat.in_flight = wake.in_flight;
        stat.queued = wake.queued;
    }

    pub(super) fn newest(&self, function: &FunctionId) -> Option<&Stat> {
        self.newest.get(function)
    }

    /// The load since the last merge, added to `into`: the mean of concurrency, the sum of
    /// requests, the rest as it is now.
    pub(super) fn merge(&mut self, silence: Silence, into: &mut Merged) {
        let reports = f64::from(self.reports);
        for stat in self.newest.values() {
            let sum = match (self.reports, silence) {
                (0, Silence::Late) => Sum {
                    concurrency: stat.average_concurrency,
                    requests: 0.0,
                },
                (0, Silence::Unheard) => Sum {
                    concurrency: stat.average_concurrency,
                    requests: stat.request_count,
                },
                _ => {
                    let sum = self.sums.remove(&stat.function).unwrap_or_default();
                    Sum {
                        concurrency: sum.concurrency / reports,
                        ..sum
                    }
                }
            };
            into.add(stat, sum);
        }
        // In an earlier report of several, and not in the newest.
        for (function, sum) in self.sums.drain() {
            let sum = Sum {
                concurrency: sum.concurrency / reports,
                ..sum
            };
            into.add(&empty(function), sum);
        }
        self.reports = 0;
    }

    /// The last of an activator that has ended: what arrived, and nothing that goes on.
    pub(super) fn finish(&mut self, into: &mut Merged) {
        self.newest.clear();
        self.merge(Silence::Late, into);
    }
}

fn empty(function: FunctionId) -> Stat {
    Stat {
        function,
        at: Timestamp::EPOCH,
        average_concurrency: 0.0,
        request_count: 0.0,
        in_flight: 0,
        queued: 0,
        busy: Vec::new(),
    }
}

/// The sum over activators.
#[derive(Debug, Default)]
pub(super) struct Merged {
    by_function: HashMap<FunctionId, (Stat, BTreeMap<EndpointId, u32>)>,
}

impl Merged {
    fn add(&mut self, stat: &Stat, sum: Sum) {
        let entry = self.by_function.entry(stat.function.clone());
        let (total, busy) =
            entry.or_insert_with(|| (empty(stat.function.clone()), BTreeMap::new()));
        total.at = total.at.max(stat.at);
        total.average_concurrency += sum.concurrency;
        total.request_count += sum.requests;
        total.in_flight = total.in_flight.saturating_add(stat.in_flight);
        total.queued = total.queued.saturating_add(stat.queued);
        for (endpoint, in_flight) in &stat.busy {
            let count = busy.entry(*endpoint).or_default();
            *count = count.saturating_add(*in_flight);
        }
    }

    pub(super) fn into_stats(self) -> Vec<Stat> {
        let each = self.by_function.into_values();
        each.map(|(stat, busy)| Stat {
            busy: busy.into_iter().collect(),
            ..stat
        })
        .collect()
    }
}
