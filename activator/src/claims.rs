//! Replicas that change hands between activators: asking the others what they still have there.
//!
//! The claimant sends `POST /claims` to the others' peer listeners, one replica per line
//! (`namespace/Kind/name id`); each answers with what it has in flight there, line by line, and
//! gives these replicas no new work from then on. Asked again until nothing is left.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderName, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Instant;
use zeron_core::{EndpointId, FunctionId};

use crate::function::FunctionState;
use crate::house::House;
use crate::registry::Registry;
use crate::ring::{Member, Ring};

/// Says who claims.
pub(crate) const CLAIMANT: HeaderName = HeaderName::from_static("x-zeron-claimant");

/// Where claims are sent.
pub(crate) const PATH: &str = "/claims";

/// An activator that cannot be asked for so long is taken for dead, and its requests with it.
pub(crate) const GIVE_UP_AFTER: Duration = Duration::from_secs(2);

/// How often those who still have something are asked again, at first.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// The same once it has lasted: streams may stay for hours.
const ASK_AT_LEAST_EVERY: Duration = Duration::from_millis(500);

/// How often replicas that were left to others are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Until one activator has answered.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// Replicas in one question.
const MAX_LINES: usize = 2_000;

/// Bytes of one question or answer: the longest names three times over.
pub(crate) const MAX_BYTES: usize = MAX_LINES * 1024;

/// Where functions are left whose replicas change hands.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    desk: Mutex<Vec<Arc<FunctionState>>>,
    news: Notify,
}

impl Claims {
    pub(crate) fn list(&self, function: Arc<FunctionState>) {
        self.desk.lock().push(function);
        self.news.notify_one();
    }
}

/// A replica of a function.
type Claim = (Arc<FunctionState>, EndpointId);

/// Why an activator did not say what it has.
#[derive(Debug, Error)]
enum Silence {
    #[error("connect failed")]
    Connect(#[source] io::Error),
    #[error("no answer in time")]
    Timeout,
    #[error("no http was spoken")]
    Http(#[source] hyper::Error),
    #[error("the answer cannot be read")]
    Nonsense,
}

impl Silence {
    /// Nobody listens there: whoever did is gone, with its requests.
    fn is_gone(&self) -> bool {
        matches!(self, Self::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused)
    }
}

/// Asks for as long as the activator runs.
pub(crate) async fn run(house: Arc<House>) {
    let mut listed: HashMap<FunctionId, Arc<FunctionState>> = HashMap::new();
    let mut silent: HashMap<u64, Instant> = HashMap::new();
    let mut pause = None;
    let mut asking_since = None;
    loop {
        let again = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = house.claims.news.notified() => {}
            () = again => {}
        }
        let news = std::mem::take(&mut *house.claims.desk.lock());
        listed.extend(
            news.into_iter()
                .map(|function| (function.id.clone(), function)),
        );
        let mut claims = Vec::new();
        let now = Instant::now();
        listed.retain(|_, function| {
            let attention = function.attend(now);
            let replicas = attention.claims.iter();
            claims.extend(replicas.map(|replica| (Arc::clone(function), *replica)));
            attention.has_ceded || !attention.claims.is_empty()
        });
        let ring = house.ring();
        for claims in claims.chunks(MAX_LINES) {
            settle(&ring, claims, &mut silent).await;
        }
        silent.retain(|key, _| ring.others().any(|other| other.way.key == *key));
        pause = if !claims.is_empty() {
            let since = *asking_since.get_or_insert(now);
            let asked_for = now.saturating_duration_since(since);
            Some((asked_for / 16).clamp(ASK_EVERY, ASK_AT_LEAST_EVERY))
        } else {
            asking_since = None;
            (!listed.is_empty()).then_some(LOOK_EVERY)
        };
    }
}

/// Asks everybody about `claims` and, when everybody has answered, acts on it.
async fn settle(ring: &Ring, claims: &[Claim], silent: &mut HashMap<u64, Instant>) {
    let text: String = claims
        .iter()
        .map(|(function, replica)| format!("{} {replica}\n", function.id))
        .collect();
    let text = Bytes::from(text);
    let others: Vec<_> = ring.others().collect();
    let asked = others
        .iter()
        .map(|other| ask(ring, other, text.clone(), claims.len()));
    let answers = join_all(asked).await;
    let now = Instant::now();
    let mut sums = vec![0u32; claims.len()];
    let mut is_complete = true;
    for (other, answer) in others.into_iter().zip(answers) {
        match answer {
            Ok(counts) => {
                silent.remove(&other.way.key);
                for (sum, count) in sums.iter_mut().zip(counts) {
                    *sum = sum.saturating_add(count);
                }
            }
            Err(error) => {
                let since = *silent.entry(other.way.key).or_insert(now);
                let is_over = now.saturating_duration_since(since) >= GIVE_UP_AFTER;
                if error.is_gone() || is_over {
                    give_up(ring, other, &error);
                } else {
                    is_complete = false;
                }
            }
        }
    }
    if is_complete {
        admit(claims, &sums, now);
    }
}

fn give_up(ring: &Ring, other: &Arc<Member>, error: &Silence) {
    let error = error as &dyn std::error::Error;
    tracing::debug!(activator = other.peer.name, error, "taken for gone");
    if ring.has_departed(other) {
        other.is_found_gone();
    }
}

fn admit(claims: &[Claim], sums: &[u32], now: Instant) {
    let counted = claims.iter().zip(sums);
    let counted: Vec<_> = counted
        .map(|((function, id), sum)| (function, (*id, *sum)))
        .collect();
    // Claims of one function stand together.
    for of_one in counted.chunk_by(|(a, _), (b, _)| Arc::ptr_eq(a, b)) {
        let counts: Vec<_> = of_one.iter().map(|(_, count)| *count).collect();
        of_one[0].0.admit(&counts, now);
    }
}

async fn ask(ring: &Ring, other: &Member, text: Bytes, lines: usize) -> Result<Vec<u32>, Silence> {
    let asked = tokio::time::timeout(ANSWER_WITHIN, exchange(ring.name(), other, text));
    let answer = asked.await.map_err(|_| Silence::Timeout)??;
    let answer = std::str::from_utf8(&answer).map_err(|_| Silence::Nonsense)?;
    let counts: Result<Vec<u32>, _> = answer.lines().map(str::parse).collect();
    let counts = counts.map_err(|_| Silence::Nonsense)?;
    (counts.len() == lines)
        .then_some(counts)
        .ok_or(Silence::Nonsense)
}

async fn exchange(me: &str, other: &Member, text: Bytes) -> Result<Bytes, Silence> {
    let stream = TcpStream::connect(other.peer.address)
        .await
        .map_err(Silence::Connect)?;
    let request = Request::post(PATH)
        .header(http::header::HOST, other.peer.address.to_string())
        .header(http::header::CONNECTION, "close")
        .header(CLAIMANT, me)
        .body(Full::new(text))
        .map_err(|_| Silence::Nonsense)?;
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(Silence::Http)?;
    let asked = async {
        let answer = sender.send_request(request).await.map_err(Silence::Http)?;
        if answer.status() != StatusCode::OK {
            return Err(Silence::Nonsense);
        }
        let body = Limited::new(answer.into_body(), MAX_BYTES).collect().await;
        Ok(body.map_err(|_| Silence::Nonsense)?.to_bytes())
    };
    let (answer, _) = tokio::join!(asked, connection);
    answer
}

/// The answer to a question of `claimant`; `None` when it cannot be read.
pub(crate) fn answer(registry: &Registry, claimant: &str, question: &[u8]) -> Option<String> {
    let question = std::str::from_utf8(question).ok()?;
    let now = Instant::now();
    let lines: Option<Vec<_>> = question.lines().map(parse).collect();
    let lines = lines?;
    let mut answer = String::with_capacity(lines.len() * 2);
    for of_one in lines.chunk_by(|(a, _), (b, _)| a == b) {
        let replicas: Vec<_> = of_one.iter().map(|(_, replica)| *replica).collect();
        let counts = match registry.get(&of_one[0].0) {
            Some(function) => function.cede(&replicas, claimant, now),
            None => vec![0; replicas.len()],
        };
        for count in counts {
            answer += &format!("{count}\n");
        }
    }
    Some(answer)
}

fn parse(line: &str) -> Option<(FunctionId, EndpointId)> {
    let (function, replica) = line.rsplit_once(' ')?;
    Some((parse_id(function)?, EndpointId(replica.parse().ok()?)))
}

/// Reads what [`FunctionId`] displays.
pub(crate) fn parse_id(text: &str) -> Option<FunctionId> {
    let mut parts = text.splitn(3, '/');
    let (namespace, kind, name) = (parts.next()?, parts.next()?, parts.next()?);
    Some(FunctionId::new(namespace, kind, name))
}
