//! The bench's own watch of objects: what they tell for the first time, and since when we know.

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use http::Request;
use kube::core::WatchEvent;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::api::Api;
use super::namespace::{Kind, Namespace};

/// The first thing that was seen of each object since the watch began.
#[derive(Debug)]
pub(crate) struct Watch<T> {
    seen: watch::Receiver<HashMap<String, T>>,
    task: JoinHandle<()>,
}

impl<T> Drop for Watch<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What an object tells, and under which key; `None`: nothing yet.
type Pick<T> = Box<dyn Fn(&Value) -> Option<(String, T)> + Send>;

impl<T: Clone + Send + Sync + 'static> Watch<T> {
    /// Begins to watch.
    pub(crate) fn start(
        api: &Api,
        namespace: &Namespace,
        kind: Kind,
        pick: impl Fn(&Value) -> Option<(String, T)> + Send + 'static,
    ) -> Result<Self> {
        let path = namespace.path(kind);
        let list = api.block_on(api.get(&format!("{path}?limit=1")))?;
        let version = list["metadata"]["resourceVersion"]
            .as_str()
            .context("a list without a version")?;
        let uri = format!("{path}?watch=1&resourceVersion={version}&timeoutSeconds=3600");
        let (sender, seen) = watch::channel(HashMap::new());
        let (client, pick): (_, Pick<T>) = (api.client.clone(), Box::new(pick));
        let task = api.spawn(async move {
            if let Err(error) = follow(client, uri, pick, sender).await {
                crate::bench::note(format_args!("a watch of {kind:?} ended: {error:#}"));
            }
        });
        Ok(Self { seen, task })
    }

    /// Waits until something was seen of the object with this key.
    pub(crate) async fn first(&self, key: &str, within: Duration) -> Result<T> {
        let mut seen = self.seen.clone();
        let found = tokio::time::timeout(within, seen.wait_for(|all| all.contains_key(key))).await;
        let all = found.with_context(|| format!("nothing was seen of {key} in {within:?}"))??;
        all.get(key).cloned().context("it was there")
    }
}

async fn follow<T>(
    client: kube::Client,
    uri: String,
    pick: Pick<T>,
    sender: watch::Sender<HashMap<String, T>>,
) -> Result<()> {
    let events = client
        .request_events::<Value>(Request::get(uri).body(Vec::new())?)
        .await?;
    let mut events = pin!(events);
    while let Some(event) = events.try_next().await? {
        let (WatchEvent::Added(object) | WatchEvent::Modified(object)) = event else {
            continue;
        };
        let Some((key, told)) = pick(&object) else {
            continue;
        };
        sender.send_if_modified(|all| {
            let is_new = !all.contains_key(&key);
            if is_new {
                all.insert(key, told);
            }
            is_new
        });
    }
    Ok(())
}
