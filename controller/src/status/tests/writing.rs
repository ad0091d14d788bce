//! When statuses are written.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, advance, sleep};

use super::super::writer::{StatusError, WriteStatus};
use super::*;

/// An API server that writes down what it is sent, and answers as it is told.
#[derive(Clone, Default)]
struct Server {
    writes: Arc<Mutex<Vec<(Duration, String, Value)>>>,
    answers: Arc<Mutex<VecDeque<StatusError>>>,
    start: Option<Instant>,
    latency: Duration,
    /// A field that the schema does not have.
    pruned: Option<&'static str>,
}

impl Server {
    fn new() -> Self {
        Self {
            start: Some(Instant::now()),
            ..Self::default()
        }
    }

    fn writes(&self) -> Vec<(Duration, String, Value)> {
        self.writes.lock().clone()
    }
}

impl WriteStatus for Server {
    async fn write(&self, object: &ObjectKey, patch: &Value) -> Result<Value, StatusError> {
        let at = self.start.unwrap().elapsed();
        let write = (at, object.name.to_string(), patch.clone());
        self.writes.lock().push(write);
        sleep(self.latency).await;
        let mut stored = patch["status"].clone();
        if let Value::Object(fields) = &mut stored {
            fields.retain(|name, _| Some(name.as_str()) != self.pruned);
        }
        self.answers.lock().pop_front().map_or(Ok(stored), Err)
    }
}

fn named(name: &str) -> ObjectKey {
    ObjectKey::new(ObjectKind::ScaledObject, "shop", name)
}

fn refused() -> StatusError {
    StatusError::Failed(Box::new(kube::Error::LinesCodecMaxLineLengthExceeded))
}

#[tokio::test(start_paused = true)]
async fn the_first_status_goes_at_once_and_the_newest_after_a_second() {
    let server = Server::new();
    let writer = StatusWriter::start_with(server.clone(), StatusWriterOptions::default());
    for n in 0..50 {
        writer.publish(named("a"), Some(json!(n)));
        sleep(Duration::from_millis(100)).await;
    }
    sleep(Duration::from_secs(5)).await;
    let writes = server.writes();
    assert_eq!(writes[0].0, Duration::ZERO);
    assert_eq!(writes.last().unwrap().2, json!(49));
    assert!(writes.len() <= 7, "{writes:?}");
    for pair in writes.windows(2) {
        assert!(
            pair[1].0 - pair[0].0 >= Duration::from_secs(1),
            "{writes:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_back_is_not_written() {
    let server = Server::new();
    let writer = StatusWriter::start_with(server.clone(), StatusWriterOptions::default());
    writer.publish(named("a"), Some(json!(1)));
    sleep(Duration::from_millis(10)).await;
    writer.publish(named("a"), Some(json!(2)));
    writer.publish(named("a"), None);
    sleep(Duration::from_secs(30)).await;
    assert_eq!(server.writes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_same_patch_is_not_sent_again_while_the_watch_lags() {
    let server = Server::new();
    let writer = StatusWriter::start_with(server.clone(), StatusWriterOptions::default());
    for _ in 0..80 {
        writer.publish(named("a"), Some(json!(1)));
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(server.writes().len(), 1);
    // If it still is not there after a while, something else took it away.
    sleep(Duration::from_secs(11)).await;
    writer.publish(named("a"), Some(json!(1)));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(server.writes().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn failures_wait_longer_and_longer_and_the_newest_is_sent() {
    let server = Server::new();
    server.answers.lock().extend((0..5).map(|_| refused()));
    let writer = StatusWriter::start_with(server.clone(), StatusWriterOptions::default());
    writer.publish(named("a"), Some(json!(1)));
    sleep(Duration::from_secs(5)).await;
    writer.publish(named("a"), Some(json!(2)));
    sleep(Duration::from_secs(60)).await;
    let writes = server.writes();
    let times: Vec<u64> = writes.iter().map(|w| w.0.as_secs()).collect();
    assert_eq!(times, [0, 1, 3, 7, 15, 31]);
    assert_eq!(writes.last().unwrap().2, json!(2));
}

#[tokio::test(start_paused = true)]
async fn one_object_that_fails_holds_up_no_other() {
    let server = Server::new();
    server.answers.lock().push_back(refused());
    let writer = StatusWriter::start_with(server.clone(), StatusWriterOptions::default());
    writer.publish(named("bad"), Some(json!(1)));
    sleep(Duration::from_millis(1)).await;
    for n in 0..100 {
        writer.publish(named(&format!("good-{n}")), Some(json!(1)));
    }
    sleep(Duration::from_millis(500)).await;
    assert_eq!(server.writes().len(), 101);
}

#[tokio::test(start_paused = true)]
async fn writes_under_way_are_bounded() {
    let server = Server {
        latency: Duration::from_secs(1),
        ..Server::new()
    };
    let options = StatusWriterOptions {
        parallel: 4,
        ..StatusWriterOptions::default()
    };
    let writer = StatusWriter::start_with(server.clone(), options);
    for n in 0..12 {
        writer.publish(named(&format!("o{n}")), Some(json!(1)));
    }
    sleep(Duration::from_millis(500)).await;
    assert_eq!(server.writes().len(), 4);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(server.writes().len(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_and_counts_and_empties_by_itself() {
    let server = Server::new();
    let options = StatusWriterOptions {
        capacity: 2,
        ..StatusWriterOptions::default()
    };
    let writer = StatusWriter::start_with(server.clone(), options);
    for name in ["a", "b", "c"] {
        writer.publish(named(name), Some(json!(1)));
    }
    assert_eq!(
        writer
            .counters()
            .dropped
            .load(std::sync::atomic::Ordering::Relaxed),
        1
    );
    sleep(Duration::from_secs(12)).await;
    writer.publish(named("c"), Some(json!(1)));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(server.writes().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_or_invalid_is_given_up() {
    let server = Server::new();
    server.answers.lock().push_back(StatusError::Gone);
    let writer = StatusWriter::start_with(server.clone(), StatusWriterOptions::default());
    writer.publish(named("a"), Some(json!(1)));
    sleep(Duration::from_secs(120)).await;
    assert_eq!(server.writes().len(), 1);
    advance(Duration::from_secs(1)).await;
    writer.publish(named("a"), Some(json!(2)));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(server.writes().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_object_is_not_written() {
    let server = Server::new();
    server.answers.lock().push_back(refused());
    let writer = StatusWriter::start_with(server.clone(), StatusWriterOptions::default());
    writer.publish(named("a"), Some(json!(1)));
    sleep(Duration::from_millis(500)).await;
    writer.forget(&named("a"));
    sleep(Duration::from_secs(120)).await;
    assert_eq!(server.writes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_field_that_is_not_kept_is_written_once_in_ten_minutes() {
    let server = Server {
        pruned: Some("address"),
        ..Server::new()
    };
    let writer = StatusWriter::start_with(server.clone(), StatusWriterOptions::default());
    let status = |phase: &str| json!({"status": {"address": {"url": "http://a"}, "phase": phase}});
    writer.publish(named("a"), Some(status("first")));
    sleep(Duration::from_secs(1)).await;
    // The watch shows what is stored: the address is wanted again and again.
    let address_alone = json!({"status": {"address": {"url": "http://a"}}});
    for _ in 0..60 {
        writer.publish(named("a"), Some(address_alone.clone()));
        writer.publish(named("b"), Some(address_alone.clone()));
        sleep(Duration::from_secs(9)).await;
    }
    assert_eq!(server.writes().len(), 1, "{:?}", server.writes());
    // What is kept goes on being written, without it.
    writer.publish(named("a"), Some(status("second")));
    sleep(Duration::from_secs(1)).await;
    let writes = server.writes();
    assert_eq!(writes[1].2, json!({"status": {"phase": "second"}}));
    // Somebody may have changed the schema.
    sleep(Duration::from_secs(600)).await;
    writer.publish(named("b"), Some(address_alone.clone()));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(server.writes()[2].2, address_alone);
}
