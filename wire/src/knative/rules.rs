//! What an activator tells Knative's autoscaler, made of what ours counts (`ConcurrencyReporter`
//! of knative/serving `pkg/activator/handler`).
//!
//! The first request of a function is told at once, as a concurrency of 1, and taken off the next
//! report; a function is forgotten with the first report in which it had nothing.

use std::collections::HashMap;

use zeron_core::{FunctionId, Stat};

use super::proto;

/// What was told of a function's first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    /// Nothing yet: nobody listened.
    Untold,
    /// It was, and is not taken off yet.
    Told,
    /// It is in a report.
    Counted,
}

/// The functions that had load, as the autoscaler was told.
#[derive(Debug)]
pub(super) struct Rules {
    pod: String,
    functions: HashMap<FunctionId, First>,
}

impl Rules {
    pub(super) fn new(pod: &str) -> Self {
        Self {
            pod: pod.to_owned(),
            functions: HashMap::new(),
        }
    }

    /// A request asks for a replica: the message to send at once, if this is the first one.
    pub(super) fn wake(
        &mut self,
        function: &FunctionId,
        is_heard: bool,
    ) -> Option<proto::WireStatMessage> {
        let first = self.functions.entry(function.clone());
        let first = first.or_insert(First::Untold);
        if *first != First::Untold || !is_heard {
            return None;
        }
        *first = First::Told;
        Some(self.message(function, 1.0, 1.0))
    }

    /// Somebody listens now: the messages that could not be sent.
    pub(super) fn untold(&mut self) -> Vec<(FunctionId, proto::WireStatMessage)> {
        let untold = self.functions.iter();
        let untold = untold.filter_map(|(id, it)| (*it == First::Untold).then_some(id.clone()));
        let untold: Vec<FunctionId> = untold.collect();
        let told = untold.into_iter().filter_map(|id| {
            let message = self.wake(&id, true)?;
            Some((id, message))
        });
        told.collect()
    }

    /// The messages of a periodic report.
    pub(super) fn report(&mut self, stats: &[Stat], is_heard: bool) -> Vec<proto::WireStatMessage> {
        let mut before = std::mem::take(&mut self.functions);
        let mut messages = Vec::with_capacity(stats.len());
        for stat in stats {
            let first = before.remove(&stat.function).unwrap_or(First::Counted);
            let told = if first == First::Told { 1.0 } else { 0.0 };
            messages.push(self.message(
                &stat.function,
                (stat.average_concurrency - told).max(0.0),
                (stat.request_count - told).max(0.0),
            ));
            let is_at_rest = stat.in_flight == 0 && stat.queued == 0;
            if stat.average_concurrency == 0.0 && is_at_rest {
                continue;
            }
            let next = match first {
                // This report is lost as well.
                First::Untold if !is_heard => First::Untold,
                First::Untold | First::Told | First::Counted => First::Counted,
            };
            self.functions.insert(stat.function.clone(), next);
        }
        // Had load until the last report, and none since.
        let over = before.into_keys().map(|id| self.message(&id, 0.0, 0.0));
        messages.extend(over);
        messages
    }

    fn message(
        &self,
        function: &FunctionId,
        concurrency: f64,
        requests: f64,
    ) -> proto::WireStatMessage {
        proto::WireStatMessage {
            namespace: function.namespace().to_owned(),
            name: function.name().to_owned(),
            stat: Some(proto::Stat {
                pod_name: self.pod.clone(),
                average_concurrent_requests: concurrency,
                request_count: requests,
                ..proto::Stat::default()
            }),
        }
    }
}

#[cfg(test)]
mod tests;
