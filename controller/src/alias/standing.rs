//! Whose a Service of an alias' name is, and what follows from that. Pure.

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::services::annotations::SELECTOR;
use crate::services::{SlicePort, SliceSubject, desired_slices};

use super::names::{ActivatorPorts, Alias, Lead};
use crate::services::ActivatorPod;

/// Label of Services that were made here; nothing else is ever removed.
pub const LABEL: &str = "zeron.dev/alias";

/// Whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is none.
    Missing,
    /// We made it.
    Ours,
    /// Its owner's, led to us by a take-over.
    TakenOver,
    /// Its owner's, with pods of its own.
    Foreign,
}

impl Standing {
    /// Of what was found.
    pub fn of(service: Option<&Service>) -> Self {
        let Some(service) = service else {
            return Self::Missing;
        };
        let labels = service.metadata.labels.as_ref();
        if labels.is_some_and(|l| l.get(LABEL).is_some_and(|value| value == "true")) {
            return Self::Ours;
        }
        let spec = service.spec.as_ref();
        let selector = spec.and_then(|spec| spec.selector.as_ref());
        let annotations = service.metadata.annotations.as_ref();
        let is_kept = annotations.is_some_and(|a| a.contains_key(SELECTOR));
        match is_kept && selector.is_none_or(|selector| selector.is_empty()) {
            true => Self::TakenOver,
            false => Self::Foreign,
        }
    }

    /// Whether callers of it are ours to lead.
    pub fn is_led(self) -> bool {
        matches!(self, Self::Ours | Self::TakenOver)
    }
}

/// The slices of a Service that leads to us: its own ports, by the numbers that the alias has.
pub(super) fn slices(
    alias: &Alias,
    service: &Service,
    ports: &ActivatorPorts,
    activators: &[&ActivatorPod],
) -> Vec<EndpointSlice> {
    let spec = service.spec.clone().unwrap_or_default();
    let families = spec.ip_families.unwrap_or_else(|| vec!["IPv4".to_owned()]);
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let (namespace, name) = (
        text(&service.metadata.namespace),
        text(&service.metadata.name),
    );
    let uid = text(&service.metadata.uid);
    let subject = SliceSubject {
        namespace: &namespace,
        name: &name,
        uid: &uid,
        families: &families,
    };
    let declared = spec.ports.unwrap_or_default();
    let leads = declared.iter().filter_map(|port| {
        let known = alias
            .ports
            .iter()
            .find(|k| i32::from(k.number) == port.port);
        // A port that the alias has not (a later version's) is for requests when it is the only one.
        let lead = known.map_or(Lead::Http, |known| known.lead);
        (known.is_some() || declared.len() == 1).then_some(())?;
        Some(SlicePort {
            name: port.name.clone().unwrap_or_default(),
            port: ports.of(lead)?,
            app_protocol: port.app_protocol.clone(),
        })
    });
    desired_slices(&subject, &leads.collect::<Vec<_>>(), activators)
}
