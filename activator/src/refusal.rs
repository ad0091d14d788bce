//! Why a request gets no replica, and how the caller is told.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use zeron_core::StartFailure;
use zeron_core::route::StaticResponse;

use crate::body::AnswerBody;
use crate::cause::Cause;
use crate::config::{Dialect, PlatformReason};

/// Says, on answers that we made, why.
pub(crate) const REASON: HeaderName = HeaderName::from_static("x-zeron-reason");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// A request that gets no replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) cause: Cause,
    /// When to come again.
    pub(crate) retry_after: Option<Duration>,
    /// More than [`Cause::message`] says.
    pub(crate) message: Option<Box<str>>,
}

impl Refusal {
    pub(crate) const fn new(cause: Cause) -> Self {
        Self {
            cause,
            retry_after: None,
            message: None,
        }
    }

    pub(crate) const fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    pub(crate) fn message(mut self, message: &str) -> Self {
        self.message = Some(message.into());
        self
    }

    /// The platform's own reason and words, as far as callers may have them.
    pub(crate) fn start_failed(
        failure: &StartFailure,
        retry_after: Duration,
        shown: PlatformReason,
    ) -> Self {
        let words = match shown {
            PlatformReason::Full => failure.message.as_str(),
            PlatformReason::ReasonOnly => sentence(&failure.reason),
        };
        let message = match words {
            "" => failure.reason.clone(),
            words => format!("{}: {words}", failure.reason),
        };
        Self::new(Cause::StartFailed)
            .message(&message)
            .retry_after(retry_after)
    }

    /// The answer for this caller.
    pub(crate) fn answer(&self, is_grpc: bool, dialect: &Dialect) -> Response<AnswerBody> {
        let text = self.message.as_deref().unwrap_or(self.cause.message());
        let mut answer = match dialect {
            _ if is_grpc => self.grpc(text),
            Dialect::Zeron => self.plain(format!("{text}\n")),
            Dialect::Knative(_) => self.knative(text),
        };
        let headers = answer.headers_mut();
        headers.insert(REASON, HeaderValue::from_static(self.cause.as_str()));
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        answer
    }

    /// As Knative's activator says it: a timeout without an end of line, all else for no browser to
    /// guess at.
    fn knative(&self, text: &str) -> Response<AnswerBody> {
        if matches!(self.cause, Cause::Deadline | Cause::ResponseTimeout) {
            return self.plain(text.to_owned());
        }
        let mut answer = self.plain(format!("{text}\n"));
        let no_sniffing = HeaderValue::from_static("nosniff");
        answer
            .headers_mut()
            .insert(X_CONTENT_TYPE_OPTIONS, no_sniffing);
        answer
    }

    fn plain(&self, text: String) -> Response<AnswerBody> {
        let mut answer = Response::new(AnswerBody::full(Bytes::from(text)));
        *answer.status_mut() = self.cause.status();
        answer.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        answer
    }

    /// A trailers-only answer: gRPC clients read the status from the head.
    fn grpc(&self, text: &str) -> Response<AnswerBody> {
        let mut answer = Response::new(AnswerBody::empty());
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(
            GRPC_STATUS,
            HeaderValue::from_static(self.cause.grpc_status()),
        );
        if let Ok(message) = HeaderValue::from_str(&percent_encode(text)) {
            headers.insert(GRPC_MESSAGE, message);
        }
        answer
    }
}

/// What a reason means, without anything that only its owner should see.
fn sentence(reason: &str) -> &'static str {
    match reason {
        "ImagePullBackOff" | "ErrImagePull" | "ErrImageNeverPull" | "InvalidImageName" => {
            "its image cannot be had"
        }
        "CrashLoopBackOff" | "OOMKilled" | "Error" => "it ends again and again after its start",
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            "its container cannot be made"
        }
        "Unschedulable" => "there is no room for it",
        "QuotaExceeded" | "FailedCreate" => "no more of it may run",
        "DeadlineExceeded" | "ProgressDeadlineExceeded" => "it did not become ready in time",
        "Evicted" => "it was taken off its machine",
        reason if reason.starts_with("ExitCode") || reason.starts_with("Signal") => {
            "it ended at its start"
        }
        _ => "the function could not start",
    }
}

/// Whether the caller expects gRPC's way of telling errors.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// The answer that a route declares.
pub(crate) fn static_answer(declared: &StaticResponse, cause: Cause) -> Response<AnswerBody> {
    let mut answer = Response::new(AnswerBody::full(Bytes::from(declared.body.clone())));
    *answer.status_mut() =
        http::StatusCode::from_u16(declared.status).unwrap_or(http::StatusCode::OK);
    let headers = answer.headers_mut();
    for (name, value) in &declared.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    headers.insert(REASON, HeaderValue::from_static(cause.as_str()));
    answer
}

/// `Retry-After` counts whole seconds; never "at once".
fn whole_seconds(wait: Duration) -> u64 {
    (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1)
}

/// The encoding of `grpc-message`: printable ASCII but `%` stays.
pub(crate) fn percent_encode(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes()
        .fold(String::with_capacity(text.len()), |mut out, byte| {
            if matches!(byte, b' '..=b'~') && byte != b'%' {
                out.push(char::from(byte));
            } else {
                // Writing to a string cannot fail.
                write!(out, "%{byte:02X}").ok();
            }
            out
        })
}
