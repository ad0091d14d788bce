//! Origins tell over a Unix datagram socket when they start and when SIGTERM reached them.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// Environment variable with the socket's path.
pub(crate) const SOCKET: &str = "ZERON_BENCH_EVENTS";
/// Environment variable with the name under which an origin tells.
pub(crate) const NAME: &str = "ZERON_BENCH_NAME";

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The process runs.
    Start,
    /// SIGTERM arrived.
    Term,
}

/// Something that happened to an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// What happened.
    pub(crate) what: What,
    /// The name that the origin was given.
    pub(crate) name: String,
    /// Its process id.
    pub(crate) pid: u32,
    /// When: the wall clock, which processes share.
    pub(crate) at: SystemTime,
}

/// Tells the bench, if there is one that listens. An origin must work without.
pub(crate) fn tell(what: What) {
    let (Ok(path), Ok(name)) = (std::env::var(SOCKET), std::env::var(NAME)) else {
        return;
    };
    let event = Event {
        what,
        name,
        pid: std::process::id(),
        at: SystemTime::now(),
    };
    let socket = UnixDatagram::unbound();
    if let Err(error) = socket.and_then(|socket| socket.send_to(encode(&event).as_bytes(), path)) {
        eprintln!("cannot tell {event:?}: {error}");
    }
}

fn encode(event: &Event) -> String {
    let what = match event.what {
        What::Start => "start",
        What::Term => "term",
    };
    let at = event
        .at
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos();
    format!("{what} {} {} {at}", event.name, event.pid)
}

fn decode(text: &str) -> Option<Event> {
    let mut words = text.split(' ');
    let what = match words.next()? {
        "start" => What::Start,
        "term" => What::Term,
        _ => return None,
    };
    let name = words.next()?.to_owned();
    let pid = words.next()?.parse().ok()?;
    let at = UNIX_EPOCH + Duration::from_nanos(words.next()?.parse().ok()?);
    Some(Event {
        what,
        name,
        pid,
        at,
    })
}

/// More events than any measure causes between two looks.
const CAPACITY: usize = 65_536;

/// The bench's end of the socket.
///
/// A thread empties it all the time: the kernel queues ten datagrams or so, and then makes origins wait.
#[derive(Debug)]
pub(crate) struct Events {
    received: mpsc::Receiver<Event>,
    folder: TempDir,
}

impl Events {
    /// Listens in a folder of its own.
    pub(crate) fn listen() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let socket = UnixDatagram::bind(folder.path().join("events"))?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        let (sender, received) = mpsc::channel(CAPACITY);
        std::thread::Builder::new()
            .name("events".to_owned())
            .spawn(move || receive(&socket, &sender))?;
        Ok(Self { received, folder })
    }

    /// The environment of an origin that shall tell as `name`.
    pub(crate) fn environment(&self, name: &str) -> Vec<(String, String)> {
        let path = self.folder.path().join("events");
        vec![
            (SOCKET.to_owned(), path.display().to_string()),
            (NAME.to_owned(), name.to_owned()),
        ]
    }

    /// The next event. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Result<Event> {
        self.received.recv().await.context("the socket failed")
    }

    /// All events that have arrived.
    pub(crate) fn drain(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.received.try_recv().ok()).collect()
    }
}

/// Until nobody listens any more.
fn receive(socket: &UnixDatagram, sender: &mpsc::Sender<Event>) {
    let mut buffer = [0; 512];
    while !sender.is_closed() {
        match socket.recv(&mut buffer) {
            Ok(count) => match parse(&buffer[..count]) {
                Ok(event) => drop(sender.blocking_send(event)),
                Err(error) => eprintln!("{error:#}"),
            },
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            Err(error) => return eprintln!("events: {error}"),
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Event> {
    let text = std::str::from_utf8(bytes)?;
    decode(text).with_context(|| format!("not an event: {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_survives_the_socket() {
        let event = Event {
            what: What::Term,
            name: "f-7".to_owned(),
            pid: 42,
            at: UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789),
        };
        assert_eq!(decode(&encode(&event)), Some(event));
    }

    #[test]
    fn what_is_not_an_event_is_refused() {
        assert!(parse(b"stop f 1 2").is_err());
        assert!(parse(b"start f").is_err());
    }
}
