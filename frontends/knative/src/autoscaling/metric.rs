//! Metric: over which windows a revision's load is averaged, and where it is scraped.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use zeron_core::Timestamp;
use zeron_core::policy::KnativeScaling;

use super::AUTOSCALING_API;
use super::child::{self, Child};
use super::condition::{self, Condition, ConditionStatus, READY, Says};
use super::metadata::Metadata;
use super::pod_autoscaler::PodAutoscaler;

/// autoscaling.internal.knative.dev/v1alpha1 Metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Name and owner: its PodAutoscaler's.
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: MetricSpec,
    /// How it goes.
    #[serde(default, skip_serializing)]
    pub status: MetricStatus,
}

/// `spec` of a Metric.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricSpec {
    /// Nanoseconds.
    pub stable_window: i64,
    /// Nanoseconds.
    pub panic_window: i64,
    /// The Service whose pods are asked; empty: none, the activators see everything.
    pub scrape_target: String,
}

/// `status` of a Metric.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MetricStatus {
    /// The generation that it speaks of.
    pub observed_generation: i64,
    /// `Ready`.
    pub conditions: Vec<Condition>,
}

/// How asking pods for their load goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Collection {
    /// As it should, or nobody is asked.
    #[default]
    Collected,
    /// No pod answered that was not asked before.
    NoStat,
    /// It fails, in words.
    Failed(Arc<str>),
}

impl Metric {
    /// The one that a PodAutoscaler wants. `scrape_target` is the Service of the pods themselves.
    pub fn wanted(owner: &PodAutoscaler, scaling: &KnativeScaling, scrape_target: &str) -> Self {
        let is_scraped = scaling.target_burst_capacity != -1.0;
        Self {
            metadata: child::metadata(owner, |_| true),
            spec: MetricSpec {
                stable_window: nanos(scaling.stable_window),
                panic_window: nanos(scaling.panic_window),
                scrape_target: match is_scraped {
                    true => scrape_target.to_owned(),
                    false => String::new(),
                },
            },
            status: MetricStatus::default(),
        }
    }

    /// Its status now.
    pub fn status_now(&self, collection: &Collection, now: Timestamp) -> MetricStatus {
        let failed;
        let says = match collection {
            Collection::Collected => Says::only(ConditionStatus::True),
            Collection::NoStat => Says::no(
                "DidNotReceiveStat",
                "did not receive stat from an unscraped pod",
            ),
            Collection::Failed(error) => {
                failed = format!("Failed to reconcile metric collection: {error}");
                Says::no("CollectionFailed", &failed)
            }
        };
        let mut status = self.status.clone();
        status.observed_generation = self.metadata.generation;
        condition::set(&mut status.conditions, READY, says, now);
        status
    }
}

fn nanos(window: Duration) -> i64 {
    i64::try_from(window.as_nanos()).unwrap_or(i64::MAX)
}

impl Child for Metric {
    type Spec = MetricSpec;
    const API_VERSION: &'static str = AUTOSCALING_API;
    const KIND: &'static str = "Metric";

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn spec(&self) -> &MetricSpec {
        &self.spec
    }
}
