//! One request to the API server: timed, bounded, traced, and with its refusal kept whole.

use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::Client;
use kube::client::Body;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::time::{Instant, timeout};
use tracing::debug;

use crate::counters::{Counters, Outcome, Verb};

/// Bytes of one answer.
const ANSWER_LIMIT: usize = 64 << 20;
/// `fieldManager` of everything that we write.
pub(crate) const FIELD_MANAGER: &str = "zeron";
/// RFC 6902.
pub(crate) const JSON_PATCH: &str = "application/json-patch+json";
/// RFC 7386.
pub(crate) const MERGE_PATCH: &str = "application/merge-patch+json";
pub(crate) const JSON: &str = "application/json";

/// A request that got no good answer.
#[derive(Debug, Error)]
pub enum CallError {
    /// The API server refused it.
    #[error("{status} {reason}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// `reason` of the Status object, such as `Forbidden`.
        reason: String,
        /// Its `message`.
        message: String,
        /// `Retry-After`, or the Status' `retryAfterSeconds`.
        retry_after: Option<Duration>,
    },
    /// It could not be reached, or the connection broke.
    #[error("the API server cannot be reached")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It did not answer in time. A write may have happened.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// Its answer cannot be read.
    #[error("the answer cannot be read")]
    Answer(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl CallError {
    /// The HTTP status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Unreachable(_) | Self::Timeout(_) | Self::Answer(_) => None,
        }
    }

    /// What the server wants us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            Self::Unreachable(_) | Self::Timeout(_) | Self::Answer(_) => None,
        }
    }

    /// The server is gone: everybody's business. A timeout or an internal error may be the fault
    /// of one object alone (a webhook of its kind, say).
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unreachable(_)) || matches!(self.status(), Some(502..=504))
    }

    fn outcome(&self) -> Outcome {
        match self {
            Self::Refused { status: 409, .. } => Outcome::conflict,
            Self::Refused { status: 429, .. } => Outcome::throttled,
            Self::Refused {
                status: 500..=599, ..
            } => Outcome::server_error,
            Self::Refused { .. } => Outcome::refused,
            Self::Unreachable(_) | Self::Answer(_) => Outcome::unreachable,
            Self::Timeout(_) => Outcome::timeout,
        }
    }
}

/// The API server, for requests with an answer (watches go elsewhere).
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) client: Client,
    pub(crate) counters: Arc<Counters>,
    /// For one request with its answer.
    pub(crate) timeout: Duration,
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// A request's body.
pub(crate) struct Content {
    pub(crate) kind: &'static str,
    pub(crate) bytes: Vec<u8>,
}

impl Content {
    /// A value as `kind`.
    pub(crate) fn new(kind: &'static str, value: &impl serde::Serialize) -> Self {
        Self {
            kind,
            bytes: serde_json::to_vec(value).expect("our own values have string keys"),
        }
    }
}

impl Caller {
    pub(crate) fn new(client: Client, counters: Arc<Counters>, timeout: Duration) -> Self {
        Self {
            client,
            counters,
            timeout,
        }
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.call(Verb::get, path, None).await
    }

    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        verb: Verb,
        path: &str,
        content: Option<Content>,
    ) -> Result<T, CallError> {
        let bytes = self.call_bytes(verb, path, content).await?;
        serde_json::from_slice(&bytes).map_err(|error| CallError::Answer(error.into()))
    }

    pub(crate) async fn call_bytes(
        &self,
        verb: Verb,
        path: &str,
        content: Option<Content>,
    ) -> Result<bytes::Bytes, CallError> {
        let started = Instant::now();
        let answer = match timeout(self.timeout, self.exchange(verb, path, content)).await {
            Ok(answer) => answer,
            Err(_) => Err(CallError::Timeout(self.timeout)),
        };
        let took = started.elapsed();
        let outcome = answer
            .as_ref()
            .err()
            .map_or(Outcome::ok, CallError::outcome);
        self.counters.observe_call(verb, outcome, took);
        debug!(?verb, path, ?outcome, ?took, "asked the API server");
        answer
    }

    async fn exchange(
        &self,
        verb: Verb,
        path: &str,
        content: Option<Content>,
    ) -> Result<bytes::Bytes, CallError> {
        let request = request(verb, path, content)?;
        let response = self
            .client
            .send(request)
            .await
            .map_err(|error| CallError::Unreachable(error.into()))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_LIMIT).collect().await;
        let bytes = body
            .map_err(|error| match error.is::<LengthLimitError>() {
                true => CallError::Answer(error),
                false => CallError::Unreachable(error),
            })?
            .to_bytes();
        match head.status.is_success() {
            true => Ok(bytes),
            false => Err(refusal(head.status, &head.headers, &bytes)),
        }
    }
}

fn request(verb: Verb, path: &str, content: Option<Content>) -> Result<Request<Body>, CallError> {
    let method = match verb {
        Verb::get => Method::GET,
        Verb::create => Method::POST,
        Verb::update => Method::PUT,
        Verb::patch => Method::PATCH,
        Verb::delete => Method::DELETE,
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(ACCEPT, "application/json, */*;q=0.1");
    let request = match content {
        Some(content) => request
            .header(CONTENT_TYPE, content.kind)
            .body(Body::from(content.bytes)),
        None => request.body(Body::empty()),
    };
    request.map_err(|error| CallError::Answer(error.into()))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    reason: String,
    message: String,
    details: Details,
}

/// Whoever asks for more patience is asked again nevertheless.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Details {
    retry_after_seconds: u64,
}

fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> CallError {
    let text = || {
        String::from_utf8_lossy(&body[..body.len().min(512)])
            .trim()
            .to_owned()
    };
    let said = serde_json::from_slice(body).unwrap_or_else(|_| Status {
        message: text(),
        ..Status::default()
    });
    let from_header = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let seconds = from_header.or(match said.details.retry_after_seconds {
        0 => None,
        seconds => Some(seconds),
    });
    CallError::Refused {
        status: status.as_u16(),
        reason: match said.reason.is_empty() {
            true => status.canonical_reason().unwrap_or("Unknown").to_owned(),
            false => said.reason,
        },
        message: said.message,
        retry_after: seconds.map(|it| Duration::from_secs(it).min(LONGEST_RETRY_AFTER)),
    }
}
