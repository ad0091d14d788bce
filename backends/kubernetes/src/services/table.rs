//! Addresses of Services, and whose they are.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::raw::RawService;

/// Addresses of Services by their namespaces and names, and the other way round.
#[derive(Debug, Default)]
pub(super) struct Table {
    services: HashMap<(Arc<str>, Box<str>), Known>,
    /// Several namespaces may name one address, of a load balancer for example.
    owners: BTreeMap<IpAddr, Vec<Arc<str>>>,
}

#[derive(Debug)]
struct Known {
    addresses: Box<[IpAddr]>,
    /// The list that showed it last.
    seen: u64,
}

impl Table {
    /// Takes a Service in, or its change.
    pub(super) fn apply(&mut self, service: &RawService, seen: u64) {
        let Some(key) = key(service) else {
            return;
        };
        let addresses = service.addresses().filter_map(|text| text.parse().ok());
        let addresses: Box<[IpAddr]> = addresses.map(|it: IpAddr| it.to_canonical()).collect();
        self.remove(&key);
        for address in &addresses {
            let owners = self.owners.entry(*address).or_default();
            owners.push(Arc::clone(&key.0));
        }
        self.services.insert(key, Known { addresses, seen });
    }

    /// A Service is gone.
    pub(super) fn delete(&mut self, service: &RawService) {
        if let Some(key) = key(service) {
            self.remove(&key);
        }
    }

    /// A list is complete: what it did not show is gone.
    pub(super) fn sweep(&mut self, seen: u64) {
        let gone = self.services.iter().filter(|(_, it)| it.seen != seen);
        let gone: Vec<_> = gone.map(|(key, _)| key.clone()).collect();
        gone.iter().for_each(|key| self.remove(key));
    }

    /// The namespaces with a Service at `address`; one may be named twice.
    pub(super) fn namespaces_of(&self, address: IpAddr) -> Vec<Arc<str>> {
        let owners = self.owners.get(&address.to_canonical());
        owners.cloned().unwrap_or_default()
    }

    fn remove(&mut self, key: &(Arc<str>, Box<str>)) {
        let Some(known) = self.services.remove(key) else {
            return;
        };
        for address in &known.addresses {
            let Some(owners) = self.owners.get_mut(address) else {
                continue;
            };
            if let Some(at) = owners.iter().position(|it| *it == key.0) {
                owners.swap_remove(at);
            }
            if owners.is_empty() {
                self.owners.remove(address);
            }
        }
    }
}

fn key(service: &RawService) -> Option<(Arc<str>, Box<str>)> {
    let namespace = service.metadata.namespace.as_deref()?;
    let name = service.metadata.name.as_deref()?;
    Some((namespace.into(), name.into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::{Value, json};

    use super::*;

    fn service(namespace: &str, name: &str, spec: &Value) -> RawService {
        let metadata = json!({"namespace": namespace, "name": name});
        let ingress =
            json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}, {"hostname": "x"}]}});
        let whole = json!({"metadata": metadata, "spec": spec, "status": ingress});
        serde_json::from_value(whole).unwrap()
    }

    fn owners(table: &Table, address: &str) -> Vec<String> {
        let found = table.namespaces_of(address.parse().unwrap());
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_address_of_a_service_is_its_namespaces() {
        let mut table = Table::default();
        let spec = json!({"clusterIPs": ["10.96.0.7", "fd00::7"], "externalIPs": ["198.51.100.4"]});
        table.apply(&service("shop", "broker", &spec), 1);
        table.apply(
            &service("mail", "headless", &json!({"clusterIPs": ["None"]})),
            1,
        );
        for address in ["10.96.0.7", "::ffff:10.96.0.7", "fd00::7"] {
            assert_eq!(owners(&table, address), ["shop"], "{address}");
        }
        // Whoever makes a Service writes them: they make no address its own.
        assert_eq!(owners(&table, "198.51.100.4"), Vec::<String>::new());
        assert_eq!(owners(&table, "203.0.113.9"), ["shop", "mail"]);
        assert_eq!(owners(&table, "10.96.0.8"), Vec::<String>::new());
    }

    #[test]
    fn changes_and_lists_take_old_addresses_away() {
        let mut table = Table::default();
        let at = |ip: &str| json!({"clusterIPs": [ip]});
        table.apply(&service("a", "x", &at("10.96.0.1")), 1);
        table.apply(&service("b", "x", &at("10.96.0.2")), 1);
        table.apply(&service("a", "x", &at("10.96.0.3")), 2);
        assert!(owners(&table, "10.96.0.1").is_empty());
        table.sweep(2);
        assert!(owners(&table, "10.96.0.2").is_empty());
        assert_eq!(owners(&table, "10.96.0.3"), ["a"]);
        table.delete(&service("a", "x", &at("10.96.0.3")));
        assert!(table.owners.is_empty() && table.services.is_empty());
    }
}
