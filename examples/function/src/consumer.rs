//! Consumes a topic in a group: works on each message, commits, says so.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use signal_hook::consts::SIGTERM;

use crate::termination::pause;

/// How long one look for a message may take: the longest delay from SIGTERM to the end when idle.
const POLL: Duration = Duration::from_millis(100);

struct Settings {
    brokers: String,
    topic: String,
    group: String,
    work: Duration,
}

pub(crate) fn main(mut args: impl Iterator<Item = OsString>) -> ExitCode {
    if let Some(arg) = args.next() {
        eprintln!(
            "zeron-example-consumer: unknown argument `{}`",
            arg.to_string_lossy()
        );
        return ExitCode::from(64);
    }
    let settings = match settings() {
        Ok(settings) => settings,
        Err(missing) => {
            eprintln!("zeron-example-consumer: the environment has no usable `{missing}`");
            return ExitCode::from(64);
        }
    };
    match consume(&settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("zeron-example-consumer: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Reads the environment; the error names the variable that is missing or malformed.
fn settings() -> Result<Settings, &'static str> {
    let required = |name| std::env::var(name).map_err(|_| name);
    let work_ms = std::env::var("WORK_MS").unwrap_or_else(|_| "0".to_owned());
    Ok(Settings {
        brokers: required("BROKERS")?,
        topic: required("TOPIC")?,
        group: required("GROUP")?,
        work: Duration::from_millis(work_ms.parse().map_err(|_| "WORK_MS")?),
    })
}

fn consume(settings: &Settings) -> Result<(), KafkaError> {
    let stop = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGTERM, Arc::clone(&stop))
        .expect("SIGTERM is a signal that can be handled");
    let consumer = connect(settings)?;
    println!("consuming {} in group {}", settings.topic, settings.group);
    while !stop.load(Ordering::Relaxed) {
        match consumer.poll(POLL) {
            Some(Ok(message)) => work(&consumer, settings, &message)?,
            Some(Err(error)) => eprintln!("zeron-example-consumer: {error}"),
            None => {}
        }
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
        .set("session.timeout.ms", "10000")
        .create()?;
    consumer.subscribe(&[&settings.topic])?;
    Ok(consumer)
}

fn work(
    consumer: &BaseConsumer,
    settings: &Settings,
    message: &BorrowedMessage<'_>,
) -> Result<(), KafkaError> {
    pause(settings.work);
    // Synchronous, so that a line printed is a message done: a rebalance may make the commit fail, and then
    // another consumer does the message again.
    if let Err(error) = consumer.commit_message(message, CommitMode::Sync) {
        eprintln!("zeron-example-consumer: {error}");
        return Ok(());
    }
    println!(
        "done partition={} offset={} bytes={}",
        message.partition(),
        message.offset(),
        message.payload_len()
    );
    Ok(())
}
