//! Names are resolved under the policy, so that what was checked is what is dialled.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use zeron_core::metric::Unknown;

use super::CONNECT_WITHIN;
use crate::AddressPolicy;

/// A name was not resolved, or to an address that may not be reached.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.message)]
pub(super) struct Refused(pub(super) Unknown);

/// Resolves under a policy.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
    policy: AddressPolicy,
}

impl Resolver {
    /// Of `policy`.
    pub(super) fn new(policy: AddressPolicy) -> Self {
        Self { policy }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.policy.clone();
        Box::pin(async move {
            // Port 0 is replaced by the URL's.
            let found = policy.resolve(name.as_str(), 0, CONNECT_WITHIN).await;
            let addresses: Addrs = Box::new(found.map_err(Refused)?.into_iter());
            Ok(addresses)
        })
    }
}
