//! Where HTTP/1 requests begin and end, checked more strictly than hyper does, before hyper reads.
//!
//! Refused: bare LF as the end of a line, `Content-Length` beside `Transfer-Encoding` or twice,
//! codings other than `chunked` (or in HTTP/1.0), folded lines, sloppy chunk sizes. The rest is
//! hyper's to refuse. The bytes themselves are left as they are.

#[cfg(test)]
mod tests;

/// Follows the bytes of one connection.
#[derive(Debug)]
pub(crate) struct Checker {
    state: State,
    /// A line of a head that began in an earlier read.
    carry: Vec<u8>,
    head: Head,
    max_line: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between requests.
    Start,
    Head,
    /// Bytes left of a body with `Content-Length`.
    Fixed(u64),
    ChunkSize {
        digits: u8,
        size: u64,
    },
    ChunkExtension {
        size: u64,
    },
    ChunkSizeEnd {
        size: u64,
    },
    Chunk(u64),
    ChunkEnd,
    ChunkEndLf,
    Trailers,
    /// Another protocol follows, or nothing that is read as a request.
    Opaque,
}

/// What one head said about its body.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    is_begun: bool,
    is_http11: bool,
    is_last: bool,
    is_chunked: bool,
    length: Option<u64>,
}

/// Where in its life a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing of the next request is here.
    Between,
    /// Some of a head is here.
    Head,
    /// A body, or another protocol.
    Beyond,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// In a head; everything before this offset may be passed on.
    Head(usize),
    /// In a body.
    Body,
}

/// As many hexadecimal digits as 64 bits have.
const MAX_CHUNK_DIGITS: u8 = 16;

impl Checker {
    pub(crate) fn new(max_line: usize) -> Self {
        Self {
            state: State::Start,
            carry: Vec::new(),
            head: Head::default(),
            max_line,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.state {
            State::Start => Phase::Between,
            State::Head => Phase::Head,
            _ => Phase::Beyond,
        }
    }

    /// Follows `bytes`, which came after all that were given before.
    pub(crate) fn follow(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            at += match self.state {
                State::Opaque => return Ok(()),
                State::Start | State::Head | State::Trailers => self.line(rest, at)?,
                State::Fixed(left) => self.skip(left, rest.len()),
                State::Chunk(left) => self.skip(left, rest.len()),
                _ => self.chunk_byte(rest[0]).ok_or(Fault::Body)?,
            };
        }
        Ok(())
    }

    /// Takes up to one line; the number of bytes taken.
    fn line(&mut self, rest: &[u8], at: usize) -> Result<usize, Fault> {
        let is_trailer = self.state == State::Trailers;
        if self.state == State::Start {
            self.state = State::Head;
        }
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            self.carry.extend_from_slice(rest);
            return if self.carry.len() <= self.max_line {
                Ok(rest.len())
            } else {
                Err(self.fault(at))
            };
        };
        let carried = std::mem::take(&mut self.carry);
        let is_fine = if carried.is_empty() {
            self.finish_line(&rest[..end])
        } else {
            let mut line = carried;
            line.extend_from_slice(&rest[..end]);
            self.finish_line(&line)
        };
        match is_fine {
            Some(()) => Ok(end + 1),
            None if is_trailer => Err(Fault::Body),
            None => Err(Fault::Head(at + end)),
        }
    }

    fn fault(&self, at: usize) -> Fault {
        if self.state == State::Trailers {
            Fault::Body
        } else {
            Fault::Head(at)
        }
    }

    /// Takes one line without its LF; `None` when it is not to be had.
    fn finish_line(&mut self, line: &[u8]) -> Option<()> {
        let line = line.strip_suffix(b"\r")?;
        if self.state == State::Trailers {
            if line.is_empty() {
                self.state = State::Start;
            }
            return (!starts_with_space(line)).then_some(());
        }
        match (self.head.is_begun, line.is_empty()) {
            // An empty line before a request is to be overlooked (RFC 9112 2.2).
            (false, true) => self.state = State::Start,
            (false, false) => self.head = Head::begin(line),
            (true, true) => self.state = std::mem::take(&mut self.head).body()?,
            (true, false) => self.head.field(line)?,
        }
        Some(())
    }

    /// Passes over body bytes.
    fn skip(&mut self, left: u64, here: usize) -> usize {
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(here);
        let left = left - taken as u64;
        self.state = match self.state {
            State::Chunk(_) if left == 0 => State::ChunkEnd,
            State::Chunk(_) => State::Chunk(left),
            _ if left == 0 => State::Start,
            _ => State::Fixed(left),
        };
        taken
    }

    fn chunk_byte(&mut self, byte: u8) -> Option<usize> {
        self.state = match (self.state, byte) {
            (State::ChunkSize { digits, size }, _) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16)?;
                (digits < MAX_CHUNK_DIGITS).then_some(State::ChunkSize {
                    digits: digits + 1,
                    size: size << 4 | u64::from(digit),
                })?
            }
            (State::ChunkSize { digits, size }, b'\r') if digits > 0 => {
                State::ChunkSizeEnd { size }
            }
            (State::ChunkSize { digits, size }, b';') if digits > 0 => {
                State::ChunkExtension { size }
            }
            (State::ChunkExtension { size }, b'\r') => State::ChunkSizeEnd { size },
            (State::ChunkExtension { .. }, b'\n' | 0) => return None,
            (State::ChunkExtension { size }, _) => State::ChunkExtension { size },
            (State::ChunkSizeEnd { size: 0 }, b'\n') => State::Trailers,
            (State::ChunkSizeEnd { size }, b'\n') => State::Chunk(size),
            (State::ChunkEnd, b'\r') => State::ChunkEndLf,
            (State::ChunkEndLf, b'\n') => State::ChunkSize { digits: 0, size: 0 },
            _ => return None,
        };
        Some(1)
    }
}

impl Head {
    fn begin(line: &[u8]) -> Self {
        Self {
            is_begun: true,
            is_http11: line.ends_with(b"HTTP/1.1"),
            // What follows is not a request, unless it is refused, which closes.
            is_last: line.starts_with(b"CONNECT "),
            ..Self::default()
        }
    }

    fn field(&mut self, line: &[u8]) -> Option<()> {
        // Only these concern us; the others are not looked at twice.
        if !matches!(
            line[0],
            b'c' | b'C' | b't' | b'T' | b'u' | b'U' | b' ' | b'\t'
        ) {
            return Some(());
        }
        if starts_with_space(line) {
            return None;
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let is_first = self.length.replace(number(value)?).is_none();
            is_first.then_some(())?;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let is_first = !std::mem::replace(&mut self.is_chunked, true);
            let is_plain = value.eq_ignore_ascii_case(b"chunked");
            (is_first && is_plain && self.is_http11).then_some(())?;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.is_last = true;
        }
        (self.length.is_none() || !self.is_chunked).then_some(())
    }

    /// What follows this head.
    fn body(self) -> Option<State> {
        Some(match self.length {
            _ if self.is_last => State::Opaque,
            _ if self.is_chunked => State::ChunkSize { digits: 0, size: 0 },
            None | Some(0) => State::Start,
            Some(length) => State::Fixed(length),
        })
    }
}

fn starts_with_space(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}

/// Digits alone: no sign, no list, no overflow.
fn number(value: &[u8]) -> Option<u64> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    is_number
        .then(|| std::str::from_utf8(value).ok()?.parse().ok())
        .flatten()
}
