//! Asks a server, and in a cluster the leaders of consumers, about one account.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::time::Instant;
use zeron_core::metric::{Activity, MetricReading, Unknown, UnknownKind};
use zeron_core::roles::{BoxFuture, TriggerHandle};

use super::jsz::{Consumer, Jsz};
use super::nodes::{Node, Varz};
use super::push::Followers;
use super::trigger::{AccountKey, JetStreamTrigger};
use crate::AddressPolicy;
use crate::http::{HttpClient, Url, shown};
use crate::source::{Client, OnChange, Readings, unknown};
use crate::tls::TlsSettings;

/// Bytes of an answer: some twenty thousand consumers.
const MAX_BODY: usize = 32 << 20;

/// One account of a server or a cluster.
#[derive(Debug)]
pub(super) struct JetStreamClient {
    http: HttpClient,
    account: AccountKey,
    /// The servers of the cluster as they were found last.
    nodes: Mutex<Vec<Node>>,
    addresses: AddressPolicy,
    followers: Followers,
}

/// What one server of a cluster said; `None` where it said nothing.
#[derive(Debug)]
struct View {
    node: String,
    jsz: Option<Jsz>,
}

impl JetStreamClient {
    /// A client without a connection.
    pub(super) fn new(addresses: AddressPolicy, account: AccountKey) -> Self {
        let http = HttpClient::new(addresses.clone(), &TlsSettings::default());
        Self {
            http: http.with_max_body(MAX_BODY),
            account,
            nodes: Mutex::default(),
            addresses,
            followers: Followers::default(),
        }
    }

    async fn survey(
        &self,
        triggers: &[Arc<JetStreamTrigger>],
        end: Instant,
    ) -> Result<Vec<Readings>, Unknown> {
        let first = self.jsz(&self.account.endpoint, triggers, end).await?;
        if !first.is_clustered() {
            let lag = |trigger: &Arc<JetStreamTrigger>| match self.consumer(&first, trigger) {
                Some(consumer) => Ok(reading(trigger, consumer)),
                None => Err(self.missing(&[&first], trigger)),
            };
            return Ok(triggers.iter().map(lag).collect());
        }
        let views = self.views(first, triggers, end).await?;
        let lag = |trigger: &Arc<JetStreamTrigger>| self.led(&views, trigger);
        Ok(triggers.iter().map(lag).collect())
    }

    /// What the servers of a cluster say that lead consumers of `triggers`.
    async fn views(
        &self,
        first: Jsz,
        triggers: &[Arc<JetStreamTrigger>],
        end: Instant,
    ) -> Result<Vec<View>, Unknown> {
        let leaders: Option<BTreeSet<&str>> = triggers
            .iter()
            .map(|trigger| {
                self.consumer(&first, trigger)
                    .map(|it| it.leader().unwrap_or(""))
            })
            .collect();
        let nodes = self.nodes(&first, leaders.as_ref(), end).await?;
        let own = nodes.iter().find(|node| node.id == first.server_id);
        let own = own.map(|node| node.name.clone()).unwrap_or_default();
        // A consumer that this server does not have may be anywhere.
        let is_asked = |node: &&Node| {
            node.id != first.server_id
                && leaders
                    .as_ref()
                    .is_none_or(|it| it.contains(node.name.as_str()))
        };
        let asked = nodes.iter().filter(is_asked).map(|node| async move {
            View {
                node: node.name.clone(),
                jsz: self.jsz(&node.url, triggers, end).await.ok(),
            }
        });
        let mut views = join_all(asked).await;
        views.push(View {
            node: own,
            jsz: Some(first),
        });
        Ok(views)
    }

    /// The servers of the cluster: those known, if all `leaders` are among them.
    async fn nodes(
        &self,
        first: &Jsz,
        leaders: Option<&BTreeSet<&str>>,
        end: Instant,
    ) -> Result<Vec<Node>, Unknown> {
        let known = self.nodes.lock().clone();
        let is_known = |name: &str| known.iter().any(|node| node.name == name);
        let has_self = known.iter().any(|node| node.id == first.server_id);
        let has_leaders = leaders.is_some_and(|it| it.iter().all(|name| is_known(name)));
        if has_self && has_leaders {
            return Ok(known);
        }
        let endpoint = &self.account.endpoint;
        let varz = self.varz(endpoint, end).await?;
        let candidates = varz.candidates(endpoint);
        let asked = candidates.into_iter().map(|url| async move {
            let varz = self.varz(&url, end).await.ok()?;
            Some(node(varz, url))
        });
        let found = join_all(asked).await.into_iter().flatten();
        // A name that stands for several servers may have answered for another one than before.
        let mut nodes = vec![node(varz, endpoint.clone())];
        for node in found {
            nodes.retain(|it: &Node| it.name != node.name);
            nodes.push(node);
        }
        self.nodes.lock().clone_from(&nodes);
        Ok(nodes)
    }

    /// The lag of a consumer, from its leader alone.
    fn led(&self, views: &[View], trigger: &JetStreamTrigger) -> Readings {
        let mut leader = None;
        let answers: Vec<_> = views.iter().filter_map(|it| it.jsz.as_ref()).collect();
        for view in views {
            let jsz = view.jsz.as_ref();
            let Some(consumer) = jsz.and_then(|jsz| self.consumer(jsz, trigger)) else {
                continue;
            };
            if consumer.leader() == Some(view.node.as_str()) {
                return Ok(reading(trigger, consumer));
            }
            leader = Some(consumer.leader().unwrap_or("nobody"));
        }
        let shown = shown(&self.account.endpoint);
        match leader {
            Some(leader) => Err(unknown(
                UnknownKind::Transport,
                format!("{shown}: the leader of the consumer, {leader}, cannot be asked"),
            )),
            None if answers.len() < views.len() => Err(unknown(
                UnknownKind::Transport,
                format!("{shown}: not all servers of the cluster can be asked for the consumer"),
            )),
            None => Err(self.missing(&answers, trigger)),
        }
    }

    fn consumer<'a>(&self, jsz: &'a Jsz, trigger: &JetStreamTrigger) -> Option<&'a Consumer> {
        jsz.consumer(&self.account, trigger)
    }

    fn missing(&self, answers: &[&Jsz], trigger: &JetStreamTrigger) -> Unknown {
        let mut answers = answers.iter();
        let has_stream = answers.any(|jsz| jsz.has_stream(&self.account, trigger));
        let shown = shown(&self.account.endpoint);
        let message = match has_stream {
            true => format!(
                "{shown}: stream {} has no consumer {}",
                trigger.stream, trigger.consumer
            ),
            false => format!("{shown}: the account has no stream {}", trigger.stream),
        };
        unknown(UnknownKind::Missing, message)
    }

    async fn jsz(
        &self,
        server: &Url,
        triggers: &[Arc<JetStreamTrigger>],
        end: Instant,
    ) -> Result<Jsz, Unknown> {
        let mut url = server.clone();
        url.query_pairs_mut()
            .append_pair("acc", &self.account.id)
            .append_pair("consumers", "true")
            .append_pair("config", "true");
        let body = self.get(&url, "/jsz", end).await?;
        let jsz = Jsz::read(&body, &self.account, triggers);
        jsz.map_err(|_| no_answer(server))
    }

    async fn varz(&self, server: &Url, end: Instant) -> Result<Varz, Unknown> {
        let body = self.get(server, "/varz", end).await?;
        serde_json::from_slice(&body).map_err(|_| no_answer(server))
    }

    async fn get(&self, server: &Url, path: &str, end: Instant) -> Result<Vec<u8>, Unknown> {
        let mut url = server.clone();
        url.set_path(path);
        let left = end.saturating_duration_since(Instant::now());
        self.http.get(&url, &[], None, left).await?.body()
    }
}

fn no_answer(server: &Url) -> Unknown {
    let message = format!("{} answered with no JSON of NATS", shown(server));
    unknown(UnknownKind::Parse, message)
}

fn node(varz: Varz, url: Url) -> Node {
    Node {
        name: varz.server_name,
        id: varz.server_id,
        url,
    }
}

fn reading(trigger: &JetStreamTrigger, consumer: &Consumer) -> Vec<MetricReading> {
    // Exact up to 2^53 messages.
    let value = consumer.lag() as f64;
    vec![MetricReading {
        metric: trigger.metric.clone(),
        value,
        target: trigger.threshold as f64,
        activity: Activity::Above {
            value,
            threshold: trigger.activation_threshold as f64,
        },
    }]
}

impl Client for JetStreamClient {
    type Trigger = JetStreamTrigger;

    fn read<'a>(
        &'a self,
        triggers: &'a [Arc<JetStreamTrigger>],
        timeout: Duration,
    ) -> BoxFuture<'a, Vec<Readings>> {
        Box::pin(async move {
            let end = Instant::now() + timeout;
            let surveyed = self.survey(triggers, end).await;
            surveyed.unwrap_or_else(|reason| vec![Err(reason); triggers.len()])
        })
    }

    fn watch(
        &self,
        handle: TriggerHandle,
        trigger: &Arc<JetStreamTrigger>,
        on_change: OnChange,
    ) -> bool {
        let pushed = trigger.pushed.as_ref();
        pushed.is_some_and(|it| self.followers.add(handle, it, &self.addresses, on_change))
    }

    fn push_trouble(&self, handle: TriggerHandle, trigger: &JetStreamTrigger) -> Option<String> {
        self.followers.trouble(handle, trigger.pushed.as_ref()?)
    }

    fn forget(&self, handle: TriggerHandle, trigger: &JetStreamTrigger) {
        if let Some(pushed) = &trigger.pushed {
            self.followers.remove(handle, pushed);
        }
    }
}
