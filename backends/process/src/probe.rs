//! Asks a replica whether it is ready, without waiting.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, SendFlags, SocketFlags, SocketType, connect, getpeername, getsockname, ipproto,
    send, socket_with, sockopt,
};
use zeron_core::workload::{ProbeCheck, ReadinessProbe};

/// Shortest step between two attempts.
const FINEST: Duration = Duration::from_micros(100);
/// Longest step while a replica has not answered at all.
const COARSEST: Duration = Duration::from_millis(100);
/// Steps are this part of the time since the start: readiness is seen about 3 % late.
const PART: u32 = 32;
/// Shortest step once a replica answers, but not positively: each attempt costs it work.
const ANSWERED: Duration = Duration::from_millis(20);
/// So long after the start a declared period begins to hold for replicas that answer.
const FAST_FOR: Duration = Duration::from_secs(1);
/// So long after the start it holds for all.
const FAST_CONNECT_FOR: Duration = Duration::from_secs(10);
/// Shortest period that is kept.
const MIN_PERIOD: Duration = Duration::from_millis(10);
/// Bytes of an HTTP answer that are enough to see its status.
const STATUS_LINE: usize = 12;

/// What an attempt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Ready.
    Yes,
    /// Something answered: not ready.
    No,
    /// Nothing listens yet, or the attempt failed.
    Refused,
}

/// How far one attempt is.
#[derive(Debug)]
pub(crate) enum Progress {
    Done(Outcome),
    /// Call [`Attempt::advance`] when its descriptor is ready.
    Pending(Attempt),
}

/// One attempt under way.
#[derive(Debug)]
pub(crate) struct Attempt {
    socket: OwnedFd,
    stage: Stage,
    /// Request to send once connected; empty for TCP.
    request: String,
    answer: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Connecting,
    Reading,
}

impl Attempt {
    /// Begins an attempt at `address`. On loopback a refusal is known at once.
    pub(crate) fn begin(check: &ProbeCheck, address: Option<SocketAddr>) -> Progress {
        let Some((target, request)) = target(check, address) else {
            return Progress::Done(Outcome::Yes);
        };
        let family = match target {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let Ok(socket) = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP)) else {
            return Progress::Done(Outcome::Refused);
        };
        match connect(&socket, &target) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
            Err(_) => return Progress::Done(Outcome::Refused),
        }
        let attempt = Self {
            socket,
            stage: Stage::Connecting,
            request,
            answer: Vec::new(),
        };
        if attempt.is_writable() {
            attempt.advance()
        } else {
            Progress::Pending(attempt)
        }
    }

    /// Goes on after its descriptor became ready.
    pub(crate) fn advance(mut self) -> Progress {
        match self.stage {
            Stage::Connecting => self.connected(),
            Stage::Reading => match self.read() {
                Some(outcome) => Progress::Done(outcome),
                None => Progress::Pending(self),
            },
        }
    }

    /// Whether the descriptor is to be watched for data rather than for the end of the connect.
    pub(crate) fn is_reading(&self) -> bool {
        self.stage == Stage::Reading
    }

    fn connected(mut self) -> Progress {
        let is_connected = matches!(sockopt::socket_error(&self.socket), Ok(Ok(())));
        if !is_connected || self.is_self_connected() {
            return Progress::Done(Outcome::Refused);
        }
        if self.request.is_empty() {
            return Progress::Done(Outcome::Yes);
        }
        let sent = send(&self.socket, self.request.as_bytes(), SendFlags::NOSIGNAL);
        if sent != Ok(self.request.len()) {
            return Progress::Done(Outcome::No);
        }
        self.stage = Stage::Reading;
        Progress::Pending(self)
    }

    fn read(&mut self) -> Option<Outcome> {
        let mut bytes = [0u8; 64];
        match rustix::io::read(&self.socket, &mut bytes[..]) {
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => None,
            Ok(0) | Err(_) => Some(Outcome::No),
            Ok(count) => {
                self.answer.extend_from_slice(&bytes[..count]);
                (self.answer.len() >= STATUS_LINE).then(|| judge(&self.answer))
            }
        }
    }

    fn is_writable(&self) -> bool {
        let mut set = [PollFd::new(&self.socket, PollFlags::OUT)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        matches!(poll(&mut set, Some(&now)), Ok(1))
    }

    /// A port of the ephemeral range can be connected to itself when nobody listens.
    fn is_self_connected(&self) -> bool {
        match (getsockname(&self.socket), getpeername(&self.socket)) {
            (Ok(own), Ok(Some(peer))) => own == peer,
            _ => true,
        }
    }
}

impl AsFd for Attempt {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Where to ask and what to send; `None`: running is enough.
fn target(check: &ProbeCheck, address: Option<SocketAddr>) -> Option<(SocketAddr, String)> {
    let own = address?;
    match check {
        ProbeCheck::Started => None,
        // A listener is enough here: manifests of this machine declare no grpc probe.
        ProbeCheck::Tcp { port } | ProbeCheck::Grpc { port, .. } => {
            let port = port.map_or(own.port(), |port| port.get());
            Some((SocketAddr::new(own.ip(), port), String::new()))
        }
        ProbeCheck::Http {
            path,
            headers,
            port,
        } => {
            let port = port.map_or(own.port(), |port| port.get());
            let target = SocketAddr::new(own.ip(), port);
            Some((target, request(path, headers, target)))
        }
        // Its status is enough here: manifests of this machine declare no such probe.
        ProbeCheck::HttpBody { path, headers, .. } => Some((own, request(path, headers, own))),
    }
}

/// The kubelet's user agent prefix: functions and their proxies know probes by it.
fn request(path: &str, headers: &[(String, String)], target: SocketAddr) -> String {
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut request = format!("GET {slash}{path} HTTP/1.1\r\n");
    let given = |name: &str| headers.iter().any(|(h, _)| h.eq_ignore_ascii_case(name));
    let defaults = [
        ("Host", target.to_string()),
        ("User-Agent", "kube-probe/1.34".to_owned()),
        ("Accept", "*/*".to_owned()),
    ];
    for (name, value) in defaults.iter().filter(|(name, _)| !given(name)) {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("Connection: close\r\n\r\n");
    request
}

/// 200..=399 is yes, as for the kubelet.
fn judge(answer: &[u8]) -> Outcome {
    let is_http = answer.starts_with(b"HTTP/1.");
    match answer.get(9..12) {
        Some([b'2' | b'3', tens, ones])
            if is_http && tens.is_ascii_digit() && ones.is_ascii_digit() =>
        {
            Outcome::Yes
        }
        _ => Outcome::No,
    }
}

/// When a replica is asked, and what the answers make of it.
#[derive(Debug)]
pub(crate) struct Schedule {
    started: Instant,
    successes: u32,
    failures: u32,
    is_ready: bool,
}

/// What an outcome changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    BecameReady,
    BecameUnready,
    Unchanged,
}

impl Schedule {
    pub(crate) fn new(started: Instant) -> Self {
        Self {
            started,
            successes: 0,
            failures: 0,
            is_ready: false,
        }
    }

    pub(crate) fn record(&mut self, outcome: Outcome, probe: &ReadinessProbe) -> Verdict {
        if outcome == Outcome::Yes {
            self.failures = 0;
            self.successes = self.successes.saturating_add(1);
            if !self.is_ready && self.successes >= probe.success_threshold {
                self.is_ready = true;
                return Verdict::BecameReady;
            }
        } else {
            self.successes = 0;
            self.failures = self.failures.saturating_add(1);
            if self.is_ready && self.failures >= probe.failure_threshold {
                self.is_ready = false;
                return Verdict::BecameUnready;
            }
        }
        Verdict::Unchanged
    }

    /// Time from `now` to the next attempt; `None`: no more. `crowd` is how many replicas are
    /// probed for their first readiness: they share what probing may cost.
    pub(crate) fn next(
        &self,
        outcome: Outcome,
        probe: &ReadinessProbe,
        now: Instant,
        crowd: u32,
    ) -> Option<Duration> {
        let period = probe.period.map(|period| period.max(MIN_PERIOD));
        if self.is_ready {
            return period;
        }
        let age = now.saturating_duration_since(self.started);
        let finest = FINEST.saturating_mul((crowd / 2).max(1)).min(COARSEST);
        let step = (age / PART).clamp(finest, COARSEST);
        let (step, fast_for) = match outcome {
            Outcome::Refused => (step, FAST_CONNECT_FOR),
            Outcome::Yes | Outcome::No => (step.max(ANSWERED), FAST_FOR),
        };
        match period {
            Some(period) if age > fast_for => Some(period),
            _ => Some(step),
        }
    }
}

#[cfg(test)]
mod tests;
