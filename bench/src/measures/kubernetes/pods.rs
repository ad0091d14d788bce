//! The bench's own watch of pods: which address each function's pod has, and since when we know.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use http::Request;
use kube::core::WatchEvent;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::api::Api;
use super::namespace::{Kind, Namespace};
use super::objects::{LABEL, PORT};

/// A pod with an address.
#[derive(Clone, Debug)]
pub(super) struct Pod {
    pub(super) name: String,
    pub(super) address: SocketAddr,
    /// When our watch told the address.
    pub(super) seen: SystemTime,
}

/// Pods of a namespace by their label, as far as they have had an address since the watch began.
#[derive(Debug)]
pub(super) struct Watch {
    seen: watch::Receiver<HashMap<String, Pod>>,
    task: JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    /// Begins to watch.
    pub(super) fn start(api: &Api, namespace: &Namespace) -> Result<Self> {
        let path = namespace.path(Kind::Pod);
        let list = api.block_on(api.get(&format!("{path}?limit=1")))?;
        let version = list["metadata"]["resourceVersion"]
            .as_str()
            .context("a list without a version")?;
        let uri = format!("{path}?watch=1&resourceVersion={version}&timeoutSeconds=3600");
        let (sender, seen) = watch::channel(HashMap::new());
        let client = api.client.clone();
        let task = api.spawn(async move {
            if let Err(error) = follow(client, uri, sender).await {
                crate::bench::note(format_args!("the watch of pods ended: {error:#}"));
            }
        });
        Ok(Self { seen, task })
    }

    /// Waits for the address of the pod of `app`.
    pub(super) async fn pod(&self, app: &str, within: Duration) -> Result<Pod> {
        let mut seen = self.seen.clone();
        let found = tokio::time::timeout(within, seen.wait_for(|all| all.contains_key(app))).await;
        let all = found.with_context(|| format!("{app} has no pod with an address"))??;
        all.get(app).cloned().context("it was there")
    }
}

async fn follow(
    client: kube::Client,
    uri: String,
    sender: watch::Sender<HashMap<String, Pod>>,
) -> Result<()> {
    let events = client
        .request_events::<Value>(Request::get(uri).body(Vec::new())?)
        .await?;
    let mut events = pin!(events);
    while let Some(event) = events.try_next().await? {
        let (WatchEvent::Added(pod) | WatchEvent::Modified(pod)) = event else {
            continue;
        };
        let Some((app, pod)) = addressed(&pod) else {
            continue;
        };
        sender.send_if_modified(|all| {
            let is_new = !all.contains_key(&app);
            if is_new {
                all.insert(app, pod);
            }
            is_new
        });
    }
    Ok(())
}

fn addressed(pod: &Value) -> Option<(String, Pod)> {
    let app = pod["metadata"]["labels"][LABEL].as_str()?;
    let ip: IpAddr = pod["status"]["podIP"].as_str()?.parse().ok()?;
    let name = pod["metadata"]["name"].as_str()?;
    let pod = Pod {
        name: name.to_owned(),
        address: SocketAddr::new(ip, PORT),
        seen: SystemTime::now(),
    };
    Some((app.to_owned(), pod))
}
