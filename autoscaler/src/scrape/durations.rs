//! How long scrapes took, under OpenTelemetry's name for it, as Knative counts them.
//!
//! Source: knative/serving `pkg/autoscaler/metrics`.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::Shared;

/// Upper bounds in seconds.
const BOUNDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// All scrapes of one function.
#[derive(Clone, Debug, Default)]
pub(super) struct Durations {
    counts: [u64; BOUNDS.len() + 1],
    sum: f64,
}

impl Durations {
    pub(super) fn observe(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        self.counts[BOUNDS.partition_point(|bound| *bound < seconds)] += 1;
        self.sum += seconds;
    }

    /// Whether there was any.
    pub(super) fn any(&self) -> bool {
        self.counts.iter().any(|count| *count > 0)
    }

    fn add(&mut self, other: &Self) {
        let each = self.counts.iter_mut().zip(other.counts);
        each.for_each(|(count, more)| *count += more);
        self.sum += other.sum;
    }
}

/// Scrapes of all functions. As in the original, Revisions of one Service are not told apart.
pub(super) struct ScrapeDurations(pub(super) Arc<Shared>);

impl fmt::Debug for ScrapeDurations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScrapeDurations")
    }
}

impl Collector for ScrapeDurations {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut sums: HashMap<(Arc<str>, Arc<str>), Durations> = HashMap::new();
        for (namespace, service, durations) in self.0.state.lock().durations() {
            sums.entry((namespace, service)).or_default().add(durations);
        }
        let mut family = encoder.encode_descriptor(
            "kn_autoscaler_scrape_duration",
            "The duration of scraping the revision",
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        for ((namespace, service), durations) in sums {
            let labels: &[(&str, &str)] = &[
                ("kn_service_name", &service),
                ("kn_configuration_name", &service),
                ("k8s_namespace_name", &namespace),
            ];
            let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
            let buckets: Vec<_> = bounds.zip(durations.counts).collect();
            let count = durations.counts.iter().sum();
            let mut histogram = family.encode_family(&labels)?;
            histogram.encode_histogram::<[(&str, &str); 0]>(
                durations.sum,
                count,
                &buckets,
                None,
            )?;
        }
        Ok(())
    }
}
