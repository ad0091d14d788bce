//! Whose an address of the cluster is: the Services of all namespaces, watched, and the pods that are known anyway.

mod raw;
mod table;
mod watch;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use kube::Client;
use parking_lot::Mutex;
use tokio::sync::watch as channel;
use tokio_util::task::AbortOnDropHandle;

use crate::counters::Counters;
use crate::pods::Pods;
use table::Table;

/// The watch of Services and what is known from it. Cheap to clone; it ends with the last clone.
#[derive(Clone)]
pub struct Services {
    shared: Arc<Shared>,
    pods: Pods,
    _task: Arc<AbortOnDropHandle<()>>,
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}

/// What the watch and the callers share.
struct Shared {
    table: Mutex<Table>,
    synced: channel::Sender<bool>,
    counters: Arc<Counters>,
}

impl Services {
    /// Starts the watch on the current runtime. `pods` are to be those of all namespaces.
    pub fn start(client: Client, pods: Pods, counters: Arc<Counters>) -> Self {
        let shared = Arc::new(Shared {
            table: Mutex::default(),
            synced: channel::Sender::new(false),
            counters,
        });
        let task = tokio::spawn(watch::run(client, Arc::clone(&shared)));
        Self {
            shared,
            pods,
            _task: Arc::new(AbortOnDropHandle::new(task)),
        }
    }

    /// Returns when the first list of Services is complete.
    pub async fn synced(&self) {
        let mut synced = self.shared.synced.subscribe();
        // The sender lives as long as we do.
        synced.wait_for(|is_synced| *is_synced).await.ok();
    }

    /// The namespaces that have a Service or a pod at `address`, pods on a node's network included;
    /// `None` before the first lists are complete.
    pub fn namespaces_of(&self, address: IpAddr) -> Option<Vec<Arc<str>>> {
        if !*self.shared.synced.borrow() || !self.pods.is_synced() {
            return None;
        }
        let mut namespaces = self.shared.table.lock().namespaces_of(address);
        namespaces.extend(self.pods.namespaces_of(address));
        namespaces.sort_unstable();
        namespaces.dedup();
        Some(namespaces)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn services(is_synced: bool) -> Services {
        let shared = Arc::new(Shared {
            table: Mutex::default(),
            synced: channel::Sender::new(is_synced),
            counters: Arc::new(Counters::new()),
        });
        let task = tokio::spawn(std::future::pending());
        Services {
            shared,
            pods: Pods::without_watch(),
            _task: Arc::new(AbortOnDropHandle::new(task)),
        }
    }

    fn owners(services: &Services, address: &str) -> Vec<String> {
        let found = services.namespaces_of(address.parse().unwrap()).unwrap();
        found.iter().map(ToString::to_string).collect()
    }

    #[tokio::test]
    async fn an_address_is_of_whoever_has_a_service_or_a_pod_there() {
        let services = services(true);
        let service = json!({
            "metadata": {"namespace": "shop", "name": "broker"},
            "spec": {"clusterIPs": ["10.96.0.7"]},
        });
        let service = serde_json::from_value(service).unwrap();
        services.shared.table.lock().apply(&service, 1);
        for (namespace, address) in [
            ("shop", "10.0.0.4"),
            ("mail", "192.0.2.1"),
            ("web", "192.0.2.1"),
        ] {
            services.pods.put(json!({
                "metadata": {"namespace": namespace, "name": "p", "uid": format!("{namespace}-uid")},
                "status": {"phase": "Running", "podIP": address},
            }));
        }
        assert_eq!(owners(&services, "10.96.0.7"), ["shop"]);
        assert_eq!(owners(&services, "10.0.0.4"), ["shop"]);
        assert_eq!(owners(&services, "192.0.2.1"), ["mail", "web"]);
        assert_eq!(owners(&services, "198.51.100.1"), Vec::<String>::new());
    }

    #[tokio::test]
    async fn nobody_is_named_before_all_are_known() {
        let services = services(false);
        assert_eq!(services.namespaces_of("10.96.0.7".parse().unwrap()), None);
    }
}
