//! A connection over which statistics go out: dialled, kept, and given up when it is silent.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::socket::{Ended, Socket, Stream, hurry};

/// The longest message: all that an activator of Knative's counts of some 30,000 revisions, which
/// it says at once.
const MAX_MESSAGE: usize = 4 << 20;
/// How often the other side is asked whether it is there.
const PING_EVERY: Duration = Duration::from_millis(1_500);
/// How long it may stay silent. Knative waits for 10 s, in which nothing wakes up after the node of
/// an autoscaler is gone.
pub(super) const SILENCE: Duration = Duration::from_secs(5);

/// Nothing longer than this is ever kept.
pub(super) fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE))
}

/// Connects to `address`, `host:port`.
pub(super) async fn dial(address: &str, within: Duration) -> Result<Socket, Ended> {
    let dialled = async {
        let stream = TcpStream::connect(address).await.map_err(Ended::Connect)?;
        hurry(&stream);
        let request = format!("ws://{address}/").into_client_request()?;
        let stream: Stream = Box::new(stream);
        let (socket, _) = client_async_with_config(request, stream, Some(limits())).await?;
        Ok(socket)
    };
    timeout(within, dialled).await.map_err(|_| Ended::Late)?
}

/// What a connection writes.
pub(super) enum Next {
    /// A message.
    Message(Bytes),
    /// Nothing any more: it is closed.
    Done,
    /// Too much waits: it is given up.
    Behind,
}

/// Where a connection gets its messages from.
pub(super) trait Source: Sync {
    /// Waits for the next one. Dropped while it waits, it has taken nothing.
    fn next(&self) -> impl Future<Output = Next> + Send;
}

/// Writes what `source` has until either side ends.
pub(super) async fn converse(socket: Socket, source: &impl Source) -> Ended {
    let (sink, stream) = socket.split();
    tokio::select! {
        ended = read(stream) => ended,
        ended = write(sink, source) => ended,
    }
}

/// Nothing is said on this way but that the other side lives.
async fn read(mut stream: SplitStream<Socket>) -> Ended {
    loop {
        let Ok(received) = timeout(SILENCE, stream.next()).await else {
            return Ended::Late;
        };
        match received {
            Some(Ok(Message::Close(reason))) => {
                let reason = reason.map(|it| it.reason.to_string());
                return Ended::Closed(reason.unwrap_or_default());
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return error.into(),
            None => return Ended::Closed("the stream ended".to_owned()),
        }
    }
}

async fn write(mut sink: SplitSink<Socket, Message>, source: &impl Source) -> Ended {
    let first = tokio::time::Instant::now() + PING_EVERY;
    let mut ping = interval_at(first, PING_EVERY);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            biased;
            _ = ping.tick() => Message::Ping(Bytes::new()),
            next = source.next() => match next {
                Next::Message(message) => Message::Binary(message),
                Next::Done => break,
                Next::Behind => return Ended::Late,
            },
        };
        match timeout(SILENCE, sink.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error.into(),
            Err(_) => return Ended::Late,
        }
    }
    drop(timeout(SILENCE, sink.close()).await);
    Ended::Done
}
