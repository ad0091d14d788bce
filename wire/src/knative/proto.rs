//! The messages of `stat.proto` (knative/serving, `pkg/autoscaler/metrics`).

use prost::Message;
use zeron_core::{FunctionId, Sample, Timestamp};

/// No pod has so many requests. Sums of less lose nothing that counts, whoever made it up.
const MOST: f64 = 1e9;

/// The kind of object that statistics name.
pub const REVISION: &str = "Revision";

/// What one pod counted since its last report.
#[derive(Clone, PartialEq, Message)]
pub struct Stat {
    /// Who counted.
    #[prost(string, tag = "1")]
    pub pod_name: String,
    /// Time-weighted mean of requests in flight.
    #[prost(double, tag = "2")]
    pub average_concurrent_requests: f64,
    /// The part of it that came through an activator.
    #[prost(double, tag = "3")]
    pub average_proxied_concurrent_requests: f64,
    /// Requests that arrived.
    #[prost(double, tag = "4")]
    pub request_count: f64,
    /// The part of them that came through an activator.
    #[prost(double, tag = "5")]
    pub proxied_request_count: f64,
    /// How long the pod's process runs, in seconds.
    #[prost(double, tag = "6")]
    pub process_uptime: f64,
    /// When, in seconds since the Unix epoch; 0: whoever hears it first says when that was.
    #[prost(int64, tag = "7")]
    pub timestamp: i64,
}

/// A statistic of the revision `namespace/name`.
#[derive(Clone, PartialEq, Message)]
pub struct WireStatMessage {
    /// The revision's namespace.
    #[prost(string, tag = "1")]
    pub namespace: String,
    /// The revision's name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Absent in messages of a later version.
    #[prost(message, optional, tag = "3")]
    pub stat: Option<Stat>,
}

/// One WebSocket message.
#[derive(Clone, PartialEq, Message)]
pub struct WireStatMessages {
    /// Statistics, in any order.
    #[prost(message, repeated, tag = "1")]
    pub messages: Vec<WireStatMessage>,
}

impl Stat {
    /// As a sample of `function`, taken at its own time, else at `now`; `None` when some amount is
    /// no number, negative, or more than there can be. The part that came through an activator is
    /// never more than the whole: nothing that is said takes away from what others say.
    pub fn sample(self, function: FunctionId, now: Timestamp) -> Option<Sample> {
        let amounts = [
            self.average_concurrent_requests,
            self.average_proxied_concurrent_requests,
            self.request_count,
            self.proxied_request_count,
        ];
        let is_sound = amounts.iter().all(|it| (0.0..=MOST).contains(it));
        let own = u64::try_from(self.timestamp).ok().filter(|it| *it > 0);
        is_sound.then(|| Sample {
            function,
            at: own.map_or(Timestamp::from_secs(now.as_secs()), Timestamp::from_secs),
            average_concurrency: self.average_concurrent_requests,
            average_proxied_concurrency: self
                .average_proxied_concurrent_requests
                .min(self.average_concurrent_requests),
            request_count: self.request_count,
            proxied_request_count: self.proxied_request_count.min(self.request_count),
            pod: self.pod_name.into(),
        })
    }
}

impl From<&Sample> for WireStatMessage {
    fn from(sample: &Sample) -> Self {
        Self {
            namespace: sample.function.namespace().to_owned(),
            name: sample.function.name().to_owned(),
            stat: Some(Stat {
                pod_name: sample.pod.to_string(),
                average_concurrent_requests: sample.average_concurrency,
                average_proxied_concurrent_requests: sample.average_proxied_concurrency,
                request_count: sample.request_count,
                proxied_request_count: sample.proxied_request_count,
                process_uptime: 0.0,
                timestamp: i64::try_from(sample.at.as_secs()).unwrap_or(i64::MAX),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// As Go's generated code writes it.
    const WRITTEN: &[u8] = b"\x0a\x38\x0a\x02ns\x12\x01a\x1a\x2f\
        \x0a\x03act\x11\x00\x00\x00\x00\x00\x00\xf8\x3f\x19\x00\x00\x00\x00\x00\x00\xe0\x3f\
        \x21\x00\x00\x00\x00\x00\x00\x00\x40\x29\x00\x00\x00\x00\x00\x00\xf0\x3f\
        \x38\x80\xd9\xda\xa9\x07";

    fn sample() -> Sample {
        Sample {
            function: FunctionId::new("ns", REVISION, "a"),
            at: Timestamp::from_secs(1_966_517_376),
            average_concurrency: 1.5,
            average_proxied_concurrency: 0.5,
            request_count: 2.0,
            proxied_request_count: 1.0,
            pod: "act".into(),
        }
    }

    #[test]
    fn samples_are_read_and_written_byte_for_byte() {
        let messages = vec![WireStatMessage::from(&sample())];
        let written = WireStatMessages { messages }.encode_to_vec();
        assert_eq!(written, WRITTEN);
        let read = WireStatMessages::decode(WRITTEN).unwrap();
        let stat = read.messages[0].stat.clone().unwrap();
        let function = sample().function;
        assert_eq!(stat.sample(function, Timestamp::EPOCH), Some(sample()));
    }

    #[test]
    fn what_has_no_time_gets_the_second_in_which_it_is_heard() {
        let now = Timestamp::from_millis(7_900);
        let read = Stat::default().sample(sample().function, now).unwrap();
        assert_eq!(read.at, Timestamp::from_secs(7));
    }

    #[test]
    fn what_came_through_an_activator_is_never_more_than_all() {
        let stat = Stat {
            average_concurrent_requests: 1.0,
            average_proxied_concurrent_requests: 1e6,
            request_count: 2.0,
            proxied_request_count: 1e6,
            ..Stat::default()
        };
        let read = stat.sample(sample().function, Timestamp::EPOCH).unwrap();
        assert_eq!(read.average_proxied_concurrency, 1.0);
        assert_eq!(read.proxied_request_count, 2.0);
    }

    #[test]
    fn an_amount_that_is_none_is_refused() {
        for amount in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
            let stat = Stat {
                request_count: amount,
                ..Stat::default()
            };
            assert_eq!(stat.sample(sample().function, Timestamp::EPOCH), None);
        }
    }
}
