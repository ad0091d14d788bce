//! The client of one source: evaluations, and what is followed beside them.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use zeron_core::metric::Unknown;
use zeron_core::roles::{BoxFuture, TriggerHandle};

use super::key::SourceKey;
use super::push::Push;
use super::reader::Reader;
use super::trigger::RedisTrigger;
use crate::AddressPolicy;
use crate::source::{Client, OnChange, Readings};

/// The client of one source.
#[derive(Debug)]
pub(super) struct RedisClient {
    reader: Arc<Reader>,
    push: Push,
}

impl RedisClient {
    pub(super) fn new(key: &SourceKey, policy: &AddressPolicy) -> Self {
        let reader = Arc::new(Reader::new(key, policy));
        let push = Push::new(Arc::clone(&reader));
        Self { reader, push }
    }
}

impl Client for RedisClient {
    type Trigger = RedisTrigger;

    fn read<'a>(
        &'a self,
        triggers: &'a [Arc<RedisTrigger>],
        timeout: Duration,
    ) -> BoxFuture<'a, Vec<Readings>> {
        Box::pin(async move {
            let counts = self
                .reader
                .measure(triggers, Instant::now() + timeout)
                .await;
            let answers = triggers.iter().zip(counts);
            let readings = answers.map(|(trigger, count)| match count {
                Ok(count) => Ok(vec![trigger.reading(count)]),
                Err(error) => Err(Unknown::from(&error)),
            });
            readings.collect()
        })
    }

    fn watch(
        &self,
        handle: TriggerHandle,
        trigger: &Arc<RedisTrigger>,
        on_change: OnChange,
    ) -> bool {
        trigger.is_pushed && self.push.add(handle, trigger, on_change)
    }

    fn push_trouble(&self, handle: TriggerHandle, trigger: &RedisTrigger) -> Option<String> {
        trigger.is_pushed.then(|| self.push.trouble(handle))?
    }

    fn forget(&self, handle: TriggerHandle, trigger: &RedisTrigger) {
        if trigger.is_pushed {
            self.push.remove(handle);
        }
    }
}
