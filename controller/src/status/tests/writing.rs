//! When statuses are written.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, advance, sleep};

use super::super::writer::{StatusError, WriteStatus};
use super::*;

/// An API server that writes down what it is sent, and answers as it is told.
#[derive(Clone, Default)]
struct Server {
    writes: Arc<Mutex<Vec<(Duration, String, Value)>>>,
    /// How often it was asked what a write would do.
    trials: Arc<AtomicUsize>,
    refusals_to_try: Arc<Mutex<VecDeque<StatusError>>>,
    answers: Arc<Mutex<VecDeque<StatusError>>>,
    start: Option<Instant>,
    latency: Duration,
    /// A field that the schema does not have.
    pruned: Arc<Mutex<Option<&'static str>>>,
}

impl Server {
    fn new() -> Self {
        Self {
            start: Some(Instant::now()),
            ..Self::default()
        }
    }

    fn without(field: &'static str) -> Self {
        let server = Self::new();
        *server.pruned.lock() = Some(field);
        server
    }

    fn trials(&self) -> usize {
        self.trials.load(Ordering::Relaxed)
    }

    /// The status that is stored after a patch.
    fn stored(&self, patch: &Value) -> Value {
        let mut stored = patch["status"].clone();
        if let Value::Object(fields) = &mut stored {
            fields.retain(|name, _| Some(name.as_str()) != *self.pruned.lock());
        }
        stored
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
        let refusal = self.answers.lock().pop_front();
        refusal.map_or_else(|| Ok(self.stored(patch)), Err)
    }

    async fn try_out(&self, _: &ObjectKey, patch: &Value) -> Result<Value, StatusError> {
        self.trials.fetch_add(1, Ordering::Relaxed);
        sleep(self.latency).await;
        let refusal = self.refusals_to_try.lock().pop_front();
        refusal.map_or_else(|| Ok(self.stored(patch)), Err)
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
    assert_eq!(writer.counters().dropped.load(Ordering::Relaxed), 1);
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

fn addressed() -> Value {
    json!({"status": {"address": {"url": "http://a"}}})
}

#[tokio::test(start_paused = true)]
async fn a_field_that_is_not_kept_is_asked_for_once_in_ten_minutes_and_not_written() {
    let server = Server::without("address");
    let writer = StatusWriter::start_with(server.clone(), StatusWriterOptions::default());
    let status = |phase: &str| json!({"status": {"address": {"url": "http://a"}, "phase": phase}});
    let phase = |phase: &str| json!({"status": {"phase": phase}});
    writer.publish(named("a"), Some(status("first")));
    sleep(Duration::from_secs(1)).await;
    // The watch shows what is stored: the address is wanted again and again.
    for _ in 0..60 {
        writer.publish(named("a"), Some(addressed()));
        writer.publish(named("b"), Some(addressed()));
        sleep(Duration::from_secs(9)).await;
    }
    assert_eq!(server.writes().len(), 1, "{:?}", server.writes());
    assert_eq!(server.writes()[0].2, phase("first"));
    // What is kept goes on being written, without it.
    writer.publish(named("a"), Some(status("second")));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(server.writes()[1].2, phase("second"));
    assert_eq!(server.trials(), 1);
    // Somebody may have changed the schema.
    sleep(Duration::from_secs(600)).await;
    *server.pruned.lock() = None;
    writer.publish(named("b"), Some(addressed()));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(server.trials(), 2);
    assert_eq!(server.writes()[2].2, addressed());
}

#[tokio::test(start_paused = true)]
async fn a_restart_writes_nothing_of_objects_that_lack_only_what_is_not_kept() {
    let server = Server {
        latency: Duration::from_millis(10),
        ..Server::without("address")
    };
    let options = StatusWriterOptions::default();
    let writer = StatusWriter::start_with(server.clone(), options);
    for n in 0..500 {
        writer.publish(named(&format!("o{n}")), Some(addressed()));
    }
    sleep(Duration::from_secs(30)).await;
    assert!(server.writes().is_empty(), "{:?}", server.writes());
    assert_eq!(server.trials(), options.parallel, "those that went at once");
    assert_eq!(writer.counters().written.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_is_known_to_change_something_is_not_tried_out_before() {
    let server = Server::new();
    let writer = StatusWriter::start_with(server.clone(), StatusWriterOptions::default());
    for n in 0..20 {
        writer.publish(named("a"), Some(json!({"status": {"phase": n}})));
        sleep(Duration::from_secs(2)).await;
    }
    writer.publish(named("b"), Some(json!({"status": {"address": null}})));
    sleep(Duration::from_secs(2)).await;
    assert_eq!((server.writes().len(), server.trials()), (21, 1));
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_asked_is_written_to_and_who_is_away_is_asked_again() {
    let server = Server::new();
    let invalid = StatusError::Invalid("a webhook does not support dry run".to_owned());
    server.refusals_to_try.lock().extend([refused(), invalid]);
    let writer = StatusWriter::start_with(server.clone(), StatusWriterOptions::default());
    writer.publish(named("a"), Some(addressed()));
    sleep(Duration::from_secs(5)).await;
    assert_eq!(server.trials(), 2);
    let writes = server.writes();
    assert_eq!(writes.len(), 1);
    assert_eq!((writes[0].0.as_secs(), &writes[0].2), (1, &addressed()));
}
