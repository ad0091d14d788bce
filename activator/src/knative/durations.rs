//! How long requests for a Revision took, under OpenTelemetry's name for it, as Knative counts them.

use std::fmt;
use std::sync::Arc;

use http::request::Parts;
use http::{Method, StatusCode, Version};
use parking_lot::Mutex;
use prometheus_client::encoding::MetricEncoder;
use tokio::time::Instant;

use crate::route::Destination;

/// Upper bounds in seconds, by the semantic conventions for `http.server.request.duration`.
const BOUNDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// Kinds of requests that are told apart for one Revision; what comes beyond is not counted.
const MAX_KINDS: usize = 64;

/// What a request was, and how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    method: &'static str,
    status: u16,
    is_http2: bool,
    is_tls: bool,
}

/// All requests for one Revision.
#[derive(Debug, Default)]
pub(crate) struct Durations(Mutex<Vec<Series>>);

#[derive(Clone, Debug)]
struct Series {
    kind: Kind,
    counts: [u64; BOUNDS.len() + 1],
    sum: f64,
}

impl Durations {
    fn observe(&self, kind: Kind, seconds: f64) {
        let mut all = self.0.lock();
        let place = all.iter().position(|series| series.kind == kind);
        let place = place.unwrap_or(all.len());
        if place == all.len() {
            if place >= MAX_KINDS {
                return;
            }
            all.push(Series {
                kind,
                counts: [0; BOUNDS.len() + 1],
                sum: 0.0,
            });
        }
        let series = &mut all[place];
        let bucket = BOUNDS.partition_point(|bound| *bound < seconds);
        series.counts[bucket] += 1;
        series.sum += seconds;
    }

    /// Writes each kind of request as one histogram with `labels` beside its own.
    pub(super) fn encode(
        &self,
        family: &mut MetricEncoder<'_>,
        labels: [(&str, &str); 4],
    ) -> Result<(), fmt::Error> {
        let all = self.0.lock().clone();
        let [namespace, service, configuration, revision] = labels;
        for series in all {
            let status = series.kind.status.to_string();
            let labels = [
                ("http_request_method", series.kind.method),
                ("http_response_status_code", status.as_str()),
                ("network_protocol_name", "http"),
                (
                    "network_protocol_version",
                    if series.kind.is_http2 { "2" } else { "1.1" },
                ),
                (
                    "url_scheme",
                    if series.kind.is_tls { "https" } else { "http" },
                ),
                namespace,
                service,
                configuration,
                revision,
            ];
            let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
            let buckets: Vec<_> = bounds.zip(series.counts).collect();
            let count = series.counts.iter().sum();
            let mut histogram = family.encode_family(&labels)?;
            histogram.encode_histogram::<[(&str, &str); 0]>(series.sum, count, &buckets, None)?;
        }
        Ok(())
    }
}

/// One request for a Revision, until its answer has ended.
#[derive(Debug)]
pub(super) struct Stopwatch {
    revision: Arc<Destination>,
    begun: Instant,
    /// `status` is zero before it is answered.
    kind: Kind,
}

impl Stopwatch {
    pub(super) fn start(
        revision: &Arc<Destination>,
        begun: Instant,
        parts: &Parts,
        is_tls: bool,
    ) -> Self {
        Self {
            revision: Arc::clone(revision),
            begun,
            kind: Kind {
                method: name(&parts.method),
                status: 0,
                is_http2: parts.version == Version::HTTP_2,
                is_tls,
            },
        }
    }

    pub(super) fn answered(&mut self, status: StatusCode) {
        self.kind.status = status.as_u16();
    }
}

impl Drop for Stopwatch {
    fn drop(&mut self) {
        // Who left before there was an answer had none.
        if self.kind.status != 0 {
            let took = Instant::now().saturating_duration_since(self.begun);
            let durations = &self.revision.state.durations;
            durations.observe(self.kind, took.as_secs_f64());
        }
    }
}

/// A closed list, since labels are kept.
fn name(method: &Method) -> &'static str {
    const KNOWN: [Method; 7] = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::HEAD,
        Method::OPTIONS,
        Method::PATCH,
    ];
    const NAMES: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"];
    let place = KNOWN.iter().position(|known| known == method);
    place.map_or("_OTHER", |place| NAMES[place])
}
