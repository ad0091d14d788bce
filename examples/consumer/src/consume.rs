//! Consumes a topic in a group: works on each message, commits, says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::types::RDKafkaErrorCode;
use signal_hook::consts::SIGTERM;
use zeron_example_function::pause;

/// How long one look for a message may take: the longest delay from SIGTERM to the end when idle.
const POLL: Duration = Duration::from_millis(100);

/// What to consume, and how long each message is work.
pub(crate) struct Settings {
    brokers: String,
    topic: String,
    group: String,
    work: Duration,
}

impl Settings {
    /// Reads the environment; the error names the variable that is missing or malformed.
    pub(crate) fn from_environment() -> Result<Self, &'static str> {
        let required = |name| std::env::var(name).map_err(|_| name);
        let work_ms = std::env::var("WORK_MS").unwrap_or_else(|_| "0".to_owned());
        Ok(Self {
            brokers: required("BROKERS")?,
            topic: required("TOPIC")?,
            group: required("GROUP")?,
            work: Duration::from_millis(work_ms.parse().map_err(|_| "WORK_MS")?),
        })
    }
}

/// Consumes until SIGTERM, then leaves the group.
pub(crate) fn until_sigterm(settings: &Settings) -> Result<(), KafkaError> {
    let stop = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGTERM, Arc::clone(&stop))
        .expect("SIGTERM is a signal that can be handled");
    let consumer = connect(settings)?;
    println!("consuming {} in group {}", settings.topic, settings.group);
    let mut is_committed = true;
    while !stop.load(Ordering::Relaxed) {
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                work(&consumer, settings, &message);
                is_committed = false;
            }
            Some(Err(error)) => eprintln!("zeron-example-consumer: {error}"),
            None => {}
        }
        // A commit that failed is made again, with a message or without: else its messages would count as lag
        // for ever.
        is_committed = is_committed || commit(&consumer);
    }
    println!("leaving group {}", settings.group);
    Ok(())
}

fn connect(settings: &Settings) -> Result<BaseConsumer, KafkaError> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &settings.brokers)
        .set("group.id", &settings.group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("session.timeout.ms", "10000")
        .create()?;
    consumer.subscribe(&[&settings.topic])?;
    Ok(consumer)
}

fn work(consumer: &BaseConsumer, settings: &Settings, message: &BorrowedMessage<'_>) {
    pause(settings.work);
    if let Err(error) = consumer.store_offset_from_message(message) {
        // Its partition went to another consumer meanwhile, which does the message again.
        eprintln!("zeron-example-consumer: {error}");
        return;
    }
    println!(
        "done partition={} offset={} bytes={}",
        message.partition(),
        message.offset(),
        message.payload_len()
    );
}

/// Commits what was done. False when that must be tried again.
fn commit(consumer: &BaseConsumer) -> bool {
    match consumer.commit_consumer_state(CommitMode::Sync) {
        // Nothing to commit: the partitions went to another consumer, which does their messages again.
        Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => true,
        Err(error) => {
            eprintln!("zeron-example-consumer: {error}");
            false
        }
    }
}
