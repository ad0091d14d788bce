//! One pod, as little of it as is needed.

use std::net::IpAddr;
use std::sync::Arc;

use zeron_core::{EndpointId, FunctionId, Timestamp};

use super::interner::{Interner, Symbol};
use super::raw::RawPod;
use super::shape::Shape;
use super::trouble::{Case, trouble_of};
use crate::target::parse_time;

/// A pod of the table.
#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) id: EndpointId,
    pub(crate) uid: Box<str>,
    pub(crate) namespace: Symbol,
    pub(crate) name: Arc<str>,
    /// Sorted by key.
    pub(crate) labels: Box<[(Symbol, Symbol)]>,
    pub(crate) node: Option<Symbol>,
    pub(crate) shape: Arc<Shape>,
    pub(crate) ip: Option<IpAddr>,
    /// Those of another family.
    pub(crate) other_ips: Box<[IpAddr]>,
    pub(crate) created: Timestamp,
    /// When its containers were first started, by the cluster's clock.
    pub(crate) started: Timestamp,
    pub(crate) is_ready: bool,
    /// When that last changed, by the cluster's clock.
    pub(crate) ready_changed: Timestamp,
    /// It has a deletion timestamp, or is over.
    pub(crate) is_draining: bool,
    /// It has succeeded or failed.
    pub(crate) is_over: bool,
    pub(crate) case: Option<Box<Case>>,
    /// Functions that it belongs to; nearly always one.
    pub(crate) members_of: Vec<FunctionId>,
    /// Generation of the list that it was last seen in.
    pub(crate) seen: u64,
}

impl Pod {
    /// Takes what is needed of `raw`, continuing the story of `previous`.
    pub(crate) fn new(
        raw: &RawPod,
        shape: Arc<Shape>,
        previous: Option<&Self>,
        names: &mut Interner,
        now: Timestamp,
    ) -> Option<Self> {
        let metadata = &raw.metadata;
        let uid = metadata.uid.as_deref()?;
        let phase = raw.status.phase.as_deref();
        let ready = raw.condition("Ready");
        let is_ready = ready.is_some_and(|ready| ready.status == "True");
        let is_over = matches!(phase, Some("Succeeded" | "Failed"));
        let trouble = if is_ready { None } else { trouble_of(raw) };
        let old = previous.and_then(|old| old.case.as_deref());
        let mut labels: Vec<_> = metadata
            .labels
            .iter()
            .flatten()
            .map(|(key, value)| (names.acquire(key), names.acquire(value)))
            .collect();
        labels.sort_unstable();
        let created = metadata.creation_timestamp.as_ref();
        let ip = (raw.status.pod_ip.as_deref()).and_then(|ip| ip.parse().ok());
        let ips = raw.status.pod_ips.iter();
        let ips = ips.filter_map(|it| it.ip.as_deref()?.parse().ok());
        Some(Self {
            id: endpoint_id(uid),
            uid: uid.into(),
            namespace: names.acquire(metadata.namespace.as_deref().unwrap_or_default()),
            name: metadata.name.as_deref().unwrap_or_default().into(),
            labels: labels.into(),
            node: raw
                .spec
                .node_name
                .as_deref()
                .map(|node| names.acquire(node)),
            shape,
            ip,
            other_ips: ips.filter(|other| Some(*other) != ip).collect(),
            created: created
                .and_then(|time| u64::try_from(time.0.as_microsecond()).ok())
                .map(Timestamp::from_micros)
                .unwrap_or_default(),
            started: (raw.status.start_time.as_deref())
                .and_then(parse_time)
                .unwrap_or_default(),
            is_ready: is_ready && !is_over,
            ready_changed: ready
                .and_then(|ready| parse_time(ready.last_transition_time.as_deref()?))
                .unwrap_or_default(),
            is_draining: metadata.deletion_timestamp.is_some() || is_over,
            is_over,
            case: trouble.map(|trouble| Box::new(Case::follow(old, trouble, now))),
            members_of: Vec::new(),
            seen: 0,
        })
    }

    /// Gives its strings back.
    pub(crate) fn release(&self, names: &mut Interner) {
        for (key, value) in &self.labels {
            names.release(*key);
            names.release(*value);
        }
        names.release(self.namespace);
        if let Some(node) = self.node {
            names.release(node);
        }
    }

    /// It runs and is not on its way out.
    pub(crate) fn is_live(&self) -> bool {
        self.ip.is_some() && !self.is_draining
    }

    pub(crate) fn label<'a>(&self, key: &str, names: &'a Interner) -> Option<&'a str> {
        let key = names.get(key)?;
        let (_, value) = self.labels.iter().find(|(own, _)| *own == key)?;
        Some(names.text(*value))
    }
}

/// The first eight bytes of the UID: all processes name a pod alike.
pub fn endpoint_id(uid: &str) -> EndpointId {
    let digits: String = uid
        .chars()
        .filter(char::is_ascii_hexdigit)
        .take(16)
        .collect();
    if digits.len() == 16
        && let Ok(id) = u64::from_str_radix(&digits, 16)
    {
        return EndpointId(id);
    }
    // Not a UUID: any stable hash (FNV-1a) of what it is.
    let hash = uid.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    EndpointId(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With name, UID, five labels, and its places in the indexes about 500 bytes.
    #[test]
    fn a_pod_is_small() {
        assert!(
            size_of::<Option<Pod>>() <= 216,
            "{}",
            size_of::<Option<Pod>>()
        );
    }

    #[test]
    fn an_endpoint_is_named_by_the_first_half_of_its_uid() {
        let id = endpoint_id("01234567-89ab-cdef-0123-456789abcdef");
        assert_eq!(id, EndpointId(0x0123_4567_89ab_cdef));
        assert_eq!(endpoint_id("static"), endpoint_id("static"));
        assert_ne!(endpoint_id("static"), endpoint_id("other"));
    }
}
