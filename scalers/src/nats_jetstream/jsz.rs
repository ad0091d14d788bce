//! `/jsz`: what one server says about the consumers of an account.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;

use super::trigger::{AccountKey, JetStreamTrigger};

/// One server's answer.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Jsz {
    /// Which server it is.
    #[serde(default)]
    pub(super) server_id: String,
    #[serde(default)]
    meta_cluster: Option<MetaCluster>,
    #[serde(default)]
    account_details: Option<Vec<Account>>,
}

#[derive(Clone, Debug, Deserialize)]
struct MetaCluster {
    #[serde(default)]
    cluster_size: u64,
}

#[derive(Clone, Debug, Deserialize)]
struct Account {
    id: String,
    name: String,
    #[serde(default)]
    stream_detail: Option<Vec<Stream>>,
}

#[derive(Clone, Debug, Deserialize)]
struct Stream {
    name: String,
    #[serde(default)]
    consumer_detail: Option<Vec<Consumer>>,
}

/// A consumer, as one server sees it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Consumer {
    name: String,
    num_pending: u64,
    num_ack_pending: u64,
    #[serde(default)]
    cluster: Option<Cluster>,
}

#[derive(Clone, Debug, Deserialize)]
struct Cluster {
    #[serde(default)]
    leader: String,
}

impl Jsz {
    /// Drops what no trigger asks about, and what is said twice: a few bytes of an answer are many of memory,
    /// and the answers of all servers are held together.
    pub(super) fn keep(&mut self, account: &AccountKey, triggers: &[Arc<JetStreamTrigger>]) {
        let mut wanted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for trigger in triggers {
            let consumers = wanted.entry(&trigger.stream).or_default();
            consumers.insert(&trigger.consumer);
        }
        let accounts = self.account_details.get_or_insert_default();
        accounts.retain(|it| it.is(account));
        // One by its id, one by its name.
        accounts.truncate(2);
        accounts.shrink_to_fit();
        for streams in accounts
            .iter_mut()
            .filter_map(|it| it.stream_detail.as_mut())
        {
            let mut left = wanted.clone();
            streams.retain_mut(|stream| {
                let consumers = left.remove(stream.name.as_str());
                consumers.map(|it| stream.keep(it)).is_some()
            });
            streams.shrink_to_fit();
        }
    }

    /// Whether consumers may have their leaders elsewhere.
    pub(super) fn is_clustered(&self) -> bool {
        self.meta_cluster
            .as_ref()
            .is_some_and(|it| it.cluster_size > 1)
    }

    /// The consumer of a trigger, if this server has it.
    pub(super) fn consumer(
        &self,
        account: &AccountKey,
        trigger: &JetStreamTrigger,
    ) -> Option<&Consumer> {
        let mut consumers = self
            .stream(account, trigger)?
            .consumer_detail
            .iter()
            .flatten();
        consumers.find(|it| it.name == trigger.consumer)
    }

    /// Whether this server has the stream of a trigger.
    pub(super) fn has_stream(&self, account: &AccountKey, trigger: &JetStreamTrigger) -> bool {
        self.stream(account, trigger).is_some()
    }

    fn stream(&self, account: &AccountKey, trigger: &JetStreamTrigger) -> Option<&Stream> {
        let accounts = self.account_details.iter().flatten();
        let mut streams = accounts
            .filter(|it| it.is(account))
            .flat_map(|it| it.stream_detail.iter().flatten());
        streams.find(|it| it.name == trigger.stream)
    }
}

impl Account {
    fn is(&self, account: &AccountKey) -> bool {
        self.id == account.id || account.name.as_ref() == Some(&self.name)
    }
}

impl Stream {
    /// Only these consumers, each once.
    fn keep(&mut self, mut wanted: BTreeSet<&str>) {
        if let Some(consumers) = &mut self.consumer_detail {
            consumers.retain(|it| wanted.remove(it.name.as_str()));
            consumers.shrink_to_fit();
        }
    }
}

impl Consumer {
    /// Messages that are not yet delivered, and those that are delivered and not acknowledged.
    pub(super) fn lag(&self) -> u64 {
        self.num_pending.saturating_add(self.num_ack_pending)
    }

    /// The server that knows its numbers; `None` while there is none.
    pub(super) fn leader(&self) -> Option<&str> {
        let leader = self.cluster.as_ref().map(|it| it.leader.as_str());
        leader.filter(|leader| !leader.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::parse_url;

    const ANSWER: &str = r#"{
        "server_id": "NA",
        "meta_cluster": {"name": "c", "leader": "n1", "cluster_size": 3},
        "account_details": [
            {"name": "other", "id": "OTHER", "stream_detail": [
                {"name": "orders", "consumer_detail": [
                    {"stream_name": "orders", "name": "mailer", "num_pending": 99, "num_ack_pending": 0}]}]},
            {"name": "shop", "id": "SHOP", "stream_detail": [
                {"name": "empty"},
                {"name": "orders", "consumer_detail": [
                    {"stream_name": "orders", "name": "mailer", "num_pending": 5, "num_ack_pending": 2,
                     "cluster": {"leader": "n2"}},
                    {"stream_name": "orders", "name": "lost", "num_pending": 5, "num_ack_pending": 2,
                     "cluster": {"name": "c"}}]}]}]
    }"#;

    fn account(name: Option<&str>, id: &str) -> AccountKey {
        AccountKey {
            endpoint: parse_url("http://nats:8222").unwrap(),
            name: name.map(str::to_owned),
            id: id.to_owned(),
        }
    }

    fn trigger(stream: &str, consumer: &str) -> JetStreamTrigger {
        JetStreamTrigger {
            stream: stream.to_owned(),
            consumer: consumer.to_owned(),
            threshold: 10,
            activation_threshold: 0,
            metric: String::new(),
        }
    }

    #[test]
    fn lag_is_what_is_pending_and_what_is_not_acknowledged() {
        let jsz: Jsz = serde_json::from_str(ANSWER).unwrap();
        assert!(jsz.is_clustered());
        for account in [account(Some("shop"), "shop"), account(None, "SHOP")] {
            let consumer = jsz
                .consumer(&account, &trigger("orders", "mailer"))
                .unwrap();
            assert_eq!(consumer.lag(), 7);
            assert_eq!(consumer.leader(), Some("n2"));
            let lost = jsz.consumer(&account, &trigger("orders", "lost")).unwrap();
            assert_eq!(lost.leader(), None);
        }
    }

    #[test]
    fn what_nobody_asks_about_and_what_is_said_twice_is_dropped() {
        let shop = account(Some("shop"), "shop");
        let wanted = Arc::new(trigger("orders", "mailer"));
        let stream = r#"{"name": "orders", "consumer_detail": [
            {"name": "mailer", "num_pending": 5, "num_ack_pending": 2},
            {"name": "mailer", "num_pending": 6, "num_ack_pending": 2},
            {"name": "other", "num_pending": 7, "num_ack_pending": 2}]}"#;
        let text = format!(
            r#"{{"account_details": [{{"name": "other", "id": "O", "stream_detail": [{stream}]}},
                {{"name": "shop", "id": "S", "stream_detail": [{stream}, {stream}, {{"name": "x"}}]}}]}}"#
        );
        let mut jsz: Jsz = serde_json::from_str(&text).unwrap();
        jsz.keep(&shop, &[Arc::clone(&wanted)]);
        assert_eq!(jsz.consumer(&shop, &wanted).unwrap().lag(), 7);
        let accounts = jsz.account_details.unwrap();
        assert_eq!(accounts.len(), 1);
        let streams = accounts[0].stream_detail.as_ref().unwrap();
        assert_eq!(streams.len(), 1);
        assert_eq!(streams[0].consumer_detail.as_ref().unwrap().len(), 1);
    }

    #[test]
    fn what_is_not_there_is_none() {
        let jsz: Jsz = serde_json::from_str(ANSWER).unwrap();
        let shop = account(Some("shop"), "shop");
        assert!(jsz.consumer(&shop, &trigger("orders", "nobody")).is_none());
        assert!(jsz.has_stream(&shop, &trigger("empty", "nobody")));
        assert!(!jsz.has_stream(&shop, &trigger("gone", "nobody")));
        let nobody = account(None, "nobody");
        assert!(
            jsz.consumer(&nobody, &trigger("orders", "mailer"))
                .is_none()
        );
        let bare: Jsz = serde_json::from_str("{\"account_details\": null}").unwrap();
        assert!(!bare.is_clustered());
    }
}
