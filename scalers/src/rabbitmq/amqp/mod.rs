//! Asks for the lengths of queues over AMQP 0-9-1: one connection per server, credentials and virtual host.

mod breaker;
mod failure;
mod link;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};
use zeron_core::metric::{Unknown, UnknownKind};

use super::formula::Figures;
use super::trigger::{RabbitTrigger, SourceKey, Target};
use crate::AddressPolicy;
use crate::source::{Readings, unknown};
use link::{Counts, Link};

/// Until the second attempt to connect; doubled with each one.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Longest time between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A client of one virtual host.
#[derive(Debug)]
pub(super) struct Amqp {
    key: SourceKey,
    policy: AddressPolicy,
    dialled: tokio::sync::Mutex<Dialled>,
    /// Queues that were missing or did not answer: they are asked for on channels of their own.
    suspects: Mutex<BTreeSet<String>>,
}

/// The connection, or the last attempt to make one.
#[derive(Debug, Default)]
struct Dialled {
    link: Option<Arc<Link>>,
    failed: Option<Failed>,
}

#[derive(Debug)]
struct Failed {
    wait: Duration,
    until: Instant,
    reason: Unknown,
}

impl Amqp {
    /// A client without a connection.
    pub(super) fn new(key: &SourceKey, policy: AddressPolicy) -> Self {
        Self {
            key: key.clone(),
            policy,
            dialled: tokio::sync::Mutex::default(),
            suspects: Mutex::default(),
        }
    }

    /// One answer per trigger, in their order.
    pub(super) async fn read(
        &self,
        triggers: &[Arc<RabbitTrigger>],
        timeout: Duration,
    ) -> Vec<Readings> {
        let queues: BTreeSet<_> = triggers.iter().map(|it| queue(it).to_owned()).collect();
        let counts = self.count(&queues, Instant::now() + timeout).await;
        let counts = match counts {
            Ok(counts) => counts,
            Err(error) => return triggers.iter().map(|_| Err(error.clone())).collect(),
        };
        let read = triggers
            .iter()
            .map(|trigger| match counts.get(queue(trigger)) {
                Some(Ok(messages)) => Ok(vec![trigger.reading(&ready(*messages))]),
                Some(Err(error)) => Err(error.clone()),
                None => Err(self.late(timeout)),
            });
        read.collect()
    }

    /// A trigger is gone.
    pub(super) fn forget(&self, trigger: &RabbitTrigger) {
        self.suspects.lock().remove(queue(trigger));
    }

    async fn count(&self, queues: &BTreeSet<String>, deadline: Instant) -> Result<Counts, Unknown> {
        let (link, is_new) = self.link(deadline).await?;
        let counts = self.count_on(&link, queues, deadline).await;
        if is_new || link.is_open() || Instant::now() >= deadline {
            return Ok(counts);
        }
        // It was lost since the last evaluation, which is no news of the queues.
        let (link, _) = self.link(deadline).await?;
        Ok(self.count_on(&link, queues, deadline).await)
    }

    async fn count_on(
        &self,
        link: &Arc<Link>,
        queues: &BTreeSet<String>,
        deadline: Instant,
    ) -> Counts {
        let (suspects, others): (Vec<_>, Vec<_>) = {
            let suspects = self.suspects.lock();
            queues.iter().cloned().partition(|it| suspects.contains(it))
        };
        let counts = link.count(&others, &suspects, deadline).await;
        if link.is_open() {
            self.suspect(&others, &counts);
        }
        if counts.is_empty() {
            // Nothing is answered on it: it may be dead without knowing it.
            link.give_up();
        }
        counts
    }

    /// Remembers who was missing, and who kept those behind it waiting.
    fn suspect(&self, asked_together: &[String], counts: &Counts) {
        let mut suspects = self.suspects.lock();
        for (queue, count) in counts {
            match count {
                Ok(_) => suspects.remove(queue),
                Err(_) => suspects.insert(queue.clone()),
            };
        }
        let first_silent = asked_together.iter().find(|it| !counts.contains_key(*it));
        suspects.extend(first_silent.cloned());
    }

    /// The connection, made where there is none, and whether it was made just now.
    async fn link(&self, deadline: Instant) -> Result<(Arc<Link>, bool), Unknown> {
        let Ok(mut dialled) = timeout_at(deadline, self.dialled.lock()).await else {
            let message = format!("{} is still being connected", self.key.shown());
            return Err(unknown(UnknownKind::Timeout, message));
        };
        if let Some(link) = dialled.link.as_ref().filter(|it| it.is_usable()) {
            return Ok((Arc::clone(link), false));
        }
        dialled.link = None;
        let last = dialled.failed.as_ref();
        if let Some(failed) = last.filter(|it| Instant::now() < it.until) {
            return Err(failed.reason.clone());
        }
        let wait = last.map_or(FIRST_WAIT, |it| LONGEST_WAIT.min(it.wait * 2));
        match Link::dial(&self.key, &self.policy, deadline).await {
            Ok(link) => {
                let link = Arc::new(link);
                dialled.failed = None;
                dialled.link = Some(Arc::clone(&link));
                Ok((link, true))
            }
            Err(reason) => {
                dialled.failed = Some(Failed {
                    wait,
                    until: Instant::now() + wait,
                    reason: reason.clone(),
                });
                Err(reason)
            }
        }
    }

    fn late(&self, timeout: Duration) -> Unknown {
        let message = format!("{} did not answer within {timeout:?}", self.key.shown());
        unknown(UnknownKind::Timeout, message)
    }
}

/// The queue of a trigger. Expressions need the management API, which is checked before.
fn queue(trigger: &RabbitTrigger) -> &str {
    match &trigger.target {
        Target::Queue(queue) => queue,
        Target::Expression { expression, .. } => expression,
    }
}

/// A passive declare counts the ready messages alone.
fn ready(messages: u32) -> Figures {
    Figures {
        messages: f64::from(messages),
        ..Figures::default()
    }
}

#[cfg(test)]
mod tests;
