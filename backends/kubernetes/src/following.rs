//! A watch of all objects of a kind: list, follow, reconnect, and say whether what it showed still counts.

mod health;
#[cfg(test)]
pub(crate) mod testing;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream, Stream};
use kube::Api;
use kube::runtime::watcher::{self, Event};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{debug, warn};
use zeron_core::Chain;

use crate::back_off::BackOff;

pub(crate) use health::{Health, unseen};

/// Objects of one page of a list.
const PAGE: u32 = 500;
/// A watch that goes on after an interruption says so with the next change, which may never come.
/// If nothing comes for so long, everything is listed anew.
const LIST_AFTER: Duration = Duration::from_secs(10);
/// Such a list begins anew when nothing of it comes for so long.
const LIST_WITHIN: Duration = Duration::from_secs(60);

/// Hands every event to `take`, with the number of full lists begun so far, until it is dropped.
pub(crate) async fn follow<K>(
    api: Api<K>,
    only: watcher::Config,
    back_off: BackOff,
    health: Arc<Health>,
    mut take: impl FnMut(Event<K>, u64),
) where
    K: kube::Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut watch = Watch::new(api, only, back_off, None, health);
    let mut generation = 0;
    while let Some(event) = watch.next().await {
        if matches!(event, Event::Init) {
            generation += 1;
        }
        take(event, generation);
    }
}

/// The watcher, with pauses after errors. An expired watch (410) lists again by itself.
pub(crate) struct Watch<K> {
    api: Api<K>,
    only: watcher::Config,
    /// A namespace; `None`: all of them.
    scope: Option<Arc<str>>,
    health: Arc<Health>,
    watcher: BoxStream<'static, watcher::Result<Event<K>>>,
    back_off: BackOff,
    /// It was interrupted: when it is to list again, if nothing shows before that it goes on.
    list_at: Option<Instant>,
}

impl<K> Watch<K>
where
    K: kube::Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    pub(crate) fn new(
        api: Api<K>,
        only: watcher::Config,
        back_off: BackOff,
        scope: Option<Arc<str>>,
        health: Arc<Health>,
    ) -> Self {
        let only = only.page_size(PAGE);
        Self {
            watcher: watcher::watcher(api.clone(), only.clone()).boxed(),
            api,
            only,
            scope,
            health,
            back_off,
            list_at: None,
        }
    }

    pub(crate) fn events(self) -> impl Stream<Item = Event<K>> + Send {
        stream::unfold(self, |mut watch| async move {
            let event = watch.next().await?;
            Some((event, watch))
        })
    }

    async fn next(&mut self) -> Option<Event<K>> {
        loop {
            let next = match self.list_at {
                None => self.watcher.next().await,
                Some(at) => match timeout_at(at, self.watcher.next()).await {
                    Ok(next) => next,
                    Err(_) => {
                        self.list_again();
                        continue;
                    }
                },
            };
            match next? {
                Ok(event) => {
                    self.heard(&event);
                    return Some(event);
                }
                Err(error) => self.interrupted(&error).await,
            }
        }
    }

    fn list_again(&mut self) {
        self.watcher = watcher::watcher(self.api.clone(), self.only.clone()).boxed();
        self.list_at = Some(Instant::now() + LIST_WITHIN);
    }

    fn heard(&mut self, event: &Event<K>) {
        match event {
            // A list that only began proves nothing.
            Event::Init => {
                self.health.counters.relists.inc();
            }
            // Neither does a part of it, but it goes on.
            Event::InitApply(_) => {
                self.back_off.reset();
                self.list_at = self.list_at.map(|_| Instant::now() + LIST_WITHIN);
            }
            Event::InitDone | Event::Apply(_) | Event::Delete(_) => {
                self.back_off.reset();
                if self.list_at.take().is_some() {
                    self.health.restored(self.scope.as_ref());
                }
            }
        }
    }

    async fn interrupted(&mut self, error: &watcher::Error) {
        self.health.interrupted(self.scope.as_ref());
        let pause = self.back_off.next();
        report(self.health.what, error, self.back_off.failures(), pause);
        sleep(pause).await;
        self.list_at = Some(Instant::now() + LIST_AFTER);
    }
}

fn report(what: &str, error: &watcher::Error, failures: u32, pause: Duration) {
    let error = Chain(error);
    // A connection that ends is daily business; one that does not come back is not.
    match failures {
        0..=2 => debug!(
            %error,
            ?pause,
            "the watch of {what} was interrupted"
        ),
        _ => warn!(
            %error,
            ?pause,
            failures,
            "the watch of {what} fails"
        ),
    }
}
