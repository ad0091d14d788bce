//! Requests at a steady rate, each on a connection of its own, and every one that was lost.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Longest answer; a cold start is within it.
const ANSWER: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(3);
/// Threads that send.
const SENDERS: u32 = 4;

/// Requests under way.
pub(crate) struct Load {
    is_ended: Arc<AtomicBool>,
    senders: Vec<JoinHandle<Outcome>>,
}

/// What became of them.
#[derive(Debug, Default)]
struct Outcome {
    sent: usize,
    /// One line for each that was lost.
    lost: Vec<String>,
}

impl Load {
    /// Begins to send `GET /` to `host` at `address`.
    pub(crate) fn start(address: SocketAddr, host: &str, per_second: u32) -> Self {
        let is_ended = Arc::new(AtomicBool::new(false));
        let pause = Duration::from_secs(1) * SENDERS / per_second;
        let senders = (0..SENDERS).map(|number| {
            let (host, is_ended) = (host.to_owned(), Arc::clone(&is_ended));
            let first = Instant::now() + pause * number / SENDERS;
            thread::spawn(move || send(address, &host, first, pause, &is_ended))
        });
        Self {
            senders: senders.collect(),
            is_ended,
        }
    }

    /// Stops sending and waits for the answers that are due.
    fn end(self) -> Outcome {
        self.is_ended.store(true, Ordering::Relaxed);
        let mut all = Outcome::default();
        for sender in self.senders {
            let outcome = sender.join().expect("a sender does not panic");
            all.sent += outcome.sent;
            all.lost.extend(outcome.lost);
        }
        all
    }

    /// The same: it was a load, and none of it was lost.
    pub(crate) fn ends_without_loss(self) {
        let Outcome { sent, lost } = self.end();
        assert!(lost.is_empty(), "of {sent}: {lost:#?}");
        assert!(sent > 500, "{sent} requests are no load");
    }
}

fn send(
    address: SocketAddr,
    host: &str,
    mut next: Instant,
    pause: Duration,
    is_ended: &AtomicBool,
) -> Outcome {
    let mut outcome = Outcome::default();
    while !is_ended.load(Ordering::Relaxed) {
        // The rate of a load is its pauses: nothing is waited for here.
        thread::park_timeout(next.saturating_duration_since(Instant::now()));
        next += pause;
        outcome.sent += 1;
        let began = Instant::now();
        if let Err(error) = request(address, host) {
            let line = format!("after {:?}: {error}", began.elapsed());
            outcome.lost.push(line);
        }
    }
    outcome
}

/// One request; anything but 200 is lost.
pub(crate) fn request(address: SocketAddr, host: &str) -> Result<(), String> {
    let exchange = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, CONNECT)?;
        stream.set_read_timeout(Some(ANSWER))?;
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = exchange().map_err(|error| error.to_string())?;
    if answer.starts_with("HTTP/1.1 200") {
        return Ok(());
    }
    Err(answer.lines().next().unwrap_or("no answer").to_owned())
}
