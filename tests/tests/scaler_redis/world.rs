//! Triggers to evaluate, and the runtime that an engine would have.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::runtime::Runtime;
use zeron_core::metric::{MetricReading, Unknown};
use zeron_core::policy::{Secret, TriggerSpec};
use zeron_core::roles::{BoundTrigger, ScalerRegistry};
use zeron_scalers::{AddressPolicy, Registry};
use zeron_tests::broker::{self, Unavailable};
use zeron_tests::servers::redis::Redis;
use zeron_tests::servers::triggers::spec;

/// What the engine would give an evaluation.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// What a trigger's source answered.
pub(crate) type Answer = Result<MetricReading, Unknown>;

/// The server, or `None` once the skip was reported.
pub(crate) fn or_skip<T>(test: &str, server: Result<T, Unavailable>) -> Option<T> {
    match server {
        Ok(server) => Some(server),
        Err(Unavailable::Skip(reason)) => {
            broker::skip(&format!("scaler_redis::{test}"), &reason);
            None
        }
        Err(Unavailable::Failed(error)) => panic!("{error:#}"),
    }
}

/// A server without credentials.
pub(crate) fn redis(test: &str) -> Option<Redis> {
    or_skip(test, Redis::start())
}

/// A trigger.
pub(crate) fn trigger(kind: &str, metadata: &[(&str, &str)]) -> TriggerSpec {
    spec(kind, metadata, &[])
}

/// A `redis` trigger.
pub(crate) fn list(address: SocketAddr, name: &str) -> TriggerSpec {
    trigger(
        "redis",
        &[("address", &address.to_string()), ("listName", name)],
    )
}

/// A `redis-streams` trigger.
pub(crate) fn stream(address: SocketAddr, name: &str, more: &[(&str, &str)]) -> TriggerSpec {
    let address = address.to_string();
    let base = [("address", address.as_str()), ("stream", name)];
    let all: Vec<_> = base.iter().chain(more).copied().collect();
    trigger("redis-streams", &all)
}

/// The same trigger with more parameters.
pub(crate) fn with(mut trigger: TriggerSpec, more: &[(&str, &str)]) -> TriggerSpec {
    let more = more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    trigger.metadata.extend(more);
    trigger
}

/// The same trigger with credentials.
pub(crate) fn with_auth(mut trigger: TriggerSpec, auth: &[(&str, &str)]) -> TriggerSpec {
    let auth = auth.iter().map(|(k, v)| ((*k).to_owned(), Secret::new(*v)));
    trigger.auth = auth.collect();
    trigger
}

/// All sources, as `zeron up` has them.
pub(crate) fn registry() -> Registry {
    Registry::builtin(AddressPolicy::MACHINE)
}

/// Binds a trigger at a registry of its own.
pub(crate) fn bind(trigger: &TriggerSpec) -> BoundTrigger {
    registry().bind(trigger).unwrap()
}

/// The runtime of the tests of one process.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
    })
}

/// Evaluates triggers that share a source, in one batch.
pub(crate) fn evaluate_within(triggers: &[&BoundTrigger], timeout: Duration) -> Vec<Answer> {
    let handles: Vec<_> = triggers.iter().map(|it| it.handle).collect();
    let scaler = triggers[0].scaler.clone();
    let evaluation = async move { scaler.evaluate(&handles, timeout).await };
    let answers = runtime().block_on(async { tokio::spawn(evaluation).await.unwrap() });
    assert_eq!(answers.len(), triggers.len());
    answers
        .into_iter()
        .map(|answer| answer.map(|mut readings| readings.remove(0)))
        .collect()
}

/// As the engine would.
pub(crate) fn evaluate(triggers: &[&BoundTrigger]) -> Vec<Answer> {
    evaluate_within(triggers, TIMEOUT)
}

/// Evaluates one trigger.
pub(crate) fn ask(trigger: &BoundTrigger) -> Answer {
    evaluate(&[trigger]).remove(0)
}

/// Binds and evaluates one trigger.
pub(crate) fn read(trigger: &TriggerSpec) -> Answer {
    ask(&bind(trigger))
}

/// The value of one trigger, which must be known.
pub(crate) fn value(trigger: &TriggerSpec) -> f64 {
    read(trigger).unwrap().value
}

/// How often the server ran a command.
pub(crate) fn calls(redis: &Redis, command: &str) -> u64 {
    let stats = redis.cli(&["INFO", "commandstats"]);
    let line = stats
        .lines()
        .find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:")));
    let calls = line.and_then(|line| line.split(',').next()?.strip_prefix("calls="));
    calls.map_or(0, |calls| calls.parse().unwrap())
}

/// Clients that are connected, the asking one left out.
pub(crate) fn clients(redis: &Redis) -> usize {
    redis.cli(&["CLIENT", "LIST"]).lines().count() - 1
}
