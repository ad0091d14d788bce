//! Reading metric sources: one read per source and interval, in a task of its own.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use zeron_core::metric::{MetricReading, Unknown, UnknownKind};
use zeron_core::roles::{BoundTrigger, Scaler, TriggerHandle};
use zeron_core::{FunctionId, Timestamp};

use super::pushed::Pushed;
use crate::metric::read_timeout;
use crate::state::TriggerKey;

/// Added to the time that a scaler is given, before it is not waited for any longer.
const TIMEOUT_SLACK: Duration = Duration::from_millis(50);

/// Triggers of one source that are read together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PollKey {
    pub(crate) source: Arc<str>,
    pub(crate) interval: Duration,
}

/// One trigger of one function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) function: FunctionId,
    pub(crate) key: TriggerKey,
    pub(crate) handle: TriggerHandle,
}

/// Why triggers are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// They were not read yet.
    Fresh,
    /// It is the turn of all of a source.
    Turn,
    /// Pushes ask for it.
    Pushed,
}

/// What a source answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) poll: PollKey,
    /// When the source was asked.
    pub(crate) asked: Instant,
    pub(crate) reading: Reading,
    pub(crate) results: Vec<(Member, Result<Vec<MetricReading>, Unknown>)>,
}

#[derive(Debug)]
struct Source {
    scaler: Arc<dyn Scaler>,
    members: Vec<Member>,
    /// Not read yet: they do not wait for the next turn of the others.
    fresh: Vec<Member>,
    next: Timestamp,
    /// The read of the last turn, until it answers.
    running_since: Option<Timestamp>,
    pushed: Pushed,
}

/// All sources with their triggers.
#[derive(Debug)]
pub(crate) struct Polls {
    sources: HashMap<PollKey, Source>,
    /// Sources with triggers that were not read yet.
    fresh: BTreeSet<PollKey>,
    /// Sources with triggers that pushes ask for, not looked at yet.
    pushed: BTreeSet<PollKey>,
    answers: mpsc::Sender<Answer>,
    runtime: Option<tokio::runtime::Handle>,
}

impl Polls {
    pub(crate) fn new(
        answers: mpsc::Sender<Answer>,
        runtime: Option<tokio::runtime::Handle>,
    ) -> Self {
        Self {
            sources: HashMap::new(),
            fresh: BTreeSet::new(),
            pushed: BTreeSet::new(),
            answers,
            runtime,
        }
    }

    /// Where sources run: what they start by themselves, such as following what a server pushes, needs
    /// a runtime that has sockets, which the engine's own has not.
    pub(crate) fn enter(&self) -> Option<tokio::runtime::EnterGuard<'_>> {
        self.runtime.as_ref().map(tokio::runtime::Handle::enter)
    }

    /// Adds a trigger; it is read by the next [`Self::read_fresh`], then with the others.
    pub(crate) fn add(
        &mut self,
        interval: Duration,
        bound: &BoundTrigger,
        member: Member,
        now: Timestamp,
    ) -> (PollKey, Timestamp) {
        let key = PollKey {
            source: Arc::clone(&bound.source),
            interval,
        };
        let source = self.sources.entry(key.clone()).or_insert_with(|| Source {
            scaler: Arc::clone(&bound.scaler),
            members: Vec::new(),
            fresh: Vec::new(),
            next: now + first_turn(&key),
            running_since: None,
            pushed: Pushed::default(),
        });
        source.members.push(member.clone());
        source.fresh.push(member);
        self.fresh.insert(key.clone());
        (key, source.next)
    }

    /// Removes a trigger; true when its source has none left.
    pub(crate) fn remove(
        &mut self,
        interval: Duration,
        bound: &BoundTrigger,
        function: &FunctionId,
        key: TriggerKey,
    ) -> Option<PollKey> {
        let poll = PollKey {
            source: Arc::clone(&bound.source),
            interval,
        };
        let source = self.sources.get_mut(&poll)?;
        let is_other = |member: &Member| member.key != key || member.function != *function;
        source.members.retain(is_other);
        source.fresh.retain(is_other);
        source.pushed.remove(function, key);
        if source.members.is_empty() {
            self.sources.remove(&poll);
            return Some(poll);
        }
        None
    }

    /// Reads what was added since the last turn, source by source.
    pub(crate) fn read_fresh(&mut self) {
        for key in std::mem::take(&mut self.fresh) {
            let Some(source) = self.sources.get_mut(&key) else {
                continue;
            };
            let members = std::mem::take(&mut source.fresh);
            if !members.is_empty() {
                let runtime = self.runtime.as_ref();
                let reading = Reading::Fresh;
                spawn(&self.answers, runtime, &key, source, members, reading);
            }
        }
    }

    /// A turn of one source. It is skipped while the one before has not answered, so that a slow
    /// source has one read under way, and none after it waits. Answers when the next turn is.
    pub(crate) fn turn(&mut self, key: &PollKey, now: Timestamp) -> Option<Timestamp> {
        let source = self.sources.get_mut(key)?;
        source.next = if source.next + key.interval > now {
            source.next + key.interval
        } else {
            now + key.interval
        };
        let given = read_timeout(key.interval) + TIMEOUT_SLACK * 2;
        let is_busy = source
            .running_since
            .is_some_and(|since| now < since + given);
        if !is_busy {
            source.running_since = Some(now);
            source.fresh.clear();
            source.pushed.clear();
            let (members, runtime) = (source.members.clone(), self.runtime.as_ref());
            spawn(&self.answers, runtime, key, source, members, Reading::Turn);
        }
        Some(source.next)
    }

    /// A source pushed: what waits is read by the next [`Self::read_pushed`].
    pub(crate) fn push(&mut self, key: &PollKey, member: Member) {
        if let Some(source) = self.sources.get_mut(key) {
            source.pushed.add(member);
            self.pushed.insert(key.clone());
        }
    }

    /// Sources at which to call [`Self::read_pushed`] now.
    pub(crate) fn take_pushed(&mut self) -> BTreeSet<PollKey> {
        std::mem::take(&mut self.pushed)
    }

    /// Reads all triggers of a source that pushes ask for together, unless that was just done or is
    /// under way; then answers when they may be read.
    pub(crate) fn read_pushed(&mut self, key: &PollKey, now: Timestamp) -> Option<Timestamp> {
        let source = self.sources.get_mut(key)?;
        let given = read_timeout(key.interval) + TIMEOUT_SLACK * 2;
        let due = source.pushed.due(given)?;
        if now < due {
            return Some(due);
        }
        let (members, runtime) = (source.pushed.begin(now), self.runtime.as_ref());
        spawn(
            &self.answers,
            runtime,
            key,
            source,
            members,
            Reading::Pushed,
        );
        None
    }

    /// An answer came.
    pub(crate) fn answered(&mut self, answer: &Answer) {
        let Some(source) = self.sources.get_mut(&answer.poll) else {
            return;
        };
        match answer.reading {
            Reading::Fresh => {}
            Reading::Turn => source.running_since = None,
            Reading::Pushed => {
                source.pushed.end();
                self.pushed.insert(answer.poll.clone());
            }
        }
    }
}

/// The first turn after the immediate read comes early by a share that differs from source to
/// source, so that sources added together are not read together for ever.
fn first_turn(key: &PollKey) -> Duration {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let share = (hasher.finish() % 1_000) as f64 / 2_000.0;
    key.interval.mul_f64(1.0 - share)
}

fn spawn(
    answers: &mpsc::Sender<Answer>,
    runtime: Option<&tokio::runtime::Handle>,
    key: &PollKey,
    source: &Source,
    members: Vec<Member>,
    reading: Reading,
) {
    let (scaler, poll, answers) = (Arc::clone(&source.scaler), key.clone(), answers.clone());
    let asked = Instant::now();
    let read = async move {
        let timeout = read_timeout(poll.interval);
        let handles: Vec<_> = members.iter().map(|member| member.handle).collect();
        let evaluation = scaler.evaluate(&handles, timeout);
        let values = tokio::time::timeout(timeout + TIMEOUT_SLACK, evaluation).await;
        let answer = Answer {
            asked,
            reading,
            results: pair(members, values.ok(), &poll.source, timeout),
            poll,
        };
        // The engine is gone: nobody wants it any more.
        drop(answers.send(answer).await);
    };
    // A read ends by its timeout, or with its runtime.
    match runtime {
        Some(runtime) => drop(runtime.spawn(read)),
        None => drop(tokio::spawn(read)),
    }
}

/// Every trigger gets an answer, whatever the scaler did.
fn pair(
    members: Vec<Member>,
    values: Option<Vec<Result<Vec<MetricReading>, Unknown>>>,
    source: &str,
    timeout: Duration,
) -> Vec<(Member, Result<Vec<MetricReading>, Unknown>)> {
    let (kind, message) = match values {
        Some(_) => (UnknownKind::Parse, format!("{source} left out an answer")),
        None => (
            UnknownKind::Timeout,
            format!("{source} did not answer within {timeout:?}"),
        ),
    };
    let missing = Unknown { kind, message };
    let mut values = values.unwrap_or_default().into_iter();
    let each = members.into_iter().map(|member| {
        let value = values.next().unwrap_or_else(|| Err(missing.clone()));
        (member, value)
    });
    each.collect()
}
