//! Whose an address of a cluster is, and whose triggers may reach it.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use zeron_core::metric::Unknown;

/// Knows whose the addresses of a cluster are.
pub trait AddressOwners: Send + Sync + fmt::Debug {
    /// The namespaces with a Service or a pod at `address`.
    ///
    /// # Errors
    /// Why that is not known: not yet, or not any more.
    fn namespaces_of(&self, address: IpAddr) -> Result<Vec<Arc<str>>, Unknown>;
}

/// Which namespaces' addresses the triggers of one namespace may reach: its own, and the shared ones.
/// What is of no namespace is open to all.
#[derive(Clone, Debug)]
pub struct Territory {
    namespace: Arc<str>,
    shared: Arc<BTreeSet<String>>,
    owners: Arc<dyn AddressOwners>,
}

/// Why an address may not be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Foreign {
    /// Whose it is is not known.
    NotKnown(Unknown),
    /// It is another namespace's.
    Other,
}

impl Territory {
    /// Of the triggers of `namespace`; those of `shared` are reached from everywhere.
    pub fn new(
        namespace: &str,
        shared: Arc<BTreeSet<String>>,
        owners: Arc<dyn AddressOwners>,
    ) -> Self {
        Self {
            namespace: namespace.into(),
            shared,
            owners,
        }
    }

    /// The namespace whose triggers these are.
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Whether what is of `namespace` may be reached.
    pub(super) fn includes(&self, namespace: &str) -> bool {
        *self.namespace == *namespace || self.shared.contains(namespace)
    }

    pub(super) fn check(&self, address: IpAddr) -> Result<(), Foreign> {
        let owners = self.owners.namespaces_of(address);
        let owners = owners.map_err(Foreign::NotKnown)?;
        match owners.is_empty() || owners.iter().any(|it| self.includes(it)) {
            true => Ok(()),
            false => Err(Foreign::Other),
        }
    }
}
