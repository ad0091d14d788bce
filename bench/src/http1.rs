//! A blocking HTTP/1.1 client for one request per connection: no runtime between the clock and the socket.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Sends a GET on a connection of its own and reads the whole answer. Every step is bounded by `timeout`.
pub(crate) fn get(
    address: SocketAddr,
    host: &str,
    path: &str,
    timeout: Duration,
) -> Result<Answer> {
    let stream = TcpStream::connect_timeout(&address, timeout)
        .with_context(|| format!("connect to {address}"))?;
    finish(first_byte(stream, host, path, timeout)?)
}

/// An answer whose first bytes have arrived.
#[derive(Debug)]
pub(crate) struct Begun {
    stream: TcpStream,
    received: Vec<u8>,
    /// When the first byte was here.
    pub(crate) at: Instant,
}

/// Sends a GET and waits for the first byte of its answer.
pub(crate) fn first_byte(
    mut stream: TcpStream,
    host: &str,
    path: &str,
    timeout: Duration,
) -> Result<Begun> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut received = vec![0; 16 * 1024];
    let count = stream.read(&mut received).context("no answer")?;
    let at = Instant::now();
    received.truncate(count);
    Ok(Begun {
        stream,
        received,
        at,
    })
}

/// Reads the rest of an answer, to the end of the connection.
pub(crate) fn finish(mut begun: Begun) -> Result<Answer> {
    begun.stream.read_to_end(&mut begun.received)?;
    parse(&begun.received)
}

fn parse(bytes: &[u8]) -> Result<Answer> {
    let end = bytes
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .context("answer without an end of its head")?;
    let head = std::str::from_utf8(&bytes[..end])?.to_ascii_lowercase();
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|s| s.parse().ok())
        .context("answer without a status")?;
    let rest = &bytes[end + 4..];
    let body = if head.contains("\r\ntransfer-encoding: chunked") {
        unchunk(rest)?
    } else {
        rest.to_vec()
    };
    if let Some(length) = head
        .split("\r\n")
        .find_map(|line| line.strip_prefix("content-length:"))
    {
        let length: usize = length.trim().parse()?;
        anyhow::ensure!(
            body.len() == length,
            "body of {} bytes where {length} were announced",
            body.len()
        );
    }
    Ok(Answer { status, body })
}

fn unchunk(mut rest: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest
            .windows(2)
            .position(|w| w == b"\r\n")
            .context("chunk without a size")?;
        let size = std::str::from_utf8(&rest[..end])?
            .split(';')
            .next()
            .unwrap_or_default();
        let size = usize::from_str_radix(size.trim(), 16)?;
        rest = &rest[end + 2..];
        if size == 0 {
            return Ok(body);
        }
        let Some(chunk) = rest.get(..size + 2) else {
            bail!("chunk cut short");
        };
        body.extend_from_slice(&chunk[..size]);
        rest = &rest[size + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_of_known_length_is_read() {
        let answer = parse(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").unwrap();
        assert_eq!(
            (answer.status, answer.body.as_slice()),
            (200, b"hi".as_slice())
        );
    }

    #[test]
    fn a_short_body_is_an_error() {
        assert!(parse(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi").is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab").is_err());
    }

    #[test]
    fn chunks_are_joined() {
        let answer = parse(b"HTTP/1.1 503 X\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n").unwrap();
        assert_eq!(
            (answer.status, answer.body.as_slice()),
            (503, b"abc".as_slice())
        );
    }
}
