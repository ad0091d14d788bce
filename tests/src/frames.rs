//! HTTP/2 frame by frame (RFC 9113 section 4), for peers that do what no client does.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::raw::is_gone;
use crate::wait::PATIENCE;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frame types (RFC 9113 section 6).
pub const DATA: u8 = 0;
/// See [`DATA`].
pub const HEADERS: u8 = 1;
/// See [`DATA`].
pub const RST_STREAM: u8 = 3;
/// See [`DATA`].
pub const SETTINGS: u8 = 4;
/// See [`DATA`].
pub const PING: u8 = 6;
/// See [`DATA`].
pub const GOAWAY: u8 = 7;
/// See [`DATA`].
pub const WINDOW_UPDATE: u8 = 8;
/// See [`DATA`].
pub const CONTINUATION: u8 = 9;

/// Flag of DATA and HEADERS.
pub const END_STREAM: u8 = 1;
/// Flag of SETTINGS and PING.
pub const ACK: u8 = 1;
/// Flag of HEADERS and CONTINUATION.
pub const END_HEADERS: u8 = 4;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0 is the connection.
    pub stream: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// How the peer ended a connection or a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// GOAWAY with this error code.
    GoAway(u32),
    /// RST_STREAM with this error code.
    Reset(u32),
    /// The connection closed without a word.
    Closed,
}

/// One connection.
#[derive(Debug)]
pub struct Frames {
    stream: TcpStream,
}

impl Frames {
    /// Connects and says hello.
    ///
    /// # Panics
    /// When nobody listens.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("somebody listens");
        stream.set_nodelay(true).expect("it is a TCP socket");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("the time is not zero");
        stream
            .set_write_timeout(Some(PATIENCE))
            .expect("the time is not zero");
        let mut frames = Self { stream };
        frames.stream.write_all(PREFACE).expect("the peer reads");
        frames.send(SETTINGS, 0, 0, &[]).expect("the peer reads");
        frames
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// When the peer takes no more.
    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        self.stream
            .write_all(&encoded(kind, flags, stream, payload))
    }

    /// Sends bytes that may be many frames.
    ///
    /// # Errors
    /// When the peer takes no more.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// From now on a write that the peer does not take for two seconds fails.
    ///
    /// # Panics
    /// When the connection is gone.
    pub fn limit_writes(&mut self) {
        let limit = Some(std::time::Duration::from_secs(2));
        self.stream
            .set_write_timeout(limit)
            .expect("the time is not zero");
    }

    /// Reads one frame.
    ///
    /// # Errors
    /// When the connection ends, or stays silent.
    pub fn read(&mut self) -> io::Result<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head)?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.stream.read_exact(&mut payload)?;
        let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
        Ok(Frame {
            kind,
            flags,
            stream,
            payload,
        })
    }

    /// Reads until the peer ends the connection.
    ///
    /// # Panics
    /// When it does not.
    pub fn until_ended(&mut self) -> Ended {
        loop {
            match self.read() {
                Ok(frame) if frame.kind == GOAWAY => {
                    return Ended::GoAway(code(&frame.payload[4..]));
                }
                Ok(_) => {}
                Err(error) if is_gone(&error) => return Ended::Closed,
                Err(error) => panic!("the connection stayed open: {error}"),
            }
        }
    }

    /// Reads until the first frame about `stream` that answers it, or the end of it.
    ///
    /// # Panics
    /// When neither comes.
    pub fn answer(&mut self, stream: u32) -> Result<Frame, Ended> {
        loop {
            match self.read() {
                Ok(frame) if frame.kind == GOAWAY => {
                    return Err(Ended::GoAway(code(&frame.payload[4..])));
                }
                Ok(frame) if frame.stream == stream && frame.kind == RST_STREAM => {
                    return Err(Ended::Reset(code(&frame.payload)));
                }
                Ok(frame) if frame.stream == stream && frame.kind == HEADERS => return Ok(frame),
                Ok(_) => {}
                Err(error) if is_gone(&error) => return Err(Ended::Closed),
                Err(error) => panic!("stream {stream} got no answer: {error}"),
            }
        }
    }
}

/// One frame as bytes.
///
/// # Panics
/// When the payload is longer than a frame can be.
pub fn encoded(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("it fits").to_be_bytes();
    assert_eq!(length[0], 0, "a frame has a length of three bytes");
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Header fields as HPACK literals that are not indexed (RFC 7541 section 6.2.2).
pub fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            integer(&mut block, text.len());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// The fields of a plain request.
pub fn request(method: &str, host: &str, path: &str) -> Vec<u8> {
    fields(&[
        (":method", method),
        (":scheme", "http"),
        (":authority", host),
        (":path", path),
    ])
}

/// An integer with a prefix of seven bits (RFC 7541 section 5.1).
fn integer(block: &mut Vec<u8>, value: usize) {
    if let Ok(short @ 0..127) = u8::try_from(value) {
        block.push(short);
        return;
    }
    block.push(127);
    let mut rest = value - 127;
    while rest >= 128 {
        block.push(rest.to_le_bytes()[0] | 128);
        rest /= 128;
    }
    block.push(rest.to_le_bytes()[0]);
}

fn code(bytes: &[u8]) -> u32 {
    bytes
        .first_chunk()
        .map_or(u32::MAX, |&bytes| u32::from_be_bytes(bytes))
}
