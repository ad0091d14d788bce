//! Requests at a steady rate, each on a connection of its own, and every one that was lost.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::revision::Request;
use crate::response::{End, Response};

/// Threads that send: as many requests can be under way, of which each may wait for a cold start.
const SENDERS: u32 = 64;

/// Lost ones that are told in full.
const TOLD: usize = 20;

/// Requests under way.
#[derive(Debug)]
pub struct Load {
    is_ended: Arc<AtomicBool>,
    senders: Vec<JoinHandle<Outcome>>,
}

/// What became of them.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How many were sent.
    pub sent: usize,
    /// How many were not answered with 200.
    pub lost: usize,
    /// What happened to the first ones of those.
    pub told: Vec<String>,
    /// The longest time to an answer.
    pub slowest: Duration,
}

impl Load {
    /// Begins to send.
    pub fn start(request: &Request, target: &str, per_second: u32) -> Self {
        let is_ended = Arc::new(AtomicBool::new(false));
        let pause = Duration::from_secs(1) * SENDERS / per_second;
        let senders = (0..SENDERS).map(|number| {
            let (request, target) = (request.clone(), target.to_owned());
            let is_ended = Arc::clone(&is_ended);
            let first = Instant::now() + pause * number / SENDERS;
            thread::spawn(move || send(&request, &target, first, pause, &is_ended))
        });
        Self {
            senders: senders.collect(),
            is_ended,
        }
    }

    /// Stops sending and waits for the answers that are due.
    ///
    /// # Panics
    /// When a thread did.
    pub fn end(self) -> Outcome {
        self.is_ended.store(true, Ordering::Relaxed);
        let mut all = Outcome::default();
        for sender in self.senders {
            sender.thread().unpark();
            all.add(sender.join().expect("a sender does not panic"));
        }
        all
    }
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.lost += other.lost;
        self.told.extend(other.told);
        self.told.truncate(TOLD);
        self.slowest = self.slowest.max(other.slowest);
    }

    /// Asserts that every request was answered.
    ///
    /// # Panics
    /// When one was not.
    pub fn assert_none_lost(&self) {
        assert_eq!(self.lost, 0, "of {} sent: {:#?}", self.sent, self.told);
    }
}

fn send(
    request: &Request,
    target: &str,
    mut next: Instant,
    pause: Duration,
    is_ended: &AtomicBool,
) -> Outcome {
    let mut outcome = Outcome::default();
    let begin = Instant::now();
    while !is_ended.load(Ordering::Relaxed) {
        let now = Instant::now();
        if now < next {
            // The rate of a load is its pauses: nothing is waited for here.
            thread::park_timeout(next - now);
            continue;
        }
        // One that is late does not make up for it: its thread waited for an answer.
        next = now.max(next + pause);
        outcome.sent += 1;
        if let Some(loss) = loss(request.send(target)) {
            outcome.lost += 1;
            let at = now.duration_since(begin);
            let line = format!("at {at:.1?}, after {:.1?}: {loss}", now.elapsed());
            outcome.told.push(line);
            outcome.told.truncate(TOLD);
        }
        outcome.slowest = outcome.slowest.max(now.elapsed());
    }
    outcome
}

/// Why a request was lost, if it was.
fn loss(answer: io::Result<Response>) -> Option<String> {
    match answer {
        Ok(answer) if answer.status == 200 && answer.end == End::Complete => None,
        Ok(answer) => Some(format!("{} {:?}", answer.status, answer.text())),
        Err(error) => Some(error.to_string()),
    }
}
