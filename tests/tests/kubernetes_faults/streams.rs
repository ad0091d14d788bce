//! Conversations that last a while, one after the other: over WebSockets, and as gRPC has them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use http::Request;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::sync::mpsc;
use zeron_tests::h2c::Client;
use zeron_tests::load::Outcome;
use zeron_tests::wait::last;
use zeron_tests::{PATIENCE, Raw};

/// Messages of one conversation, and the time between them.
const MESSAGES: u32 = 15;
const PAUSE: Duration = Duration::from_millis(100);

/// Conversations under way.
pub(crate) struct Streams {
    is_ended: Arc<AtomicBool>,
    speakers: Vec<JoinHandle<Outcome>>,
}

impl Streams {
    /// So many WebSockets at a time.
    pub(crate) fn sockets(address: SocketAddr, host: &'static str, count: usize) -> Self {
        Self::start(count, move || socket(address, host))
    }

    /// So many gRPC streams at a time, each on a connection of its own.
    pub(crate) fn grpc(address: SocketAddr, host: &'static str, count: usize) -> Self {
        Self::start(count, move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().unwrap();
            runtime
                .block_on(call(address, host))
                .map_err(|error| format!("{error:#}"))
        })
    }

    fn start(count: usize, talk: impl Fn() -> Result<(), String> + Clone + Send + 'static) -> Self {
        let is_ended = Arc::new(AtomicBool::new(false));
        let speakers = (0..count).map(|_| {
            let (talk, is_ended) = (talk.clone(), Arc::clone(&is_ended));
            thread::spawn(move || {
                let mut outcome = Outcome::default();
                while !is_ended.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    outcome.count(began, talk());
                }
                outcome
            })
        });
        Self {
            speakers: speakers.collect(),
            is_ended,
        }
    }

    /// Begins no more and waits for the ends of those under way.
    pub(crate) fn end(self) -> Outcome {
        self.is_ended.store(true, Ordering::Relaxed);
        let mut all = Outcome::default();
        for speaker in self.speakers {
            all.add(speaker.join().unwrap());
        }
        all
    }
}

fn socket(address: SocketAddr, host: &str) -> Result<(), String> {
    use std::io::Read;
    let io = |error: std::io::Error| error.to_string();
    let mut client = Raw::try_connect(address).map_err(io)?;
    let key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let head = format!(
        "GET /ws HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{key}\r\n\r\n"
    );
    client.try_send(head).map_err(io)?;
    let answer = client.try_response().map_err(io)?;
    if answer.status != 101 {
        return Err(format!("{} {}", answer.status, answer.text()));
    }
    for number in 0..MESSAGES {
        // Masked with zeros, which the RFC allows.
        client.try_send(b"\x81\x85\0\0\0\0hello").map_err(io)?;
        let mut echo = [0; 7];
        client
            .read_exact(&mut echo)
            .map_err(|error| format!("message {number}: {error}"))?;
        if &echo != b"\x81\x05hello" {
            return Err(format!("message {number}: {echo:?}"));
        }
        // A conversation lasts.
        last(PAUSE);
    }
    Ok(())
}

async fn call(address: SocketAddr, host: &str) -> anyhow::Result<()> {
    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    let pieces = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    let body = StreamBody::new(Box::pin(
        pieces.map(|piece| Ok::<_, std::io::Error>(Frame::data(piece))),
    ));
    let request = Request::builder()
        .method("POST")
        .uri(format!("http://{host}/pkg.Echo/Chat"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)?;
    let mut client = Client::connect(address).await?;
    let answer = client.head(request).await?;
    let (head, mut back) = answer.into_parts();
    anyhow::ensure!(
        head.status == 200 && !head.headers.contains_key("grpc-status"),
        "{head:?}"
    );
    for number in 0..MESSAGES {
        sender.send(Bytes::from_static(b"hello")).await?;
        let frame = next(&mut back).await?;
        anyhow::ensure!(
            frame.data_ref().is_some_and(|data| data == "hello"),
            "message {number}: {frame:?}"
        );
        // A conversation lasts.
        tokio::time::sleep(PAUSE).await;
    }
    drop(sender);
    let last = next(&mut back).await?;
    let status = last
        .trailers_ref()
        .and_then(|trailers| trailers.get("grpc-status"));
    anyhow::ensure!(status.is_some_and(|status| status == "0"), "{last:?}");
    Ok(())
}

async fn next(body: &mut Incoming) -> anyhow::Result<Frame<Bytes>> {
    let frame = tokio::time::timeout(PATIENCE, body.frame()).await?;
    Ok(frame.ok_or_else(|| anyhow::anyhow!("the stream ended"))??)
}
