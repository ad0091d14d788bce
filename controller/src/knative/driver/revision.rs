//! What a revision is to the engine, and what is planned of it.

use std::sync::Arc;

use zeron_backend_kubernetes::{ScaleTarget, TargetPort};
use zeron_core::Function;
use zeron_core::policy::{KnativeScaling, Scaling};
use zeron_core::status::FunctionStatus;
use zeron_frontend_knative::autoscaling::PodAutoscaler;

use super::{Parts, io, wall};
use crate::knative::entry::{Entry, Told};
use crate::knative::kind::Key;
use crate::knative::plan::{Plan, View, is_owned};
use crate::knative::store::{Deployment, Store};
use crate::knative::{Revision, Scrape};

/// Tells the sink what is new of a revision.
pub(super) fn hand_out(
    parts: &Parts,
    store: &Store,
    key: &Key,
    entry: &mut Entry,
    function: &Arc<Function>,
) {
    let Some(autoscaler) = store.autoscalers.get(key) else {
        return;
    };
    // Where one of the two is somebody else's Knative's own goes no further either: no way leads to
    // the pods, and nothing is scaled.
    let service = match store.metrics.get(key) {
        Some(metric) if !is_owned(autoscaler, metric) => None,
        _ => store.services.get(key),
    };
    let service = service.filter(|service| is_owned(autoscaler, *service));
    let private = service.map_or("", |s| &s.status.private_service_name);
    let Some((name, deployment)) = store.target(autoscaler) else {
        return;
    };
    let told = Told {
        function: Arc::clone(function),
        scrape: scrape(function, key, private),
        target: target(autoscaler, &name, deployment),
    };
    match &entry.told {
        Some(before) if *before == told => {}
        Some(before) if before.function == told.function && before.scrape == told.scrape => {
            parts.sink.retarget(&told.target);
        }
        before => parts.sink.apply(&Revision {
            function: Arc::clone(&told.function),
            target: told.target.clone(),
            scrape: told.scrape.clone(),
            is_new: before.is_none(),
        }),
    }
    entry.told = Some(told);
    let facts = entry.facts_now(service);
    if entry.facts != Some(facts) {
        parts.sink.observe_path(&entry.id, facts);
        entry.facts = Some(facts);
    }
}

pub(super) fn plan(
    store: &Store,
    key: &Key,
    function: &Function,
    status: Option<&FunctionStatus>,
    parts: &Parts,
) -> Option<Plan> {
    let view = View {
        autoscaler: store.autoscalers.get(key)?,
        service: store.services.get(key),
        metric: store.metrics.get(key),
        scaling: scaling(function)?,
        status,
        collection: &parts.sink.collection(&function.id),
        now: wall(),
    };
    Some(view.plan())
}

fn scaling(function: &Function) -> Option<&KnativeScaling> {
    function
        .scale
        .groups
        .iter()
        .find_map(|group| match &group.scaling {
            Scaling::Knative(scaling) => Some(scaling),
            Scaling::Http(_) | Scaling::Metric(_) => None,
        })
}

/// The Service of the pods, unless activators see everything.
fn scrape(function: &Function, key: &Key, private: &str) -> Option<Scrape> {
    let scaling = scaling(function)?;
    let is_scraped = scaling.target_burst_capacity != -1.0 && !private.is_empty();
    is_scraped.then(|| Scrape {
        stable_window: scaling.stable_window,
        service: format!("{private}.{}", key.namespace).into(),
    })
}

fn target(autoscaler: &PodAutoscaler, name: &Key, deployment: &Deployment) -> ScaleTarget {
    let port = io::queue_proxy_port(autoscaler.protocol());
    ScaleTarget {
        id: autoscaler.function_id(),
        api_version: "apps/v1".into(),
        kind: "Deployment".into(),
        plural: "deployments".into(),
        name: Arc::clone(&name.name),
        namespace: Arc::clone(&name.namespace),
        uid: deployment.uid.clone(),
        resource_version: deployment.resource_version.clone(),
        selector: Arc::clone(&deployment.selector),
        replicas: Some(deployment.replicas),
        port: TargetPort::Number(port),
        failure: deployment.failure.clone(),
        is_deleting: deployment.is_deleting,
    }
}
