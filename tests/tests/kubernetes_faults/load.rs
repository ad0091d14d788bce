//! Requests at a steady rate, and every one that was lost.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use zeron_tests::Raw;
use zeron_tests::wait::last;

/// Threads that send. Each fourth opens a connection for every request; the others keep theirs.
const SENDERS: u32 = 8;

/// Requests under way.
pub(crate) struct Load {
    is_ended: Arc<AtomicBool>,
    senders: Vec<JoinHandle<Outcome>>,
}

/// What became of them.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) sent: usize,
    /// One line for each that was lost.
    pub(crate) lost: Vec<String>,
    pub(crate) slowest: Duration,
}

impl Outcome {
    /// Says what it was, and that nothing was lost.
    #[track_caller]
    pub(crate) fn assert_all_answered(&self, during: &str) {
        const SHOWN: usize = 10;
        let Self {
            sent,
            lost,
            slowest,
        } = self;
        println!(
            "{during}: {sent} requests, {} lost, the slowest took {slowest:?}",
            lost.len()
        );
        let shown = &lost[..lost.len().min(SHOWN)];
        assert!(
            lost.is_empty(),
            "{during}: {} of {sent} were lost: {shown:#?}",
            lost.len()
        );
        assert!(*sent > 0, "{during}: nothing was sent");
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.lost.extend(other.lost);
        self.slowest = self.slowest.max(other.slowest);
    }
}

/// What each sender does.
#[derive(Clone, Debug)]
struct Job {
    address: SocketAddr,
    head: String,
    is_kept: bool,
    began: Instant,
}

impl Load {
    /// Begins to send `GET target` to `host` at these addresses.
    pub(crate) fn start(
        addresses: &[SocketAddr],
        host: &str,
        target: &str,
        per_second: u32,
    ) -> Self {
        let is_ended = Arc::new(AtomicBool::new(false));
        let pause = Duration::from_secs(1) * SENDERS / per_second;
        let began = Instant::now();
        let senders = (0..SENDERS).map(|number| {
            let is_kept = number % 4 != 0;
            let close = if is_kept { "" } else { "Connection: close\r\n" };
            let job = Job {
                address: addresses[number as usize / 4 % addresses.len()],
                head: format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{close}\r\n"),
                is_kept,
                began,
            };
            let (first, is_ended) = (began + pause * number / SENDERS, Arc::clone(&is_ended));
            thread::spawn(move || job.run(first, pause, &is_ended))
        });
        Self {
            senders: senders.collect(),
            is_ended,
        }
    }

    /// Stops sending and waits for the answers that are due.
    pub(crate) fn end(self) -> Outcome {
        self.is_ended.store(true, Ordering::Relaxed);
        let mut all = Outcome::default();
        for sender in self.senders {
            all.add(sender.join().unwrap());
        }
        all
    }
}

impl Job {
    fn run(&self, mut next: Instant, pause: Duration, is_ended: &AtomicBool) -> Outcome {
        let (mut outcome, mut connection) = (Outcome::default(), None);
        while !is_ended.load(Ordering::Relaxed) {
            // The rate of a load is its pauses: nothing is waited for here.
            last(next.saturating_duration_since(Instant::now()));
            // After a slow answer the rate goes on; what it cost is not made up for.
            next = (next + pause).max(Instant::now());
            let sent = Instant::now();
            outcome.sent += 1;
            match self.request(connection.take()) {
                Ok(kept) => connection = kept,
                Err(error) => outcome.lost.push(format!(
                    "sent at {:?}, after {:?}: {error}",
                    sent - self.began,
                    sent.elapsed()
                )),
            }
            outcome.slowest = outcome.slowest.max(sent.elapsed());
        }
        outcome
    }

    /// One request; anything but 200 is lost. Returns the connection where it can be used again.
    fn request(&self, kept: Option<Raw>) -> Result<Option<Raw>, String> {
        // What was closed before anything was sent is nobody's loss.
        let mut connection = match kept.and_then(|mut kept| kept.is_silent().then_some(kept)) {
            Some(kept) => kept,
            None => Raw::try_connect(self.address).map_err(|error| format!("connect: {error}"))?,
        };
        let io = |error: std::io::Error| error.to_string();
        connection.try_send(&self.head).map_err(io)?;
        let answer = connection.try_response().map_err(io)?;
        if answer.status != 200 || answer.end != zeron_tests::End::Complete {
            return Err(format!(
                "{} {:?} {}",
                answer.status,
                answer.end,
                answer.text()
            ));
        }
        let is_last = answer
            .header("connection")
            .is_some_and(|it| it.eq_ignore_ascii_case("close"));
        Ok((self.is_kept && !is_last).then_some(connection))
    }
}

/// Otherwise no figure of these tests would mean anything.
#[test]
fn a_request_without_an_answer_counts_as_lost() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let load = Load::start(&[listener.local_addr().unwrap()], "lost.example", "/", 100);
    for _ in 0..3 {
        drop(listener.accept().unwrap());
    }
    drop(listener);
    let outcome = load.end();
    assert!(outcome.lost.len() >= 3, "{outcome:?}");
}
