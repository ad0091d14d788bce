//! A Lease as it is stored, and what watching it tells.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// A Lease, as far as it is read and written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct LeaseObject {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) metadata: Metadata,
    pub(crate) spec: Spec,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Metadata {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resource_version: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Spec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) holder_identity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lease_duration_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) acquire_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) renew_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lease_transitions: Option<u32>,
}

/// A list of them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct LeaseList {
    pub(crate) metadata: Metadata,
    pub(crate) items: Vec<LeaseObject>,
}

impl LeaseObject {
    /// Who holds it; `None` when it was released.
    pub(crate) fn holder(&self) -> Option<&str> {
        let holder = self.spec.holder_identity.as_deref();
        holder.filter(|holder| !holder.is_empty())
    }

    /// Whether it is an older version than `other`, of the same object. Versions that are no
    /// numbers cannot be compared.
    pub(crate) fn is_older_than(&self, other: &Self) -> bool {
        let version = |object: &Self| -> Option<u64> {
            let version = object.metadata.resource_version.as_deref();
            version?.parse().ok()
        };
        let versions = version(self).zip(version(other));
        versions.is_some_and(|(own, other)| own < other)
    }

    /// How long it is valid after a renewal.
    fn duration(&self, fallback: Duration) -> Duration {
        let seconds = self.spec.lease_duration_seconds;
        seconds.map_or(fallback, |seconds| Duration::from_secs(seconds.into()))
    }
}

/// A record and when it last changed, by our own monotonic clock.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    pub(crate) object: LeaseObject,
    pub(crate) changed: Instant,
}

impl Observed {
    pub(crate) fn new(object: LeaseObject, now: Instant) -> Self {
        Self {
            object,
            changed: now,
        }
    }

    /// What was read now. Times in the record count for nothing but being another.
    pub(crate) fn update(&mut self, object: LeaseObject, now: Instant) {
        if self.object.spec != object.spec {
            self.changed = now;
        }
        self.object = object;
    }

    /// When others may take it; `None`: at once.
    pub(crate) fn expires(&self, fallback: Duration) -> Option<Instant> {
        self.object.holder()?;
        Some(self.changed + self.object.duration(fallback))
    }

    pub(crate) fn is_free(&self, fallback: Duration, now: Instant) -> bool {
        self.expires(fallback).is_none_or(|at| at <= now)
    }
}

/// `metav1.MicroTime` now, for people: nobody computes with it.
pub(crate) fn micro_time() -> String {
    let now = jiff::Timestamp::now();
    format!("{now:.6}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(by: &str, renewed: &str) -> LeaseObject {
        LeaseObject {
            spec: Spec {
                holder_identity: Some(by.to_owned()),
                lease_duration_seconds: Some(4),
                renew_time: Some(renewed.to_owned()),
                ..Spec::default()
            },
            ..LeaseObject::default()
        }
    }

    #[test]
    fn a_lease_expires_by_our_own_clock_whatever_its_times_say() {
        let start = Instant::now();
        let seconds = |seconds| start + Duration::from_secs(seconds);
        // The holder's clock is a century behind.
        let mut seen = Observed::new(held("a", "1926-01-01T00:00:00.000000Z"), start);
        assert!(!seen.is_free(Duration::ZERO, seconds(3)));
        seen.update(held("a", "1926-01-01T00:00:01.000000Z"), seconds(3));
        assert!(!seen.is_free(Duration::ZERO, seconds(6)));
        seen.update(held("a", "1926-01-01T00:00:01.000000Z"), seconds(6));
        assert!(seen.is_free(Duration::ZERO, seconds(7)));
        seen.update(held("", "x"), seconds(7));
        assert!(seen.is_free(Duration::ZERO, seconds(7)));
    }

    #[test]
    fn times_are_written_as_the_api_wants_them() {
        let text = micro_time();
        assert_eq!((text.len(), text.ends_with('Z')), (27, true), "{text}");
    }
}
