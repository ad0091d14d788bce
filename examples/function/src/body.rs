//! The body of a request, read piece by piece: by length or by chunks (RFC 9112 section 6).

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::request::Request;

/// Longest chunk-size or trailer line that is read.
const MAX_LINE: u64 = 16 * 1024;

/// What is left of one body.
#[derive(Debug)]
pub(crate) struct Body<'a> {
    reader: &'a mut BufReader<TcpStream>,
    left: Left,
    awaits_continue: bool,
    /// Trailer lines, once the end was read.
    pub(crate) trailers: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Left {
    Nothing,
    Bytes(u64),
    /// Bytes left of this chunk; zero means a size line comes next.
    Chunk(u64),
}

impl<'a> Body<'a> {
    /// The body that the head of `request` announces.
    pub(crate) fn of(request: &Request, reader: &'a mut BufReader<TcpStream>) -> io::Result<Self> {
        let left = if request.lists("transfer-encoding", "chunked") {
            Left::Chunk(0)
        } else {
            match request.header("content-length") {
                Some(length) => Left::Bytes(length.parse().map_err(|_| malformed())?),
                None => Left::Nothing,
            }
        };
        Ok(Self {
            reader,
            left,
            awaits_continue: request.lists("expect", "100-continue"),
            trailers: Vec::new(),
        })
    }

    /// Whether everything announced was read.
    pub(crate) fn is_read(&self) -> bool {
        matches!(self.left, Left::Nothing | Left::Bytes(0))
    }

    /// The connection under it, for answers.
    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        self.reader.get_mut()
    }

    /// Reads and counts all that is left.
    pub(crate) fn count(&mut self) -> io::Result<u64> {
        io::copy(self, &mut io::sink())
    }

    /// Reads all that is left, at most `limit` bytes of it.
    pub(crate) fn collect(&mut self, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn read_some(&mut self, buffer: &mut [u8], left: u64) -> io::Result<u64> {
        let wanted = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        match self.reader.read(&mut buffer[..wanted])? {
            0 if wanted > 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => Ok(read as u64),
        }
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        let line = self.line()?;
        let size = line.split(';').next().unwrap_or_default().trim();
        match u64::from_str_radix(size, 16).map_err(|_| malformed())? {
            0 => self.read_trailers(),
            size => {
                self.left = Left::Chunk(size);
                Ok(())
            }
        }
    }

    fn read_trailers(&mut self) -> io::Result<()> {
        self.left = Left::Nothing;
        loop {
            match self.line()? {
                line if line.is_empty() => return Ok(()),
                line => self.trailers.push(line),
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        let limited = &mut self.reader;
        limited.take(MAX_LINE).read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(crate::text::latin1(&line))
    }

    fn send_continue(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.awaits_continue) && !self.is_read() {
            self.stream().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        Ok(())
    }
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.send_continue()?;
        if self.left == Left::Chunk(0) {
            self.next_chunk()?;
        }
        let read = match self.left {
            Left::Nothing | Left::Bytes(0) => return Ok(0),
            Left::Bytes(left) | Left::Chunk(left) => self.read_some(buffer, left)?,
        };
        match &mut self.left {
            Left::Nothing => {}
            Left::Bytes(left) => *left -= read,
            Left::Chunk(left) => {
                *left -= read;
                if *left == 0 && !self.line()?.is_empty() {
                    return Err(malformed());
                }
            }
        }
        Ok(usize::try_from(read).expect("at most the buffer's length"))
    }
}

fn malformed() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// The far end stays open and silent, so that a read too many would block.
    fn parsed(wire: &str) -> (String, Vec<String>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        peer.write_all(wire.as_bytes()).unwrap();
        let mut reader = BufReader::new(listener.accept().unwrap().0);
        let timeout = Some(std::time::Duration::from_secs(5));
        reader.get_ref().set_read_timeout(timeout).unwrap();
        let request = Request::read(&mut reader).unwrap().unwrap();
        let mut body = Body::of(&request, &mut reader).unwrap();
        let bytes = body.collect(u64::MAX).unwrap();
        assert!(body.is_read());
        (crate::text::latin1(&bytes), body.trailers, peer)
    }

    #[test]
    fn a_body_by_length_ends_without_waiting_for_more() {
        let (body, _, _peer) = parsed("POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello");
        assert_eq!(body, "hello");
    }

    #[test]
    fn a_body_by_chunks_ends_with_its_trailers() {
        let wire = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nhe\r\n3\r\nllo\r\n0\r\nX-End: 1\r\n\r\n";
        let (body, trailers, _peer) = parsed(wire);
        assert_eq!(
            (body.as_str(), trailers.as_slice()),
            ("hello", ["X-End: 1".to_owned()].as_slice())
        );
    }

    #[test]
    fn the_client_is_told_to_go_on_before_the_body_is_read() {
        let wire = "POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi";
        let (body, _, mut peer) = parsed(wire);
        let mut interim = [0; 25];
        peer.read_exact(&mut interim).unwrap();
        assert_eq!(
            (body.as_str(), &interim),
            ("hi", b"HTTP/1.1 100 Continue\r\n\r\n")
        );
    }
}
