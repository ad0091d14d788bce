//! Who reports the load of one function whose request path is switched, and what of it counts once.

use std::collections::VecDeque;
use std::time::Duration;

use zeron_core::{Sample, Timestamp};

use crate::collector::LoadSample;
use crate::scrape::REPORTER;

/// Of so many seconds it is known who said what: samples that are older count as of now.
pub(super) const REMEMBERED: u64 = 10;
const SECOND: Duration = Duration::from_secs(1);
/// So near to the edge of a second a report may count for the other side of it.
const EDGE: Duration = Duration::from_millis(250);
/// Who was not heard for longer has not only yet to speak: reports are a second apart.
const OVERDUE: Duration = Duration::from_millis(1_500);
/// Seconds by which it is judged whether activators say what they carry.
const JUDGED: u64 = 5;
/// The part of what replicas say came through activators that these say themselves, when all of
/// them are heard. The two are counted over other seconds, and by a sample of the replicas.
const HEARD: f64 = 0.75;
/// Reporters of one function at once.
const MOST: usize = 1_024;

/// An amount of requests in flight, and of requests that arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Amount {
    concurrency: f64,
    requests: f64,
}

impl Amount {
    fn with(self, other: Self, join: impl Fn(f64, f64) -> f64) -> Self {
        Self {
            concurrency: join(self.concurrency, other.concurrency),
            requests: join(self.requests, other.requests),
        }
    }

    fn plus(self, other: Self) -> Self {
        self.with(other, |one, other| one + other)
    }

    /// What is left of it, never less than nothing.
    fn without(self, other: Self) -> Self {
        self.with(other, |one, other| (one - other).max(0.0))
    }
}

/// One of those who report.
#[derive(Clone, Debug)]
struct Reporter {
    name: Box<str>,
    /// When it was heard, by our clock.
    heard: Timestamp,
    /// The second that its newest report counts for, and how many of its reports do.
    second: u64,
    reports: u32,
    /// What the newest said.
    load: LoadSample,
}

impl Reporter {
    fn is_scraper(&self) -> bool {
        *self.name == *REPORTER
    }

    /// The second that a report dated `second` counts for: the next after that of its last one, if
    /// it came a moment before or after that one.
    fn counted_for(&self, second: u64, now: Timestamp) -> u64 {
        let since = now.since(self.heard);
        let begun = now.since(Timestamp::from_secs(second));
        let is_late = self.second + 2 == second && begun < EDGE && since < OVERDUE;
        let is_early = self.second == second
            && (SECOND - EDGE..SECOND).contains(&begun)
            && since > SECOND - 2 * EDGE;
        match (is_late, is_early) {
            (true, _) => second - 1,
            (_, true) => second + 1,
            _ => second,
        }
    }

    /// Whether its report of the second `second` is still to come at `now`.
    fn is_outstanding(&self, second: u64, now: Timestamp) -> bool {
        // One of two reports in one second was that of the next.
        self.second + 1 == second && self.reports == 1 && now.since(self.heard) < OVERDUE
    }
}

/// What was said of one second.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    second: u64,
    /// What came through activators, by what the replicas say.
    proxied: Amount,
    /// The part of it that counts, since it is not heard from activators.
    extra: Amount,
    /// What activators said themselves.
    carried: Amount,
}

impl Second {
    /// What of `extra` is not said by activators who say `carried` in all.
    fn unsaid(&self, carried: Amount) -> Amount {
        let unsaid = self.proxied.without(carried);
        self.extra.with(unsaid, f64::min)
    }
}

/// Everybody who reports the load of one function.
///
/// Two things that the original leaves to chance are decided here. Each reporter speaks once a
/// second, at a moment of its own; a decision in between would find the others' share of this
/// second missing, a sixth of the load in the shortest window. And replicas say which part of
/// their load came through activators, which say it themselves: that part counts where nobody
/// says it, and is taken off again, in its second, as soon as somebody does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reporters {
    known: Vec<Reporter>,
    seconds: VecDeque<Second>,
}

impl Reporters {
    /// What a sample taken at `at` adds to which seconds.
    pub(super) fn hear(
        &mut self,
        sample: &Sample,
        at: Timestamp,
        now: Timestamp,
    ) -> impl Iterator<Item = (Timestamp, LoadSample)> + use<> {
        self.forget(now);
        let load = LoadSample::from(sample);
        let second = self.note(sample, at, now);
        let at = match second == at.as_secs() {
            true => at,
            false => Timestamp::from_secs(second),
        };
        let (load, taken_off) = match *sample.pod == *REPORTER {
            true => (self.scraped(second, load), None),
            false => (load, self.carried(second, load)),
        };
        [(at, load)].into_iter().chain(taken_off.map(|it| (at, it)))
    }

    /// Remembers who spoke. The answer is the second that it counts for.
    fn note(&mut self, sample: &Sample, at: Timestamp, now: Timestamp) -> u64 {
        let (second, load) = (at.as_secs(), LoadSample::from(sample));
        let known = self.known.iter_mut().find(|it| it.name == sample.pod);
        let Some(known) = known else {
            if self.known.len() < MOST {
                self.known.push(Reporter {
                    name: sample.pod.clone(),
                    heard: now,
                    second,
                    reports: 1,
                    load,
                });
            }
            return second;
        };
        let second = known.counted_for(second, now);
        known.heard = now;
        known.load = load;
        match known.second == second {
            true => known.reports += 1,
            false => (known.second, known.reports) = (second, 1),
        }
        second
    }

    /// The load of the replicas, with what of it activators say off.
    fn scraped(&mut self, second: u64, load: LoadSample) -> LoadSample {
        let proxied = proxied(&load);
        let extra = self.extra(second, proxied, self.carried_in(second));
        let entry = self.second(second);
        entry.proxied = entry.proxied.plus(proxied);
        entry.extra = entry.extra.plus(extra);
        without(load, proxied.without(extra))
    }

    /// What of `proxied` counts, when activators say `carried` in that second.
    fn extra(&self, second: u64, proxied: Amount, carried: Amount) -> Amount {
        let before = self.carried_in(second.saturating_sub(1));
        let unsaid = proxied.without(carried.with(before, f64::max));
        let said = self.said_before(second);
        let is_missing = |said: f64, unsaid: f64| if said < HEARD { unsaid } else { 0.0 };
        said.with(unsaid, is_missing)
    }

    /// Which part activators lately said of what came through them; all, where nothing did, and
    /// nothing, where nobody has said anything since the function was found.
    fn said_before(&self, second: u64) -> Amount {
        let judged = self.seconds.iter();
        let judged = judged.filter(|it| it.second < second && it.second + JUDGED >= second);
        let (mut proxied, mut carried, mut any) = (Amount::default(), Amount::default(), false);
        for each in judged {
            proxied = proxied.plus(each.proxied);
            carried = carried.plus(each.carried);
            any = true;
        }
        if !any {
            return Amount::default();
        }
        let part = |carried: f64, proxied: f64| {
            if proxied > 0.0 {
                carried / proxied
            } else {
                1.0
            }
        };
        carried.with(proxied, part)
    }

    /// An activator says what it carries: what counted of it already is to be taken off.
    fn carried(&mut self, second: u64, load: LoadSample) -> Option<LoadSample> {
        let entry = self.second(second);
        entry.carried = entry.carried.plus(Amount {
            concurrency: load.concurrency,
            requests: load.requests,
        });
        let left = entry.unsaid(entry.carried);
        let said = entry.extra.without(left);
        entry.extra = left;
        (said != Amount::default()).then(|| without(LoadSample::default(), said))
    }

    /// What those add who spoke in the last second and have yet to speak in that of `now`, as if
    /// they had no other load than then.
    pub(super) fn outstanding(&mut self, now: Timestamp) -> LoadSample {
        self.forget(now);
        // Somebody may have spoken a moment before that second.
        let newest = self.known.iter().map(|it| it.second).max();
        let second = now.as_secs().max(newest.unwrap_or(0));
        let mut sum = LoadSample::default();
        let due = |it: &&Reporter| it.is_outstanding(second, now);
        for reporter in self.known.iter().filter(due).filter(|it| !it.is_scraper()) {
            sum += &reporter.load;
        }
        let carried = self.carried_in(second).plus(Amount {
            concurrency: sum.concurrency,
            requests: sum.requests,
        });
        if let Some(scraper) = self.known.iter().filter(due).find(|it| it.is_scraper()) {
            let proxied = proxied(&scraper.load);
            let extra = self.extra(second, proxied, carried);
            sum += &without(scraper.load, proxied.without(extra));
        } else if let Some(entry) = self.seconds.iter().find(|it| it.second == second) {
            let said = entry.extra.without(entry.unsaid(carried));
            sum += &without(LoadSample::default(), said);
        }
        sum
    }

    fn carried_in(&self, second: u64) -> Amount {
        let found = self.seconds.iter().find(|it| it.second == second);
        found.map_or(Amount::default(), |it| it.carried)
    }

    fn second(&mut self, second: u64) -> &mut Second {
        let at = self.seconds.partition_point(|it| it.second < second);
        if self.seconds.get(at).is_none_or(|it| it.second != second) {
            self.seconds.insert(
                at,
                Second {
                    second,
                    ..Second::default()
                },
            );
        }
        &mut self.seconds[at]
    }

    /// A function at rest keeps nothing.
    fn forget(&mut self, now: Timestamp) {
        let second = now.as_secs();
        self.known.retain(|it| it.second + REMEMBERED >= second);
        while let Some(first) = self.seconds.front() {
            if first.second + REMEMBERED >= second {
                break;
            }
            self.seconds.pop_front();
        }
        if self.known.is_empty() && self.seconds.is_empty() {
            *self = Self::default();
        }
    }
}

/// The part that came through activators.
fn proxied(load: &LoadSample) -> Amount {
    Amount {
        concurrency: load.proxied_concurrency,
        requests: load.proxied_requests,
    }
}

/// A load of which so much is said by others.
fn without(load: LoadSample, said: Amount) -> LoadSample {
    LoadSample {
        proxied_concurrency: said.concurrency,
        proxied_requests: said.requests,
        ..load
    }
}

#[cfg(test)]
mod tests;
