//! How buckets are shared, by `config-leader-election` as Knative's replicas read it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use serde::Deserialize;
use thiserror::Error;

use super::ordinals::Ordinals;
use crate::api::{CallError, Caller};
use crate::counters::Counters;

/// As many as Knative takes.
const MOST_BUCKETS: u32 = 10;
/// By how much Knative's replicas may stretch a retry at random.
const JITTER: f64 = 1.2;
/// How long reading the settings may take.
const FETCH_WITHIN: Duration = Duration::from_secs(10);

/// How buckets are shared.
#[derive(Clone, Debug)]
pub struct BucketsConfig {
    /// Where the Leases are: Knative's own namespace.
    pub namespace: String,
    /// Our pod's name.
    pub pod_name: String,
    /// Our pod's address.
    pub pod_ip: IpAddr,
    /// How many buckets there are; the same for all replicas.
    pub count: u32,
    /// How long a bucket of a replica that is gone stays without owner; whole seconds count.
    pub duration: Duration,
    /// A replica that could not renew for so long gives up.
    pub deadline: Duration,
    /// How often Leases are renewed and looked at.
    pub retry: Duration,
    /// Where replicas take statistics.
    pub port: u16,
    /// Such as `cluster.local`.
    pub cluster_domain: String,
    /// Of a StatefulSet that shares buckets by number instead of by Leases.
    pub ordinals: Option<Ordinals>,
}

/// Settings that cannot be used.
#[derive(Debug, Error)]
pub enum BucketsConfigError {
    /// No duration, such as `15s`.
    #[error("{key}: {value:?} is no duration")]
    Duration {
        /// The setting.
        key: &'static str,
        /// As it stands there.
        value: String,
    },
    /// No number of buckets.
    #[error("buckets: {value:?} is not a number from 1 to 10")]
    Count {
        /// As it stands there.
        value: String,
    },
    /// Durations that contradict each other.
    #[error(
        "lease-duration {duration:?} must be longer than renew-deadline {deadline:?}, and that \
         longer than 1.2 times retry-period {retry:?}"
    )]
    Order {
        /// `lease-duration`.
        duration: Duration,
        /// `renew-deadline`.
        deadline: Duration,
        /// `retry-period`.
        retry: Duration,
    },
    /// They cannot be read.
    #[error("cannot read the config map {name}")]
    Unreadable {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: CallError,
    },
}

impl BucketsConfig {
    /// One bucket; 60 s, given up after 40 s, renewed and looked at every 10 s: what Knative's own
    /// replicas do where nothing is said (`defaultConfig` of knative.dev/pkg `leaderelection`).
    pub fn new(namespace: &str, pod_name: &str, pod_ip: IpAddr) -> Self {
        Self {
            namespace: namespace.to_owned(),
            pod_name: pod_name.to_owned(),
            pod_ip,
            count: 1,
            duration: Duration::from_secs(60),
            deadline: Duration::from_secs(40),
            retry: Duration::from_secs(10),
            port: 8080,
            cluster_domain: "cluster.local".to_owned(),
            ordinals: None,
        }
    }

    /// With what the data of `config-leader-election` says. Like Knative's, a replica reads it once.
    ///
    /// # Errors
    /// When some value cannot be used.
    pub fn read(mut self, data: &BTreeMap<String, String>) -> Result<Self, BucketsConfigError> {
        for (key, older_key, duration) in [
            ("lease-duration", "leaseDuration", &mut self.duration),
            ("renew-deadline", "renewDeadline", &mut self.deadline),
            ("retry-period", "retryPeriod", &mut self.retry),
        ] {
            if let Some(value) = data.get(key).or(data.get(older_key)) {
                let value = value.trim();
                let read = go_duration(value).filter(|it| *it > Duration::ZERO);
                *duration = read.ok_or_else(|| BucketsConfigError::Duration {
                    key,
                    value: value.to_owned(),
                })?;
            }
        }
        if let Some(value) = data.get("buckets") {
            let count = value.trim().parse().ok();
            let count = count.filter(|count| (1..=MOST_BUCKETS).contains(count));
            self.count = count.ok_or_else(|| BucketsConfigError::Count {
                value: value.clone(),
            })?;
        }
        let is_ordered = Duration::from_secs(self.duration.as_secs()) > self.deadline
            && self.deadline > self.retry.mul_f64(JITTER);
        match is_ordered {
            true => Ok(self),
            false => Err(BucketsConfigError::Order {
                duration: self.duration,
                deadline: self.deadline,
                retry: self.retry,
            }),
        }
    }

    /// With what the config map `name` in our namespace says; a missing one changes nothing.
    ///
    /// # Errors
    /// When it cannot be read, or some value cannot be used.
    pub async fn fetch(
        self,
        client: &Client,
        counters: &Arc<Counters>,
        name: &str,
    ) -> Result<Self, BucketsConfigError> {
        let caller = Caller::new(client.clone(), Arc::clone(counters), FETCH_WITHIN);
        let path = format!("/api/v1/namespaces/{}/configmaps/{name}", self.namespace);
        match caller.get::<ConfigMap>(&path).await {
            Ok(map) => self.read(&map.data),
            Err(error) if error.status() == Some(404) => Ok(self),
            Err(source) => Err(BucketsConfigError::Unreadable {
                name: name.to_owned(),
                source,
            }),
        }
    }

    /// How we sign Leases.
    pub fn holder(&self) -> String {
        format!("{}_{}", self.pod_name, self.pod_ip)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ConfigMap {
    data: BTreeMap<String, String>,
}

/// A duration as Go writes it: `1m30s`, `500ms`, `1.5h`.
fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|it: char| !it.is_ascii_digit() && it != '.')?;
        let (number, tail) = rest.split_at(end);
        let end = tail.find(|it: char| it.is_ascii_digit() || it == '.');
        let (unit, tail) = tail.split_at(end.unwrap_or(tail.len()));
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        let part = number.parse::<f64>().ok()? * seconds;
        total = total.checked_add(Duration::try_from_secs_f64(part).ok()?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(data: &[(&str, &str)]) -> Result<BucketsConfig, BucketsConfigError> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let config = BucketsConfig::new("ns", "pod", "10.0.0.1".parse().unwrap());
        config.read(&data.iter().map(owned).collect())
    }

    #[test]
    fn settings_are_read_as_knative_reads_them() {
        let config = read(&[
            ("_example", "lease-duration: 1s"),
            ("leaseDuration", "1h"),
            ("lease-duration", "15s"),
            ("renewDeadline", "10s"),
            ("retry-period", "1.5s"),
            ("buckets", "10"),
            ("map-lease-prefix.x", "y"),
        ]);
        let config = config.unwrap();
        let seconds = Duration::from_secs;
        assert_eq!(
            (config.duration, config.deadline),
            (seconds(15), seconds(10))
        );
        assert_eq!(config.retry, Duration::from_millis(1_500));
        assert_eq!((config.count, config.holder()), (10, "pod_10.0.0.1".into()));
        for nothing in [read(&[]), read(&[("_example", "lease-duration: 1s")])] {
            let config = nothing.unwrap();
            assert_eq!(
                (config.duration, config.deadline),
                (seconds(60), seconds(40))
            );
            assert_eq!((config.retry, config.count), (seconds(10), 1));
        }
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        for (key, value) in [
            ("lease-duration", "60"),
            ("lease-duration", ""),
            ("lease-duration", "-1s"),
            ("lease-duration", "15s"),
            ("retry-period", "0s"),
            ("buckets", "0"),
            ("buckets", "11"),
            ("buckets", "two"),
            ("renew-deadline", "60s"),
            ("retry-period", "34s"),
        ] {
            assert!(read(&[(key, value)]).is_err(), "{key}: {value}");
        }
    }

    #[test]
    fn durations_are_those_of_go() {
        let millis = |millis| Some(Duration::from_millis(millis));
        assert_eq!(go_duration("1m30s"), millis(90_000));
        assert_eq!(go_duration("1.5h"), millis(5_400_000));
        assert_eq!(go_duration("500ms"), millis(500));
        for text in ["", "5", "s", "1x", "1..5s", "-1s", "1s "] {
            assert_eq!(go_duration(text), None, "{text}");
        }
    }
}
