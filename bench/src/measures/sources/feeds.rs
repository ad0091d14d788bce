//! The sources that are fed: real servers, each with a connection of its own that is open before it counts.

mod external;
mod metrics_api;
mod mysql;
mod nats;
mod postgresql;
mod prometheus;
mod rabbitmq;
mod redis;

use std::time::SystemTime;

use anyhow::Result;
use serde_json::{Value, json};
use zeron_tests::broker::Unavailable;

/// A source of one type.
pub(super) trait Feed {
    /// KEDA's name of the type, polled or pushed.
    fn kind(&self, is_pushed: bool) -> &'static str;
    /// A trigger's metadata: one event in `thing` makes it active.
    fn metadata(&self, thing: &str, is_pushed: bool) -> Value;
    /// The authentication `bench` and what it needs.
    fn authentication(&self) -> Vec<Value> {
        Vec::new()
    }
    /// Whether it can push.
    fn can_push(&self) -> bool {
        false
    }
    /// Makes `thing`, without an event.
    fn make(&mut self, thing: &str) -> Result<()> {
        let _ = thing;
        Ok(())
    }
    /// Puts one event into it, and says from when on that counts.
    fn emit(&mut self, thing: &str) -> Result<SystemTime>;
}

type Start = fn() -> Result<Box<dyn Feed>, Unavailable>;

/// What figures call each, and how it is started.
pub(super) const ALL: [(&str, Start); 9] = [
    ("redis", redis::lists),
    ("redis-streams", redis::streams),
    ("postgresql", postgresql::rows),
    ("mysql", mysql::rows),
    ("rabbitmq", rabbitmq::queues),
    ("nats-jetstream", nats::consumers),
    ("prometheus", prometheus::series),
    ("metrics-api", metrics_api::numbers),
    ("external", external::activities),
];

/// The authentication `bench` with a password, and its Secret.
fn password(password: &str) -> Vec<Value> {
    let target = json!({"parameter": "password", "name": "bench", "key": "password"});
    vec![
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bench"},
               "stringData": {"password": password}}),
        json!({"apiVersion": "keda.sh/v1alpha1", "kind": "TriggerAuthentication",
               "metadata": {"name": "bench"},
               "spec": {"secretTargetRef": [target]}}),
    ]
}
