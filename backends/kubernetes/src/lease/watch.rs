//! All Leases with some label: one list, then a watch from there.

use std::future::pending;

use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use http::Request;
use kube::core::WatchEvent;

use super::record::{LeaseList, LeaseObject};
use crate::api::{CallError, Caller};

/// Seconds after which the API server ends a watch; later than everybody lists anew by himself.
const WATCH_SECONDS: u32 = 300;

type Events = BoxStream<'static, Result<WatchEvent<LeaseObject>, kube::Error>>;

/// See the module.
pub(crate) struct LeaseWatch {
    caller: Caller,
    /// Path and label selector.
    query: String,
    events: Option<Events>,
}

/// What a watch shows.
#[derive(Debug)]
pub(crate) enum Shown {
    /// A Lease as it is now, or as it was a moment ago.
    Is(LeaseObject),
    /// It is gone; the version is that of its end.
    Gone(LeaseObject),
    /// Nothing more is shown until the next list: the watch expired (410), or broke.
    Ended,
}

impl LeaseWatch {
    pub(crate) fn new(caller: Caller, collection: &str, selector: &str) -> Self {
        Self {
            caller,
            query: format!("{collection}?labelSelector={selector}"),
            events: None,
        }
    }

    /// All of them as they are now. The watch goes on from there.
    pub(crate) async fn list(&mut self) -> Result<Vec<LeaseObject>, CallError> {
        let list: LeaseList = self.caller.get(&self.query).await?;
        let from = list.metadata.resource_version.unwrap_or_default();
        self.events = Some(self.watch(&from));
        Ok(list.items)
    }

    /// The next change. May be dropped while it waits.
    pub(crate) async fn next(&mut self) -> Shown {
        let Some(events) = &mut self.events else {
            return pending().await;
        };
        loop {
            match events.next().await {
                Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object))) => {
                    return Shown::Is(object);
                }
                Some(Ok(WatchEvent::Deleted(object))) => return Shown::Gone(object),
                Some(Ok(WatchEvent::Bookmark(_))) => {}
                Some(Ok(WatchEvent::Error(_)) | Err(_)) | None => {
                    self.events = None;
                    return Shown::Ended;
                }
            }
        }
    }

    fn watch(&self, from: &str) -> Events {
        let client = self.caller.client.clone();
        let uri = format!(
            "{}&watch=true&resourceVersion={from}&timeoutSeconds={WATCH_SECONDS}",
            self.query
        );
        let events = async move {
            let request = Request::get(uri).body(Vec::new());
            let request = request.map_err(kube::Error::HttpError)?;
            let events = client.request_events(request).await?;
            Ok::<Events, kube::Error>(events.boxed())
        };
        stream::once(events).try_flatten().boxed()
    }
}
