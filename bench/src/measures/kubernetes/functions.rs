//! Functions in a namespace: Deployments at zero and what declares them.

use anyhow::Result;

use super::objects;
use crate::measures::cluster::namespace::{Kind, Namespace, is_ready};

impl Namespace {
    /// Declares functions over Deployments, and waits until they are said to be ready.
    pub(super) fn declare(&self, names: &[String]) -> Result<()> {
        let services = names
            .iter()
            .map(|name| (Kind::Service, objects::service(name)));
        let objects = names
            .iter()
            .map(|name| (Kind::HttpScaledObject, objects::http_scaled_object(name)));
        self.create_all(services.chain(objects).collect())?;
        self.wait_for_all(
            Kind::HttpScaledObject,
            "functions are ready",
            names.len(),
            is_ready,
        )
    }

    /// Deletes everything that runs or scales, and waits until no pod is left.
    pub(super) fn clear(&self) -> Result<()> {
        self.delete_all(&[
            Kind::HttpScaledObject,
            Kind::ScaledObject,
            Kind::Deployment,
            Kind::Pod,
            Kind::Service,
        ])
    }
}
