//! `/jsz`: what one server says about the consumers of an account.

mod wanted;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeSeed;

use super::trigger::{AccountKey, JetStreamTrigger};
use wanted::Wanted;

/// One server's answer: of it, what triggers ask about.
#[derive(Clone, Debug, Default)]
pub(super) struct Jsz {
    /// Which server it is.
    pub(super) server_id: String,
    meta_cluster: Option<MetaCluster>,
    accounts: Vec<Account>,
}

#[derive(Clone, Debug, Deserialize)]
struct MetaCluster {
    #[serde(default)]
    cluster_size: u64,
}

#[derive(Clone, Debug)]
struct Account {
    id: String,
    name: String,
    streams: BTreeMap<String, Stream>,
}

#[derive(Clone, Debug)]
struct Stream {
    consumers: BTreeMap<String, Consumer>,
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
    /// Reads what `triggers` ask about, each once.
    ///
    /// # Errors
    /// Where it is no answer of a server.
    pub(super) fn read(
        body: &[u8],
        account: &AccountKey,
        triggers: &[Arc<JetStreamTrigger>],
    ) -> serde_json::Result<Self> {
        let mut input = serde_json::Deserializer::from_slice(body);
        let jsz = Wanted::new(account, triggers).deserialize(&mut input)?;
        input.end()?;
        Ok(jsz)
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
        self.stream(account, trigger)?
            .consumers
            .get(&trigger.consumer)
    }

    /// Whether this server has the stream of a trigger.
    pub(super) fn has_stream(&self, account: &AccountKey, trigger: &JetStreamTrigger) -> bool {
        self.stream(account, trigger).is_some()
    }

    fn stream(&self, account: &AccountKey, trigger: &JetStreamTrigger) -> Option<&Stream> {
        let mut accounts = self.accounts.iter().filter(|it| it.is(account));
        accounts.find_map(|it| it.streams.get(&trigger.stream))
    }
}

impl Account {
    fn is(&self, account: &AccountKey) -> bool {
        self.id == account.id || account.name.as_ref() == Some(&self.name)
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
            pushed: None,
        }
    }

    fn read(text: &str, account: &AccountKey, triggers: &[JetStreamTrigger]) -> Jsz {
        let triggers: Vec<_> = triggers.iter().cloned().map(Arc::new).collect();
        Jsz::read(text.as_bytes(), account, &triggers).unwrap()
    }

    #[test]
    fn lag_is_what_is_pending_and_what_is_not_acknowledged() {
        for account in [account(Some("shop"), "shop"), account(None, "SHOP")] {
            let wanted = [trigger("orders", "mailer"), trigger("orders", "lost")];
            let jsz = read(ANSWER, &account, &wanted);
            assert!(jsz.is_clustered());
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
        let wanted = trigger("orders", "mailer");
        let stream = r#"{"name": "orders", "consumer_detail": [
            {"name": "mailer", "num_pending": 5, "num_ack_pending": 2},
            {"name": "mailer", "num_pending": 6, "num_ack_pending": 2},
            {"name": "other", "num_pending": 7, "num_ack_pending": 2}]}"#;
        let text = format!(
            r#"{{"account_details": [{{"name": "other", "id": "O", "stream_detail": [{stream}]}},
                {{"name": "shop", "id": "S", "stream_detail": [{stream}, {stream}, {{"name": "x"}}]}}]}}"#
        );
        let jsz = read(&text, &shop, std::slice::from_ref(&wanted));
        assert_eq!(jsz.consumer(&shop, &wanted).unwrap().lag(), 7);
        assert_eq!(jsz.accounts.len(), 1);
        let streams = &jsz.accounts[0].streams;
        assert_eq!(streams.len(), 1);
        assert_eq!(streams["orders"].consumers.len(), 1);
    }

    #[test]
    fn names_may_come_after_what_they_name() {
        let text = r#"{"account_details": [{"stream_detail": [
            {"consumer_detail": [
                {"name": "mailer", "num_pending": 5, "num_ack_pending": 2},
                {"name": "clerk", "num_pending": 6, "num_ack_pending": 2}], "name": "orders"}],
            "name": "shop", "id": "S"}]}"#;
        let shop = account(Some("shop"), "shop");
        let wanted = [trigger("orders", "mailer"), trigger("bills", "clerk")];
        let jsz = read(text, &shop, &wanted);
        assert_eq!(jsz.consumer(&shop, &wanted[0]).unwrap().lag(), 7);
        let consumers = &jsz.accounts[0].streams["orders"].consumers;
        assert_eq!(consumers.len(), 1, "the clerk is of another stream");
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let (shop, wanted) = (account(None, "S"), [Arc::new(trigger("a", "b"))]);
        for text in [
            "",
            "[]",
            "{} {}",
            r#"{"account_details": 7}"#,
            r#"{"account_details": [{"name": "shop"}]}"#,
            r#"{"account_details": [{"id": "S", "name": "s", "stream_detail": [{}]}]}"#,
            r#"{"account_details": [{"id": "S", "name": "s", "stream_detail": [{"name": "a",
                "consumer_detail": [{"name": "b", "num_pending": -1, "num_ack_pending": 0}]}]}]}"#,
            r#"{"account_details": [{"id": "S", "name": "s", "stream_detail": [{"name": "a",
                "consumer_detail": [{"name": "b"}]}]}]}"#,
        ] {
            assert!(
                Jsz::read(text.as_bytes(), &shop, &wanted).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_not_there_is_none() {
        let shop = account(Some("shop"), "shop");
        let wanted = [
            trigger("orders", "nobody"),
            trigger("empty", "nobody"),
            trigger("gone", "nobody"),
        ];
        let jsz = read(ANSWER, &shop, &wanted);
        assert!(jsz.consumer(&shop, &trigger("orders", "nobody")).is_none());
        assert!(jsz.has_stream(&shop, &trigger("empty", "nobody")));
        assert!(!jsz.has_stream(&shop, &trigger("gone", "nobody")));
        let nobody = account(None, "nobody");
        let jsz = read(ANSWER, &nobody, &[trigger("orders", "mailer")]);
        assert!(
            jsz.consumer(&nobody, &trigger("orders", "mailer"))
                .is_none()
        );
        let bare = read("{\"account_details\": null}", &nobody, &[]);
        assert!(!bare.is_clustered());
    }
}
