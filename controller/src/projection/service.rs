//! The Service of a function: the way to its replicas where a mesh refuses their own addresses.

use std::net::SocketAddr;

use zeron_core::FunctionId;

use super::Projection;
use super::changes::MeshMode;
use super::facts::{Facts, ServiceFacts};
use super::index::service_key;
use super::key::ObjectKey;
use super::members::Members;

impl Projection {
    /// That of the first of its objects whose Service has an address, leads to this function alone,
    /// and does not lead back to us.
    pub(super) fn service(&self, id: &FunctionId, members: &Members) -> Option<SocketAddr> {
        members.ours.iter().find_map(|key| {
            let facts = self.index.facts(key)?;
            let service = service_key(&key.namespace, facts.services().0?);
            let Some(Facts::Service(found)) = self.index.facts(&service) else {
                return None;
            };
            let is_own = self.index.behind(&service) == [id.clone()];
            let address = found.address.filter(|_| is_own && !found.is_opted)?;
            let port = port(found, facts.service_port().map(|port| &**port))?;
            Some(SocketAddr::new(address, port))
        })
    }

    /// The URL at which callers inside the cluster reach an object's function at zero and at N: that of
    /// its Service, once its callers come to the activators.
    pub(super) fn address(&self, key: &ObjectKey) -> Option<String> {
        let facts = self.index.facts(key)?;
        let (namespace, name) = (&key.namespace, facts.services().0?);
        let Some(Facts::Service(found)) = self.index.facts(&service_key(namespace, name)) else {
            return None;
        };
        let wanted = facts.service_port().map(|port| &**port);
        let port = port(found, wanted).filter(|_| found.is_led)?;
        // Short of the cluster's domain, which pods search.
        Some(match port {
            80 => format!("http://{name}.{namespace}.svc"),
            _ => format!("http://{name}.{namespace}.svc:{port}"),
        })
    }

    /// What its objects say: of several the one that trusts pods' addresses least.
    pub(super) fn mesh(&self, members: &Members) -> Option<MeshMode> {
        let entries = members.ours.iter().filter_map(|key| self.index.get(key));
        entries.filter_map(|entry| entry.mesh).max()
    }
}

/// The number of the port that is wanted by number or name; the first where none is.
fn port(service: &ServiceFacts, wanted: Option<&str>) -> Option<u16> {
    let mut ports = service.ports.iter();
    let found = match wanted {
        None => ports.next(),
        Some(wanted) => {
            ports.find(|(number, name)| **name == *wanted || number.to_string() == wanted)
        }
    };
    found.map(|(number, _)| number.get())
}
