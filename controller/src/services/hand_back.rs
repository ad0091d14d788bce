//! All opted-in Services back to their pods, with or without a controller running.

use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::time::Instant;

use super::annotations::HANDED_BACK;
use super::apply::{ServiceError, SliceApi};
use super::observed::Observed;
use super::plan::{Next, World, next};
use super::reconcile::LINGER;

/// For one Service, most of it waiting for the platform's slices.
const PATIENCE: Duration = Duration::from_secs(60);

/// How one Service fared.
#[derive(Debug)]
pub struct HandedBack {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `Err`: why it still leads to activators; what was done so far stays, and can be gone on with.
    pub outcome: Result<(), ServiceError>,
}

/// Gives every Service that leads to activators its selector back: of one namespace, or of all.
///
/// They are marked first (`zeron.dev/handed-back`), so that a running controller goes the same way
/// and none takes them again.
///
/// # Errors
/// When the Services cannot be listed.
pub async fn hand_back(
    client: Client,
    namespace: Option<&str>,
) -> Result<Vec<HandedBack>, kube::Error> {
    let slices = SliceApi::new(client);
    let mut done = Vec::new();
    for service in slices.marked(namespace).await? {
        let namespace = service.metadata.namespace.clone().unwrap_or_default();
        let name = service.metadata.name.clone().unwrap_or_default();
        let outcome = give(&slices, &namespace, &name).await;
        done.push(HandedBack {
            namespace,
            name,
            outcome,
        });
    }
    Ok(done)
}

async fn give(slices: &SliceApi, namespace: &str, name: &str) -> Result<(), ServiceError> {
    let failed = |action, source| ServiceError::Api {
        action,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        source: Box::new(source),
    };
    mark(slices, namespace, name)
        .await
        .map_err(|source| failed("mark the Service", source))?;
    let begun = Instant::now();
    let mut led_back = None;
    loop {
        let read = slices.service(namespace, name).await;
        let Some(service) = read.map_err(|source| failed("read the Service", source))? else {
            return Ok(());
        };
        let listed = slices.list(namespace, name).await;
        let listed = listed.map_err(|source| failed("list the EndpointSlices", source))?;
        let seen = Observed::new(&service, listed);
        if seen.ours.is_empty() && seen.selector.is_some() {
            led_back.get_or_insert_with(Instant::now);
        }
        match decide(&seen, led_back) {
            Next::Rest => return Ok(()),
            // A running controller does the same, and may be first.
            Next::Do(step) => match slices.perform(&seen, &step).await {
                Err(ServiceError::Changed { .. }) | Ok(()) => {}
                Err(error) => return Err(error),
            },
            Next::Wait(time, _) if begun.elapsed() < PATIENCE => {
                tokio::time::sleep(time.min(Duration::from_secs(1))).await;
            }
            Next::Wait(_, _) => return Err(waiting(namespace, name)),
        }
    }
}

fn waiting(namespace: &str, name: &str) -> ServiceError {
    ServiceError::Waiting {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        patience: PATIENCE,
    }
}

fn decide(seen: &Observed, led_back: Option<Instant>) -> Next {
    let now = Instant::now();
    let world = World {
        accepting: Vec::new(),
        is_pending: false,
        ports: Ok(seen.ports.clone()),
        has_function: true,
        linger: led_back.map_or(LINGER, |at| {
            LINGER.saturating_sub(now.saturating_duration_since(at))
        }),
    };
    next(seen, &world)
}

async fn mark(slices: &SliceApi, namespace: &str, name: &str) -> Result<(), kube::Error> {
    let api: Api<Service> = Api::namespaced(slices.client(), namespace);
    let change = json!({ "metadata": { "annotations": { HANDED_BACK: "true" } } });
    api.patch(name, &PatchParams::default(), &Patch::Merge(&change))
        .await?;
    Ok(())
}
