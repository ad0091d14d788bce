//! Requests at a steady rate, each remembered: when it was begun and what became of it.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use zeron_tests::knative::Request;
use zeron_tests::{End, PATIENCE};

/// Threads that send.
const SENDERS: u32 = 64;

/// Until a connection that was refused is tried again.
const PAUSE: Duration = Duration::from_millis(5);

/// One request.
#[derive(Debug)]
pub(crate) struct Shot {
    pub(crate) begun: Instant,
    pub(crate) ended: Instant,
    /// The status, or what broke; `Ok(0)`: an answer that broke off.
    pub(crate) outcome: Result<u16, ErrorKind>,
}

/// Requests under way.
pub(crate) struct Shots {
    is_ended: Arc<AtomicBool>,
    senders: Vec<JoinHandle<Vec<Shot>>>,
}

impl Shots {
    /// Begins to send. Connections that are refused are tried again, as gateways do: nothing was sent on them.
    pub(crate) fn start(request: &Request, target: &str, per_second: u32) -> Self {
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
    pub(crate) fn end(self) -> Vec<Shot> {
        self.is_ended.store(true, Ordering::Relaxed);
        let each = self.senders.into_iter().map(|sender| {
            sender.thread().unpark();
            sender.join().unwrap()
        });
        each.collect::<Vec<_>>().into_iter().flatten().collect()
    }
}

fn send(
    request: &Request,
    target: &str,
    mut next: Instant,
    pause: Duration,
    is_ended: &AtomicBool,
) -> Vec<Shot> {
    let mut shots = Vec::new();
    while !is_ended.load(Ordering::Relaxed) {
        let now = Instant::now();
        if now < next {
            thread::park_timeout(next - now);
            continue;
        }
        next = now.max(next + pause);
        shots.push(shoot(request, target));
    }
    shots
}

fn shoot(request: &Request, target: &str) -> Shot {
    let first = Instant::now();
    loop {
        let begun = Instant::now();
        let outcome = match request.send(target) {
            Ok(answer) if answer.end == End::Complete => Ok(answer.status),
            Ok(_) => Ok(0),
            Err(error) => Err(error.kind()),
        };
        if outcome == Err(ErrorKind::ConnectionRefused) && first.elapsed() < PATIENCE {
            thread::park_timeout(PAUSE);
            continue;
        }
        let ended = Instant::now();
        return Shot {
            begun,
            ended,
            outcome,
        };
    }
}

/// Those that were not answered with 200.
pub(crate) fn lost(shots: &[Shot]) -> Vec<&Shot> {
    let is_lost = |shot: &&Shot| shot.outcome != Ok(200);
    shots.iter().filter(is_lost).collect()
}
