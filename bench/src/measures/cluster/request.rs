//! One request on a connection of its own, timed by the wall clock that the audit log has too.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::measures::TINY_PATH;

/// Between two attempts to connect to an address that refuses.
const RETRY: Duration = Duration::from_millis(1);

/// An answer of 200 with its times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered {
    pub(crate) sent: SystemTime,
    pub(crate) first_byte: SystemTime,
}

impl Answered {
    /// From sending to the first byte.
    pub(crate) fn took(self) -> Duration {
        between(self.sent, self.first_byte)
    }
}

/// A connection that was made, and how.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) stream: TcpStream,
    /// When, where an earlier attempt was refused; `None` when the first one succeeded: it accepted before we asked.
    pub(crate) began: Option<SystemTime>,
}

/// Connects to a pod, again and again until it accepts.
pub(crate) async fn connect(address: SocketAddr, within: Duration) -> Result<Accepted> {
    let attempts = async {
        let mut is_first = true;
        loop {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    let began = (!is_first).then(SystemTime::now);
                    return Accepted { stream, began };
                }
                Err(_) => tokio::time::sleep(RETRY).await,
            }
            is_first = false;
        }
    };
    let accepted = tokio::time::timeout(within, attempts).await;
    accepted.with_context(|| format!("{address} accepts nobody"))
}

/// In milliseconds.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Sends a GET for `host` and reads its whole answer, which must be 200.
pub(crate) async fn ask(stream: TcpStream, host: &str, within: Duration) -> Result<Answered> {
    ask_with(stream, host, "", within).await
}

/// The same with further header lines, each with its end.
pub(crate) async fn ask_with(
    stream: TcpStream,
    host: &str,
    headers: &str,
    within: Duration,
) -> Result<Answered> {
    let asked = tokio::time::timeout(within, exchange(stream, host, headers));
    asked
        .await
        .with_context(|| format!("{host}: no answer within {within:?}"))?
}

/// Asks a queue-proxy whether its function is ready, again and again until it is; when, where it was not at first.
pub(crate) async fn probe_queue(
    address: SocketAddr,
    within: Duration,
) -> Result<Option<SystemTime>> {
    let attempts = async {
        let mut is_first = true;
        loop {
            if let Ok(stream) = TcpStream::connect(address).await
                && exchange(stream, "queue", "K-Network-Probe: queue\r\n")
                    .await
                    .is_ok()
            {
                return (!is_first).then(SystemTime::now);
            }
            is_first = false;
            tokio::time::sleep(RETRY).await;
        }
    };
    let ready = tokio::time::timeout(within, attempts).await;
    ready.with_context(|| format!("the queue-proxy at {address} is not ready"))
}

async fn exchange(mut stream: TcpStream, host: &str, headers: &str) -> Result<Answered> {
    stream.set_nodelay(true)?;
    let request =
        format!("GET {TINY_PATH} HTTP/1.1\r\nHost: {host}\r\n{headers}Connection: close\r\n\r\n");
    let sent = SystemTime::now();
    stream.write_all(request.as_bytes()).await?;
    let mut answer = vec![0; 4096];
    let count = stream.read(&mut answer).await?;
    let first_byte = SystemTime::now();
    answer.truncate(count);
    stream.read_to_end(&mut answer).await?;
    anyhow::ensure!(
        answer.starts_with(b"HTTP/1.1 200 "),
        "{host}: {}",
        String::from_utf8_lossy(&answer)
    );
    Ok(Answered { sent, first_byte })
}

/// From one moment to a later one; zero where the clock says otherwise.
pub(crate) fn between(earlier: SystemTime, later: SystemTime) -> Duration {
    later.duration_since(earlier).unwrap_or_default()
}
