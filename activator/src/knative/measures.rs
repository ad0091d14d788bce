//! What is measured of requests for a Revision, under OpenTelemetry's names, as Knative's activator does: how long they took,
//! and how large their bodies were.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::request::Parts;
use http::{Method, StatusCode, Version};
use parking_lot::Mutex;
use prometheus_client::encoding::MetricEncoder;
use prometheus_client::registry::Unit;
use tokio::time::Instant;

use crate::route::Destination;

/// Upper bounds in seconds, by the semantic conventions for `http.server.request.duration`.
const SECONDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// Upper bounds in bytes. The conventions name none for bodies: these are what OpenTelemetry takes then.
const BYTES: [f64; 15] = [
    0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1_000.0, 2_500.0, 5_000.0,
    7_500.0, 10_000.0,
];

/// Kinds of requests that are told apart for one Revision; what comes beyond is not counted.
const MAX_KINDS: usize = 64;

/// What is measured of each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    Duration,
    /// Of the request's body, as far as it was read.
    RequestSize,
    /// Of the answer's body, as far as it was sent.
    AnswerSize,
}

impl Measure {
    pub(super) const ALL: [Self; 3] = [Self::Duration, Self::RequestSize, Self::AnswerSize];

    /// Its name without its unit, which Prometheus appends.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Duration => "http_server_request_duration",
            Self::RequestSize => "http_server_request_body_size",
            Self::AnswerSize => "http_server_response_body_size",
        }
    }

    pub(super) fn help(self) -> &'static str {
        match self {
            Self::Duration => "Duration of HTTP server requests",
            Self::RequestSize => "Size of HTTP server request bodies",
            Self::AnswerSize => "Size of HTTP server response bodies",
        }
    }

    pub(super) fn unit(self) -> Unit {
        match self {
            Self::Duration => Unit::Seconds,
            Self::RequestSize | Self::AnswerSize => Unit::Bytes,
        }
    }

    fn bounds(self) -> &'static [f64] {
        match self {
            Self::Duration => &SECONDS,
            Self::RequestSize | Self::AnswerSize => &BYTES,
        }
    }
}

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
pub(crate) struct Measures(Mutex<Vec<Series>>);

#[derive(Clone, Debug)]
struct Series {
    kind: Kind,
    /// In the order of [`Measure::ALL`].
    histograms: [Histogram; Measure::ALL.len()],
}

#[derive(Clone, Copy, Debug, Default)]
struct Histogram {
    /// One for each bound, and one for what is beyond them.
    counts: [u64; BYTES.len() + 1],
    sum: f64,
}

impl Histogram {
    fn observe(&mut self, bounds: &[f64], value: f64) {
        self.counts[bounds.partition_point(|bound| *bound < value)] += 1;
        self.sum += value;
    }
}

impl Measures {
    /// `values` in the order of [`Measure::ALL`].
    fn observe(&self, kind: Kind, values: [f64; Measure::ALL.len()]) {
        let mut all = self.0.lock();
        let place = all.iter().position(|series| series.kind == kind);
        let place = place.unwrap_or(all.len());
        if place == all.len() {
            if place >= MAX_KINDS {
                return;
            }
            all.push(Series {
                kind,
                histograms: Default::default(),
            });
        }
        let histograms = &mut all[place].histograms;
        for ((measure, histogram), value) in Measure::ALL.iter().zip(histograms).zip(values) {
            histogram.observe(measure.bounds(), value);
        }
    }

    /// Writes each kind of request as one histogram with `labels` beside its own.
    pub(super) fn encode(
        &self,
        measure: Measure,
        family: &mut MetricEncoder<'_>,
        labels: [(&str, &str); 4],
    ) -> Result<(), fmt::Error> {
        let all = self.0.lock().clone();
        let [namespace, service, configuration, revision] = labels;
        for Series { kind, histograms } in all {
            let status = kind.status.to_string();
            let labels = [
                ("http_request_method", kind.method),
                ("http_response_status_code", status.as_str()),
                ("network_protocol_name", "http"),
                (
                    "network_protocol_version",
                    if kind.is_http2 { "2" } else { "1.1" },
                ),
                ("url_scheme", if kind.is_tls { "https" } else { "http" }),
                namespace,
                service,
                configuration,
                revision,
            ];
            let Histogram { counts, sum } = histograms[measure as usize];
            let bounds = measure.bounds().iter().copied().chain([f64::INFINITY]);
            let buckets: Vec<_> = bounds.zip(counts).collect();
            let count = counts.iter().sum();
            let mut histogram = family.encode_family(&labels)?;
            histogram.encode_histogram::<[(&str, &str); 0]>(sum, count, &buckets, None)?;
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
    /// Bytes of the request's body; `None`: it has none.
    received: Option<Arc<AtomicU64>>,
    /// Bytes of the answer's body.
    sent: u64,
}

impl Stopwatch {
    pub(super) fn start(
        revision: &Arc<Destination>,
        begun: Instant,
        parts: &Parts,
        received: Option<Arc<AtomicU64>>,
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
            received,
            sent: 0,
        }
    }

    pub(super) fn answered(&mut self, status: StatusCode) {
        self.kind.status = status.as_u16();
    }

    /// So many bytes of the answer's body went out.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(bytes as u64);
    }
}

impl Drop for Stopwatch {
    fn drop(&mut self) {
        // Who left before there was an answer had none.
        if self.kind.status != 0 {
            let took = Instant::now().saturating_duration_since(self.begun);
            let received = self.received.as_ref();
            let received = received.map_or(0, |bytes| bytes.load(Ordering::Relaxed));
            let values = [took.as_secs_f64(), received as f64, self.sent as f64];
            self.revision.state.measures.observe(self.kind, values);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_falls_below_the_first_bound_that_it_does_not_exceed() {
        for measure in Measure::ALL {
            let bounds = measure.bounds();
            let mut histogram = Histogram::default();
            for (place, bound) in bounds.iter().enumerate() {
                histogram.observe(bounds, *bound);
                histogram.observe(bounds, bound + 0.001);
                assert_eq!(histogram.counts[place], 1 + u64::from(place > 0));
            }
            assert_eq!(histogram.counts[bounds.len()], 1, "beyond all: {measure:?}");
        }
    }

    #[test]
    fn kinds_of_requests_are_bounded() {
        let measures = Measures::default();
        for status in 100..1_000 {
            let kind = Kind {
                method: "GET",
                status,
                is_http2: false,
                is_tls: false,
            };
            measures.observe(kind, [0.0; 3]);
        }
        assert_eq!(measures.0.lock().len(), MAX_KINDS);
    }
}
