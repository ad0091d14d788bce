//! Knative's request log: a line per request, by the template that config-observability declares.
//!
//! Templates are Go's; what is understood of them is what request logs are made of: fields of
//! request, answer and revision, as they are or through `js`, `html` or `urlquery`.

mod template;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, HOST, REFERER, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version};
use tokio::time::Instant;

use crate::route::Destination;
use template::{Field, Template};

pub use template::TemplateError;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const B3: HeaderName = HeaderName::from_static("x-b3-traceid");

/// Who takes finished lines, line end included. Called by the threads that serve requests.
pub type WriteLine = Arc<dyn Fn(&str) + Send + Sync>;

/// How requests are logged.
pub(crate) struct RequestLog {
    template: Template,
    write: WriteLine,
}

impl fmt::Debug for RequestLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestLog")
            .field("template", &self.template)
            .finish_non_exhaustive()
    }
}

impl RequestLog {
    pub(crate) fn new(template: &str, write: WriteLine) -> Result<Self, TemplateError> {
        Ok(Self {
            template: Template::parse(template)?,
            write,
        })
    }
}

/// What is said of one request once its answer has ended.
#[derive(Debug)]
pub(crate) struct Line {
    log: Arc<RequestLog>,
    begun: Instant,
    client: SocketAddr,
    method: Method,
    target: Uri,
    version: Version,
    /// Those that the template may name.
    headers: HeaderMap,
    revision: Arc<Destination>,
    status: StatusCode,
    size: u64,
}

impl Line {
    pub(super) fn begin(
        log: Arc<RequestLog>,
        revision: &Arc<Destination>,
        begun: Instant,
        client: SocketAddr,
        parts: &Parts,
    ) -> Self {
        let usual = [HOST, USER_AGENT, REFERER, CONTENT_LENGTH, TRACEPARENT, B3];
        let mut headers = HeaderMap::new();
        for name in usual.iter().chain(log.template.headers()) {
            for value in parts.headers.get_all(name) {
                headers.append(name, value.clone());
            }
        }
        Self {
            log,
            begun,
            client,
            method: parts.method.clone(),
            target: parts.uri.clone(),
            version: parts.version,
            headers,
            revision: Arc::clone(revision),
            status: StatusCode::OK,
            size: 0,
        }
    }

    pub(super) fn answered(&mut self, status: StatusCode) {
        self.status = status;
    }

    /// So many bytes of the answer's body went out.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.size = self.size.saturating_add(bytes as u64);
    }

    fn text(&self, name: &HeaderName) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The value of a field, as Go prints it.
    fn value(&self, field: &Field) -> String {
        let id = &self.revision.state.id;
        let owner = &self.revision.function.owner;
        match field {
            Field::Method => self.method.to_string(),
            Field::Target => match self.target.path_and_query() {
                Some(target) => target.to_string(),
                None => self.target.to_string(),
            },
            Field::Host => self.target.authority().map_or_else(
                || self.text(&HOST).to_owned(),
                |authority| authority.to_string(),
            ),
            Field::Protocol => match self.version {
                Version::HTTP_2 => "HTTP/2.0".to_owned(),
                version => format!("{version:?}"),
            },
            Field::Length => match self.text(&CONTENT_LENGTH) {
                "" => "0".to_owned(),
                length => length.to_owned(),
            },
            Field::Client => self.client.to_string(),
            Field::Header(name) => self.text(name).to_owned(),
            Field::Headers(name) => list(self.headers.get_all(name).iter()),
            Field::Status => self.status.as_u16().to_string(),
            Field::Size => self.size.to_string(),
            Field::Latency => float(Instant::now().saturating_duration_since(self.begun)),
            Field::Revision => id.name().to_owned(),
            Field::Namespace => id.namespace().to_owned(),
            Field::Service if owner.kind == "Service" => owner.name.clone(),
            // An activator says nothing of pods.
            Field::Service | Field::Nothing => String::new(),
            Field::Configuration => owner.name.clone(),
            Field::Trace => self.trace().to_owned(),
        }
    }

    /// The trace that it belongs to: W3C's, else Zipkin's.
    fn trace(&self) -> &str {
        let parent = self.text(&TRACEPARENT);
        let id = parent.split('-').nth(1).filter(|id| id.len() == 32);
        id.unwrap_or_else(|| self.text(&B3))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let line = self.log.template.fill(|field| self.value(field));
        (self.log.write)(&line);
    }
}

/// As Go prints a list of strings.
fn list<'a>(values: impl Iterator<Item = &'a HeaderValue>) -> String {
    let values: Vec<_> = values.map(|it| it.to_str().unwrap_or_default()).collect();
    format!("[{}]", values.join(" "))
}

/// Seconds, as Go prints a float: few of them with an exponent of two digits.
fn float(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    if seconds == 0.0 || seconds >= 1e-4 {
        return seconds.to_string();
    }
    let text = format!("{seconds:e}");
    match text.split_once("e-") {
        Some((digits, exponent)) => format!("{digits}e-{exponent:0>2}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_printed_as_go_prints_them() {
        let printed = |nanoseconds| float(Duration::from_nanos(nanoseconds));
        assert_eq!(printed(0), "0");
        assert_eq!(printed(1_500_000_000), "1.5");
        assert_eq!(printed(123_000), "0.000123");
        assert_eq!(printed(12_300), "1.23e-05");
    }
}
