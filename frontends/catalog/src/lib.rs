//! All documents of a set of manifests, joined into one catalog of functions and routes.
//!
//! Each kind is read by its front end; here they learn of each other: which triggers scale which
//! Deployment, which Service a route leads to, who owns a host. Nothing is left half done: with
//! any error among the problems the caller keeps the catalog that it has.

mod cluster;
mod functions;
mod hosts;
mod http;
mod inventory;
mod jobs;
mod kind;
mod opted;
mod port;
mod target;
mod triggers;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use zeron_core::policy::{Pause, TriggerGroup};
use zeron_core::{Function, ObjectRef, Route, ScalePolicy, ScalerRegistry};
use zeron_frontend_keda::Extras;
use zeron_frontend_knative::{AutoscalerConfig, Service};
use zeron_manifest::{ConfigSet, Document, Problem, Problems};

use inventory::Inventory;

pub use cluster::{Cluster, Component, compile_component};
pub use port::PodPort;

/// Everything that a set of manifests declares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    /// Knative Services, in the order of their documents; several of one name are edits of it.
    pub services: Vec<Service>,
    /// Deployments with all triggers that scale them.
    pub functions: Vec<Function>,
    /// Routes of `http.keda.sh` objects.
    pub routes: Vec<Route>,
    /// `config-autoscaler`.
    pub config: AutoscalerConfig,
    /// The domain of Knative Services.
    pub domain: String,
    /// All objects that were read.
    pub objects: Vec<ObjectRef>,
    /// What ScaledObjects say about Knative Services, by namespace and name.
    service_triggers: BTreeMap<(String, String), Scaled>,
}

/// What ScaledObjects and HTTPScaledObjects say about one target.
#[derive(Clone, Debug, Default, PartialEq)]
struct Scaled {
    groups: Vec<TriggerGroup>,
    pause: Pause,
    extras: Extras,
}

/// How documents are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileOptions {
    /// Fields without effect are errors.
    pub is_strict: bool,
    /// The domain of Knative Services.
    pub domain: String,
}

impl Default for CompileOptions {
    fn default() -> Self {
        Self {
            is_strict: false,
            domain: "localhost".to_owned(),
        }
    }
}

/// Reads all documents and joins what they declare. All problems come at once, by place.
pub fn compile(
    documents: &[Document],
    scalers: &dyn ScalerRegistry,
    options: &CompileOptions,
) -> (Catalog, Vec<Problem>) {
    let problems = Problems::new(options.is_strict);
    let inventory = Inventory::read(documents, &problems, ConfigSet::default());
    let mut routing = http::routing(&inventory);
    hosts::check(&inventory, &routing.routes, &options.domain);
    let mut scaled = triggers::groups(&inventory, scalers);
    let functions = functions::functions(&inventory, &mut scaled.functions, &routing);
    let routes = routing.routes.drain(..).map(|(_, route)| route).collect();
    let catalog = Catalog {
        functions,
        routes,
        domain: options.domain.clone(),
        objects: inventory.objects,
        config: inventory.config,
        service_triggers: scaled.services,
        services: inventory
            .services
            .into_iter()
            .map(|read| read.value)
            .collect(),
    };
    (catalog, problems.into_sorted())
}

impl Catalog {
    /// Adds to `function`, a revision of `service`, what ScaledObjects say about the Service.
    pub fn bind_triggers(&self, service: &ObjectRef, function: &mut Function) {
        let key = (service.namespace.clone(), service.name.clone());
        if let Some(scaled) = self.service_triggers.get(&key) {
            scaled.add_to(&mut function.scale);
            let id = function.id.to_string();
            let groups = function.scale.groups.iter_mut();
            groups.for_each(|group| triggers::measure(group, &id));
        }
    }
}

impl Scaled {
    fn add_to(&self, policy: &mut ScalePolicy) {
        policy.groups.extend(self.groups.iter().cloned());
        policy.pause = joined(policy.pause, self.pause);
    }

    /// The smallest maximum; `None` without any.
    fn max(&self) -> Option<u32> {
        self.groups.iter().filter_map(|group| group.max).min()
    }
}

/// A pause of any object pauses the function; of two counts the lower one holds.
fn joined(a: Pause, b: Pause) -> Pause {
    Pause {
        is_frozen: a.is_frozen || b.is_frozen,
        at: a.at.into_iter().chain(b.at).min(),
        scale_in: a.scale_in || b.scale_in,
        scale_out: a.scale_out || b.scale_out,
    }
}
