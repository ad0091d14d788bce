//! A queue-proxy that takes connections and does nothing.

use std::time::{Duration, Instant};

use serde_json::json;
use zeron_tests::knative::{Knative, Side, Template};
use zeron_tests::process::{Signal, signal};
use zeron_tests::wait::last;

use super::replicas::process;
use super::shots::{Shots, lost};

const RATE: u32 = 50;
/// What the revision says of its requests.
const TIMEOUT: Duration = Duration::from_secs(4);
const SLACK: Duration = Duration::from_secs(2);
/// Until when an answer came by the timeout: many of them would take longer if they waited for the end.
const LATE: Duration = Duration::from_secs(12);
const HANGS: Duration = Duration::from_secs(20);

/// Goes on when this is dropped.
struct Stopped(u32);

impl Stopped {
    fn new(pid: u32) -> Self {
        signal(pid, Signal::STOP);
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signal(self.0, Signal::CONT);
    }
}

#[test]
fn requests_on_a_queue_proxy_that_hangs_end_by_their_timeout_and_others_go_on() {
    const TEST: &str = "requests_on_a_queue_proxy_that_hangs_end_by_their_timeout_and_others_go_on";
    let Some(knative) = Knative::get(TEST, Side::Ours) else {
        return;
    };
    let namespace = knative.cluster().namespace("kn-f-hung");
    let template = Template::new()
        .scaling("min-scale", "2")
        .scaling("max-scale", "2")
        .scaling("target-burst-capacity", "-1")
        .field("timeoutSeconds", json!(TIMEOUT.as_secs()));
    let revision = knative.revision(&namespace, "hung", &template).ready();
    let pods = revision.wait_pods(2);
    revision.wait_mode("Proxy");
    let history = revision.history();
    let shots = Shots::start(&revision.request(), "/work?ms=20", RATE);
    let hung = Instant::now();
    let stopped = Stopped::new(process(&pods[0], "/queue"));
    last(HANGS);
    drop(stopped);
    let goes_on = Instant::now();
    // It serves again.
    last(SLACK);
    let shots = shots.end();
    let lost = lost(&shots);
    println!(
        "queue-proxy hung for {:?}: {} sent, {} lost",
        goes_on - hung,
        shots.len(),
        lost.len()
    );
    for shot in &lost {
        let took = shot.ended - shot.begun;
        assert_eq!(shot.outcome, Ok(504), "after {took:?}");
        assert!(took > TIMEOUT - SLACK / 4 && took < LATE, "{took:?}");
        assert!(shot.begun < goes_on, "afterwards");
    }
    assert!(
        10 * lost.len() < shots.len(),
        "others go on: {} of {} lost",
        lost.len(),
        shots.len()
    );
    assert_eq!(history.end(), [2]);
}
