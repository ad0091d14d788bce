//! Requests at a steady rate, and every one that was lost.

use std::iter::repeat_n;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::Raw;
use crate::response::End;
use crate::wait::last;

/// Lost ones that are told in full.
const TOLD: usize = 20;

/// How long a second's worth of requests may take, some of which may wait for a cold start.
const PATIENCE: Duration = Duration::from_secs(90);

/// Requests under way.
#[derive(Debug)]
pub struct Load {
    /// Requests in a second, or at once.
    enough: usize,
    is_ended: Arc<AtomicBool>,
    /// Requests of which is known what became of them.
    done: Arc<AtomicUsize>,
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

/// Somebody who sends one request after the other.
#[derive(Clone, Debug)]
pub struct Sender {
    /// Where to.
    pub address: SocketAddr,
    /// Its bytes.
    pub head: String,
    /// On one connection while the other end keeps it; otherwise each on a connection of its own.
    pub is_kept: bool,
}

/// How many send to one address, and to all at least: so many requests can be under way.
const EACH: usize = 4;
const LEAST: usize = 8;

impl Load {
    /// Begins to send `GET target` to a host at these addresses, from four senders each; one of them opens a connection for
    /// every request.
    pub fn mixed(addresses: &[SocketAddr], host: &str, target: &str, per_second: u32) -> Self {
        let count = LEAST.max(addresses.len() * EACH);
        let senders = (0..count).map(|number| {
            let address = addresses[number / EACH % addresses.len()];
            let sender = Sender::get(address, host, target);
            if number % EACH == 0 {
                sender.closed()
            } else {
                sender
            }
        });
        Self::start(senders, per_second)
    }

    /// The same to one address, every request on a connection of its own.
    pub fn fresh(address: SocketAddr, host: &str, per_second: u32) -> Self {
        let sender = Sender::get(address, host, "/").closed();
        Self::start(repeat_n(sender, LEAST), per_second)
    }

    /// Keeps so many requests under way that take this long, and never more: each has its sender, who sends the next one at
    /// once. They end one after the other, so that hardly ever two are between their requests.
    pub fn held(sender: &Sender, count: usize, duration: Duration) -> Self {
        let senders: Vec<_> = repeat_n(sender.clone(), count).collect();
        let between = duration / u32::try_from(count).expect("they are few");
        Self::begin(senders, between, Duration::ZERO, count)
    }

    /// Begins to send: so many a second by all of them together, while their answers let them.
    pub fn start(senders: impl IntoIterator<Item = Sender>, per_second: u32) -> Self {
        let senders: Vec<_> = senders.into_iter().collect();
        let between = Duration::from_secs(1) / per_second;
        let pause = between * u32::try_from(senders.len()).expect("they are few");
        Self::begin(senders, between, pause, per_second as usize)
    }

    /// The first of each so long after that of the one before it; `pause` between two of one.
    fn begin(senders: Vec<Sender>, between: Duration, pause: Duration, enough: usize) -> Self {
        let is_ended = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicUsize::new(0));
        let begin = Instant::now();
        let threads = (0..).zip(senders).map(|(number, sender)| {
            let schedule = Schedule {
                begin,
                next: begin + between * number,
                pause,
            };
            let (is_ended, done) = (Arc::clone(&is_ended), Arc::clone(&done));
            thread::spawn(move || sender.send(schedule, &is_ended, &done))
        });
        Self {
            enough,
            senders: threads.collect(),
            is_ended,
            done,
        }
    }

    /// Waits for a second's worth of further requests, or as many as are held: what is there now is under load, however fast it
    /// came. After a minute and a half whoever ends it learns what became of those that there were.
    pub fn goes_on(&self) {
        let done = || self.done.load(Ordering::Relaxed);
        let (enough, end) = (done() + self.enough, Instant::now() + PATIENCE);
        while done() < enough && Instant::now() < end {
            last(Duration::from_millis(10));
        }
    }

    /// Lets it go on a little, stops sending and waits for the answers that are due.
    ///
    /// # Panics
    /// When a thread did.
    pub fn end(mut self) -> Outcome {
        self.goes_on();
        self.stop();
        let mut all = Outcome::default();
        for sender in std::mem::take(&mut self.senders) {
            all.add(sender.join().expect("a sender does not panic"));
        }
        all
    }

    fn stop(&self) {
        self.is_ended.store(true, Ordering::Relaxed);
        for sender in &self.senders {
            sender.thread().unpark();
        }
    }
}

/// Nobody sends for a test that has failed.
impl Drop for Load {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Outcome {
    /// Adds what became of others.
    pub fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.lost += other.lost;
        self.told.extend(other.told);
        self.told.truncate(TOLD);
        self.slowest = self.slowest.max(other.slowest);
    }

    /// Counts one that began then.
    pub fn count(&mut self, began: Instant, answer: Result<(), String>) {
        self.sent += 1;
        self.slowest = self.slowest.max(began.elapsed());
        if let Err(loss) = answer {
            self.lost += 1;
            if self.told.len() < TOLD {
                self.told.push(loss);
            }
        }
    }

    /// Says what it was, and that nothing was lost.
    ///
    /// # Panics
    /// When a request was.
    #[track_caller]
    pub fn assert_all_answered(&self, during: &str) {
        let Self {
            sent,
            lost,
            told,
            slowest,
        } = self;
        println!("{during}: {sent} requests, {lost} lost, the slowest took {slowest:?}");
        assert!(*sent > 0, "{during}: nothing was sent");
        assert_eq!(*lost, 0, "{during}: lost of {sent}: {told:#?}");
    }
}

/// When to send.
#[derive(Clone, Copy, Debug)]
struct Schedule {
    begin: Instant,
    next: Instant,
    pause: Duration,
}

impl Schedule {
    /// Waits for the next time; false when it is over before.
    fn wait(&mut self, is_ended: &AtomicBool) -> bool {
        // The rate of a load is its pauses: nothing is waited for here.
        while let Some(left) = self.next.checked_duration_since(Instant::now())
            && !is_ended.load(Ordering::Relaxed)
        {
            thread::park_timeout(left);
        }
        self.next = self.after(Instant::now());
        !is_ended.load(Ordering::Relaxed)
    }
}

impl Schedule {
    /// When the next one is due: after a slow answer the rate goes on, at the moments that are this sender's; what it cost is
    /// not made up for.
    fn after(&self, now: Instant) -> Instant {
        if self.pause.is_zero() {
            return self.next.max(now);
        }
        let late = now.saturating_duration_since(self.next).as_nanos() / self.pause.as_nanos();
        let late = u32::try_from(late).unwrap_or(u32::MAX - 1);
        self.next + self.pause * (late + 1)
    }
}

impl Sender {
    /// One that sends `GET target` to a host.
    pub fn get(address: SocketAddr, host: &str, target: &str) -> Self {
        Self {
            address,
            head: format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            is_kept: true,
        }
    }

    /// The same, each request on a connection of its own.
    #[must_use]
    pub fn closed(mut self) -> Self {
        let end = self.head.len() - "\r\n".len();
        self.head.insert_str(end, "Connection: close\r\n");
        self.is_kept = false;
        self
    }

    fn send(&self, mut at: Schedule, is_ended: &AtomicBool, done: &AtomicUsize) -> Outcome {
        let (mut outcome, mut connection) = (Outcome::default(), None);
        while at.wait(is_ended) {
            let began = Instant::now();
            let answer = match self.request(connection.take()) {
                Ok(kept) => {
                    connection = kept;
                    Ok(())
                }
                Err(loss) => {
                    let sent = began.duration_since(at.begin);
                    let after = began.elapsed();
                    Err(format!("sent at {sent:.1?}, after {after:.1?}: {loss}"))
                }
            };
            if answer.is_err() {
                // Somebody who is gone refuses at once.
                last(Duration::from_millis(10));
            }
            outcome.count(began, answer);
            done.fetch_add(1, Ordering::Relaxed);
        }
        outcome
    }

    /// Sends one; anything but a whole 200 is lost. Returns the connection where it can be used again.
    fn request(&self, kept: Option<Raw>) -> Result<Option<Raw>, String> {
        // What was closed before anything was sent is nobody's loss.
        let mut connection = match kept.and_then(|mut kept| kept.is_silent().then_some(kept)) {
            Some(kept) => kept,
            None => Raw::try_connect(self.address).map_err(|error| format!("connect: {error}"))?,
        };
        let io = |error: std::io::Error| error.to_string();
        connection.try_send(&self.head).map_err(io)?;
        let answer = connection.try_response().map_err(io)?;
        if answer.status != 200 || answer.end != End::Complete {
            let (status, end, text) = (answer.status, &answer.end, answer.text());
            return Err(format!("{status} {end:?} {text:?}"));
        }
        let is_last = answer
            .header("connection")
            .is_some_and(|it| it.eq_ignore_ascii_case("close"));
        Ok((self.is_kept && !is_last).then_some(connection))
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn what_a_stall_cost_is_not_made_up_for() {
        let begin = Instant::now();
        let (second, at) = (Duration::from_secs(1), |millis| {
            begin + Duration::from_millis(millis)
        });
        let mut schedule = Schedule {
            begin,
            next: begin,
            pause: second,
        };
        assert_eq!(schedule.after(at(10)), at(1_000));
        assert_eq!(schedule.after(at(3_400)), at(4_000));
        schedule.pause = Duration::ZERO;
        assert_eq!(schedule.after(at(3_400)), at(3_400));
    }

    /// Otherwise no figure of these tests would mean anything.
    #[test]
    fn a_request_without_an_answer_counts_as_lost() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let load = Load::mixed(&[address], "lost.example", "/", 100);
        for _ in 0..3 {
            drop(listener.accept().expect("one that sends"));
        }
        drop(listener);
        let outcome = load.end();
        assert!(outcome.sent >= 100, "{outcome:?}");
        assert_eq!(outcome.lost, outcome.sent, "{outcome:?}");
        assert_eq!(outcome.told.len(), TOLD);
    }
}
