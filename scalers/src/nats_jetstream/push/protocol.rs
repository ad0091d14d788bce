//! What a server sends (<https://docs.nats.io/reference/reference-protocols/nats-protocol>), line by line.

use std::collections::HashMap;
use std::io;

use parking_lot::Mutex;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader, copy, sink};
use tokio::sync::Notify;
use zeron_core::metric::{Unknown, UnknownKind};

use super::subscriptions::Sid;
use crate::source::unknown;

/// Longest line: a server of a large cluster names all others in its `INFO`.
const MAX_LINE: u64 = 64 << 10;

/// Largest message that a server can be configured to let pass. It is read and not kept.
const MAX_PAYLOAD: u64 = 64 << 20;

/// Refusals, in small letters, of one subscription and not of the connection.
const OF_ONE_SUBSCRIPTION: [&str; 3] = [
    "permissions violation",
    "invalid subject",
    "maximum subscriptions exceeded",
];

/// Subscriptions of which messages are noted at once: more than there ever are.
const MAX_SIDS: usize = 4_096;

/// What a server says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Info {
    #[serde(default)]
    pub(super) tls_required: bool,
    #[serde(default)]
    pub(super) tls_available: bool,
}

/// One thing that a server sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Info(Info),
    /// A message, whose payload of so many bytes follows.
    Message {
        sid: Sid,
        payload: u64,
    },
    Ping,
    Pong,
    Ok,
    /// A subject, named or not, may or can not be subscribed; the connection is as good as before.
    Forbidden(Option<String>),
}

/// Reads from a server.
#[derive(Debug)]
pub(super) struct Reader<S> {
    stream: BufReader<S>,
    line: Vec<u8>,
}

impl<S: AsyncRead + Unpin> Reader<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream: BufReader::new(stream),
            line: Vec::new(),
        }
    }

    /// The stream, if nothing more was read from it already.
    pub(super) fn into_inner(self) -> Option<S> {
        self.stream
            .buffer()
            .is_empty()
            .then(|| self.stream.into_inner())
    }

    /// What is said next. After a message [`Self::skip`] is due.
    ///
    /// # Errors
    /// When the connection ends, or is of no use any more.
    pub(super) async fn next(&mut self) -> Result<Said, Unknown> {
        self.line.clear();
        let mut line = (&mut self.stream).take(MAX_LINE);
        let read = line.read_until(b'\n', &mut self.line).await;
        read.map_err(|error| lost(&error))?;
        match self.line.strip_suffix(b"\n") {
            Some(line) => parse(line),
            None if self.line.is_empty() => {
                let message = "the server closed the connection";
                Err(unknown(UnknownKind::Transport, message))
            }
            None => Err(garbage()),
        }
    }

    /// Passes over a payload and its end.
    ///
    /// # Errors
    /// When the connection ends before.
    pub(super) async fn skip(&mut self, payload: u64) -> Result<(), Unknown> {
        let length = payload + 2;
        let mut payload = (&mut self.stream).take(length);
        let skipped = copy(&mut payload, &mut sink()).await;
        match skipped.map_err(|error| lost(&error))? == length {
            true => Ok(()),
            false => Err(unknown(UnknownKind::Transport, "a message ended early")),
        }
    }
}

fn parse(line: &[u8]) -> Result<Said, Unknown> {
    let line = str::from_utf8(line).map_err(|_| garbage())?.trim_end();
    let (word, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    match word.to_ascii_uppercase().as_str() {
        "MSG" => message(rest).ok_or_else(garbage),
        "PING" => Ok(Said::Ping),
        "PONG" => Ok(Said::Pong),
        "+OK" => Ok(Said::Ok),
        "INFO" => {
            let info = serde_json::from_str(rest).map_err(|_| garbage())?;
            Ok(Said::Info(info))
        }
        "-ERR" => refusal(rest),
        _ => Err(garbage()),
    }
}

/// `<subject> <sid> [reply] <bytes>`.
fn message(rest: &str) -> Option<Said> {
    let words: Vec<_> = rest.split_ascii_whitespace().collect();
    let (sid, payload) = match words.as_slice() {
        [_, sid, payload] | [_, sid, _, payload] => (sid, payload),
        _ => return None,
    };
    let payload = payload.parse().ok().filter(|it| *it <= MAX_PAYLOAD)?;
    Some(Said::Message {
        sid: sid.parse().ok()?,
        payload,
    })
}

/// The server's words are not repeated: it knows what we showed to it.
fn refusal(words: &str) -> Result<Said, Unknown> {
    let named = words.split('"').nth(1).map(str::to_owned);
    let words = words.to_ascii_lowercase();
    if OF_ONE_SUBSCRIPTION.iter().any(|it| words.contains(it)) {
        return Ok(Said::Forbidden(named));
    }
    let is_login = ["authorization", "authentication", "account"];
    if is_login.iter().any(|it| words.contains(it)) {
        let message = "the server refused the credentials";
        return Err(unknown(UnknownKind::Authentication, message));
    }
    let message = "the server ended the connection with an error";
    Err(unknown(UnknownKind::Transport, message))
}

pub(super) fn lost(error: &io::Error) -> Unknown {
    unknown(
        UnknownKind::Transport,
        format!("the connection broke: {error}"),
    )
}

fn garbage() -> Unknown {
    unknown(UnknownKind::Parse, "the server does not speak NATS")
}

/// What was heard and not looked at yet.
#[derive(Debug, Default)]
pub(super) struct Heard {
    news: Mutex<News>,
    arrived: Notify,
}

/// What was heard since the last look.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Messages of each subscription.
    pub(super) messages: HashMap<Sid, u32>,
    /// Whether the server waits for an answer.
    pub(super) is_pinged: bool,
}

impl Heard {
    pub(super) fn note_message(&self, sid: Sid) {
        let messages = &mut self.news.lock().messages;
        if messages.len() < MAX_SIDS || messages.contains_key(&sid) {
            let count = messages.entry(sid).or_default();
            *count = count.saturating_add(1);
            self.arrived.notify_one();
        }
    }

    pub(super) fn note_ping(&self) {
        self.news.lock().is_pinged = true;
        self.arrived.notify_one();
    }

    /// Waits for something.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Takes all of it.
    pub(super) fn take(&self) -> News {
        std::mem::take(&mut *self.news.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &[u8]) -> Result<Said, UnknownKind> {
        let said = Reader::new(text).next().await;
        said.map_err(|reason| reason.kind)
    }

    #[tokio::test]
    async fn everything_that_a_server_says_is_understood() {
        let message = |sid, payload| Said::Message { sid, payload };
        for (text, said) in [
            ("PING\r\n", Said::Ping),
            ("pong\r\n", Said::Pong),
            ("+OK\r\n", Said::Ok),
            ("MSG orders.new 7 5\r\n", message(7, 5)),
            ("MSG orders.new 7 _INBOX.1  5\r\n", message(7, 5)),
            ("MSG\torders 7\t0\r\n", message(7, 0)),
            (
                "INFO {\"server_id\":\"x\",\"tls_required\":true}\r\n",
                Said::Info(Info {
                    tls_required: true,
                    tls_available: false,
                }),
            ),
            (
                "-ERR 'Permissions Violation for Subscription to \"a\"'\r\n",
                Said::Forbidden(Some("a".to_owned())),
            ),
            ("-ERR 'Invalid Subject'\r\n", Said::Forbidden(None)),
            (
                "-ERR 'maximum subscriptions exceeded'\r\n",
                Said::Forbidden(None),
            ),
        ] {
            assert_eq!(read(text.as_bytes()).await, Ok(said), "{text}");
        }
    }

    #[tokio::test]
    async fn what_is_wrong_ends_the_connection() {
        let long = "X".repeat(70_000);
        for (text, kind) in [
            ("", UnknownKind::Transport),
            ("PIN", UnknownKind::Parse),
            ("HTTP/1.1 400 Bad Request\r\n", UnknownKind::Parse),
            ("INFO nothing\r\n", UnknownKind::Parse),
            ("MSG a 1\r\n", UnknownKind::Parse),
            ("MSG a 1 -5\r\n", UnknownKind::Parse),
            ("MSG a 1 99999999999\r\n", UnknownKind::Parse),
            ("MSG a b c d e\r\n", UnknownKind::Parse),
            (
                "-ERR 'Authorization Violation'\r\n",
                UnknownKind::Authentication,
            ),
            (
                "-ERR 'User Authentication Expired'\r\n",
                UnknownKind::Authentication,
            ),
            ("-ERR 'Stale Connection'\r\n", UnknownKind::Transport),
            (&long, UnknownKind::Parse),
        ] {
            let short: String = text.chars().take(40).collect();
            assert_eq!(read(text.as_bytes()).await, Err(kind), "{short}");
        }
    }

    #[tokio::test]
    async fn a_payload_is_passed_over_and_a_refusal_repeats_nothing() {
        let mut reader = Reader::new(&b"MSG a 1 7\r\nPING\r\nX\r\nPING\r\nMSG a 1 9\r\nabc"[..]);
        let message = Said::Message { sid: 1, payload: 7 };
        assert_eq!(reader.next().await.unwrap(), message);
        reader.skip(7).await.unwrap();
        assert_eq!(reader.next().await.unwrap(), Said::Ping);
        reader.next().await.unwrap();
        assert!(reader.skip(9).await.is_err());
        let refused = Reader::new(&b"-ERR 'hunter2 authorization'\r\n"[..])
            .next()
            .await;
        assert!(!refused.unwrap_err().message.contains("hunter2"));
    }
}
