//! One answer as it came over the wire.

use std::io::{self, BufRead, Read};

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All that was announced came.
    Complete,
    /// The connection ended before; or the framing was broken.
    Truncated,
}

/// One answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Fields in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body without its framing.
    pub body: Vec<u8>,
    /// Trailer fields in order, names in lower case.
    pub trailers: Vec<(String, String)>,
    /// How the body ended.
    pub end: End,
}

impl Response {
    /// The first value of a header, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }
}

/// Reads one head, interim ones included.
pub(crate) fn read_head(from: &mut impl BufRead) -> io::Result<Response> {
    let status_line = read_line(from)?;
    let status = status_line
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no HTTP: {status_line:?}")))?;
    Ok(Response {
        status,
        headers: read_fields(from)?,
        body: Vec::new(),
        trailers: Vec::new(),
        end: End::Complete,
    })
}

/// Reads the body that `head` announces into it (RFC 9112 section 6.3).
pub(crate) fn read_body(from: &mut impl BufRead, head: &mut Response) {
    let is_chunked = head
        .header("transfer-encoding")
        .is_some_and(|v| v.contains("chunked"));
    let length = head
        .header("content-length")
        .and_then(|length| length.parse().ok());
    let read = match (is_chunked, length) {
        _ if matches!(head.status, 204 | 304) => Ok(()),
        (true, _) => read_chunks(from, head),
        (false, Some(length)) => read_bytes(from, length, &mut head.body),
        (false, None) => from.read_to_end(&mut head.body).map(drop),
    };
    if read.is_err() {
        head.end = End::Truncated;
    }
}

/// Reads a line without its end.
pub(crate) fn read_line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    from.read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let text = String::from_utf8_lossy(&line);
    Ok(text.trim_end_matches('\r').to_owned())
}

fn read_fields(from: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut fields = Vec::new();
    loop {
        let line = read_line(from)?;
        if line.is_empty() {
            return Ok(fields);
        }
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn read_chunks(from: &mut impl BufRead, into: &mut Response) -> io::Result<()> {
    loop {
        let line = read_line(from)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        match u64::from_str_radix(size, 16).map_err(io::Error::other)? {
            0 => break,
            size => read_bytes(from, size, &mut into.body)?,
        }
        if !read_line(from)?.is_empty() {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    into.trailers = read_fields(from)?;
    Ok(())
}

fn read_bytes(from: &mut impl BufRead, length: u64, into: &mut Vec<u8>) -> io::Result<()> {
    let read = from.take(length).read_to_end(into)?;
    if read as u64 == length {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}
