//! HTTP/1.1 byte by byte: sends exactly what it is given, and reads what comes.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::response::{self, Response};
use crate::wait::PATIENCE;

/// One connection.
#[derive(Debug)]
pub struct Raw {
    reader: BufReader<TcpStream>,
}

impl Raw {
    /// Connects; every read and write is bounded by [`PATIENCE`].
    ///
    /// # Panics
    /// When nobody listens.
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap_or_else(|error| panic!("{address}: {error}"))
    }

    /// Connects, or says why not.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            reader: BufReader::new(stream),
        })
    }

    /// Bounds every read by another time than [`PATIENCE`].
    ///
    /// # Errors
    /// When the connection is broken.
    pub fn patient(self, limit: Duration) -> io::Result<Self> {
        self.reader.get_ref().set_read_timeout(Some(limit))?;
        Ok(self)
    }

    /// Sends bytes. What the peer no longer takes is lost: the answer tells.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let sent = self.try_send(bytes);
        debug_assert!(
            sent.is_ok() || sent.is_err_and(|e| is_gone(&e)),
            "the write timed out"
        );
        self
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// When the peer takes no more.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes.as_ref())
    }

    /// Sends a GET without a body.
    pub fn get(&mut self, host: &str, target: &str) -> &mut Self {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    }

    /// Says that nothing more will be sent. Peers may take it for the end of interest in an answer.
    pub fn finish(&mut self) {
        drop(self.reader.get_ref().shutdown(Shutdown::Write));
    }

    /// The address of this end.
    ///
    /// # Panics
    /// When the connection is gone.
    pub fn local(&self) -> SocketAddr {
        self.reader.get_ref().local_addr().expect("it is connected")
    }

    /// Reads one final answer; interim ones (1xx but 101) are passed over.
    ///
    /// # Panics
    /// When none comes.
    pub fn response(&mut self) -> Response {
        self.try_response()
            .unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    /// Reads one final answer.
    ///
    /// # Errors
    /// When the connection ends, or stays silent, before a head is complete.
    pub fn try_response(&mut self) -> io::Result<Response> {
        loop {
            let mut head = self.head()?;
            if head.status == 101 {
                return Ok(head);
            }
            if !(100..200).contains(&head.status) {
                response::read_body(&mut self.reader, &mut head);
                return Ok(head);
            }
        }
    }

    /// Reads the answer to HEAD: it has no body whatever its head says.
    ///
    /// # Panics
    /// When none comes.
    pub fn response_without_body(&mut self) -> Response {
        self.head()
            .unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    /// Reads one head, interim ones included.
    ///
    /// # Errors
    /// When the connection ends, or stays silent, before it is complete.
    pub fn head(&mut self) -> io::Result<Response> {
        response::read_head(&mut self.reader)
    }

    /// Reads bytes of an upgraded connection.
    ///
    /// # Panics
    /// When they do not come.
    pub fn exactly(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.reader
            .read_exact(&mut bytes)
            .unwrap_or_else(|error| panic!("{length} bytes: {error}"));
        bytes
    }

    /// Reads a line without its end.
    ///
    /// # Errors
    /// When the connection ends, or stays silent, before it is complete.
    pub fn line(&mut self) -> io::Result<String> {
        response::read_line(&mut self.reader)
    }

    /// Reads until the peer closes; empty when it closed without a word, or by a reset.
    ///
    /// # Panics
    /// When it stays open and silent.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.reader.read_to_end(&mut bytes) {
            Err(error) if !is_gone(&error) => panic!("it stayed open: {error}"),
            Ok(_) | Err(_) => bytes,
        }
    }

    /// Waits until something can be read, or the peer closed.
    ///
    /// # Panics
    /// When nothing happens.
    pub fn wait_readable(&mut self) {
        if let Err(error) = self.reader.fill_buf() {
            assert!(is_gone(&error), "nothing came: {error}");
        }
    }

    /// Waits until something can be read, the peer closed, or the time is over.
    ///
    /// # Panics
    /// When the connection is broken in another way.
    pub fn readable_within(&mut self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        while self.is_silent() {
            if Instant::now() > end {
                return false;
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        true
    }

    /// Whether the peer has sent or closed anything yet; returns at once.
    pub fn is_silent(&mut self) -> bool {
        if !self.reader.buffer().is_empty() {
            return false;
        }
        let stream = self.reader.get_ref();
        stream
            .set_nonblocking(true)
            .expect("a socket can be made non-blocking");
        let peeked = stream.peek(&mut [0]);
        stream
            .set_nonblocking(false)
            .expect("a socket can be made blocking");
        peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl Read for Raw {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

/// Whether the peer ended the connection, in whatever manner.
pub fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof,
    };
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof
    )
}
