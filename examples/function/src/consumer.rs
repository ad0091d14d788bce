//! Consumes a topic in a group: works on each message, commits, says so. Answers HTTP beside that when given a port.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::types::RDKafkaErrorCode;
use signal_hook::consts::SIGTERM;

use crate::options::{self, Options};
use crate::server;
use crate::termination::pause;

/// How long one look for a message may take: the longest delay from SIGTERM to the end when idle.
const POLL: Duration = Duration::from_millis(100);

/// Why it ended early.
enum Failure {
    Kafka(KafkaError),
    Http(io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kafka(error) => error.fmt(f),
            Self::Http(error) => error.fmt(f),
        }
    }
}

impl From<KafkaError> for Failure {
    fn from(error: KafkaError) -> Self {
        Self::Kafka(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Http(error)
    }
}

struct Settings {
    brokers: String,
    topic: String,
    group: String,
    work: Duration,
}

pub(crate) fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.collect();
    let serves_http = !args.is_empty();
    let options = match options::parse(args.into_iter()) {
        Ok(options) => options,
        Err(problem) => return bad_usage(&problem.to_string()),
    };
    let settings = match settings() {
        Ok(settings) => settings,
        Err(missing) => {
            return bad_usage(&format!("the environment has no usable `{missing}`"));
        }
    };
    match run(&settings, serves_http.then_some(options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("zeron-example-consumer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bad_usage(problem: &str) -> ExitCode {
    eprintln!("zeron-example-consumer: {problem}");
    ExitCode::from(64)
}

/// Consumes until SIGTERM, and answers HTTP meanwhile if `http` is given.
fn run(settings: &Settings, http: Option<Options>) -> Result<(), Failure> {
    let function = http.map(server::serve_beside).transpose()?;
    consume(settings)?;
    if let Some(function) = function {
        function.record.drain();
    }
    Ok(())
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
