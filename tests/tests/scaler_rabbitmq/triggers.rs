//! Triggers to evaluate, and the server that the tests share.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::runtime::Runtime;
use zeron_core::metric::{MetricReading, Unknown, UnknownKind};
use zeron_core::policy::{Secret, TriggerSpec};
use zeron_core::roles::{BoundTrigger, ScalerRegistry};
use zeron_scalers::{AddressPolicy, Registry};
use zeron_tests::broker::{self, Unavailable};
use zeron_tests::servers::rabbitmq::{self, PASSWORD, RabbitMq, USER};
use zeron_tests::servers::triggers::{TIMEOUT, spec};

/// The server that the tests share, or `None` once the skip was reported.
pub(crate) fn shared(test: &str) -> Option<&'static RabbitMq> {
    match rabbitmq::shared() {
        Ok(rabbit) => Some(rabbit),
        Err(error) => skipped(test, error),
    }
}

/// A server of the test's own, to be killed.
pub(crate) fn own(test: &str) -> Option<RabbitMq> {
    match RabbitMq::start() {
        Ok(rabbit) => Some(rabbit),
        Err(error) => skipped(test, &error),
    }
}

fn skipped<T>(test: &str, error: &Unavailable) -> Option<T> {
    match error {
        Unavailable::Skip(reason) => {
            broker::skip(&format!("scaler_rabbitmq::{test}"), reason);
            None
        }
        Unavailable::Failed(error) => panic!("{error:#}"),
    }
}

/// A name that no other test uses.
pub(crate) fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A new queue of the root virtual host.
pub(crate) fn new_queue(rabbit: &RabbitMq) -> String {
    let queue = unique("queue");
    rabbit.declare("%2F", &queue);
    queue
}

/// A `rabbitmq` trigger for a queue behind `host`.
pub(crate) fn trigger(host: &str, queue: &str, parameters: &[(&str, &str)]) -> TriggerSpec {
    let base = [("host", host), ("queueName", queue)];
    spec("rabbitmq", &[&base, parameters].concat(), &[])
}

/// The same trigger with credentials.
pub(crate) fn with_auth(mut trigger: TriggerSpec, auth: &[(&str, &str)]) -> TriggerSpec {
    trigger.auth = auth
        .iter()
        .map(|(k, v)| ((*k).to_owned(), Secret::new(*v)))
        .collect();
    trigger
}

/// The URI of the server's AMQP, with a virtual host that is percent-encoded.
pub(crate) fn amqp(rabbit: &RabbitMq, vhost: &str) -> String {
    format!("amqp://{USER}:{PASSWORD}@{}/{vhost}", rabbit.amqp())
}

/// The URI of the server's management API.
pub(crate) fn http(rabbit: &RabbitMq, vhost: &str) -> String {
    format!("http://{USER}:{PASSWORD}@{}/{vhost}", rabbit.http())
}

/// A registry as one machine has it.
pub(crate) fn registry() -> Registry {
    Registry::builtin(AddressPolicy::MACHINE)
}

/// The runtime of all tests: connections outlive an evaluation.
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
pub(crate) fn evaluate_within(
    triggers: &[&BoundTrigger],
    timeout: Duration,
) -> Vec<Result<MetricReading, Unknown>> {
    let handles: Vec<_> = triggers.iter().map(|trigger| trigger.handle).collect();
    let answers = runtime().block_on(triggers[0].scaler.evaluate(&handles, timeout));
    assert_eq!(answers.len(), triggers.len());
    answers
        .into_iter()
        .map(|answer| answer.map(|mut readings| readings.remove(0)))
        .collect()
}

/// As the engine evaluates them.
pub(crate) fn evaluate(triggers: &[&BoundTrigger]) -> Vec<Result<MetricReading, Unknown>> {
    evaluate_within(triggers, TIMEOUT)
}

/// Evaluates one trigger.
pub(crate) fn evaluate_one(trigger: &BoundTrigger) -> Result<MetricReading, Unknown> {
    evaluate(&[trigger]).remove(0)
}

/// Binds and evaluates one trigger.
pub(crate) fn read(trigger: &TriggerSpec) -> Result<MetricReading, Unknown> {
    let bound = registry().bind(trigger).unwrap();
    evaluate_one(&bound)
}

/// The value of one trigger, which must be known, and whether it is active.
pub(crate) fn known(trigger: &TriggerSpec) -> (f64, bool) {
    let reading = read(trigger).unwrap();
    (reading.value, reading.activity.is_active())
}

/// Why one trigger is unknown.
pub(crate) fn unknown(trigger: &TriggerSpec) -> Unknown {
    let error = read(trigger).unwrap_err();
    assert!(!error.message.contains("canary"), "{}", error.message);
    error
}

/// Evaluates as the engine would until the answer is `wanted`.
pub(crate) fn until(
    what: &str,
    trigger: &BoundTrigger,
    wanted: impl Fn(&Result<MetricReading, Unknown>) -> bool,
) -> Result<MetricReading, Unknown> {
    zeron_tests::until(what, || Some(evaluate_one(trigger)).filter(&wanted))
}

/// Whether an answer is known and has this value.
pub(crate) fn is(value: f64) -> impl Fn(&Result<MetricReading, Unknown>) -> bool {
    move |answer| answer.as_ref().is_ok_and(|reading| reading.value == value)
}

/// Whether an answer is unknown for such a reason.
pub(crate) fn fails(kind: UnknownKind) -> impl Fn(&Result<MetricReading, Unknown>) -> bool {
    move |answer| answer.as_ref().is_err_and(|error| error.kind == kind)
}
