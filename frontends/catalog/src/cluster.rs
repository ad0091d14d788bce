//! Objects of a cluster that belong together: one target with all that leads to it and scales it.

use std::collections::BTreeMap;

use zeron_core::{Function, FunctionId, Route, ScalerRegistry};
use zeron_frontend_keda::JobTemplate;
use zeron_manifest::{ConfigSet, Document, Problem, Problems};

use super::inventory::Inventory;
use super::{PodPort, functions, http, jobs, triggers};

/// How objects of a cluster are read.
#[derive(Clone, Copy, Debug)]
pub struct Cluster<'c> {
    /// Where ClusterTriggerAuthentications find Secrets and ConfigMaps.
    pub namespace: &'c str,
    /// Secrets that may not be read: namespace, name, and what would allow it.
    pub denied: &'c [(String, String, String)],
}

/// What a few objects declare together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Component {
    /// One function per object that holds replicas.
    pub functions: Vec<Function>,
    /// Where their pods listen, of those that routes lead to.
    pub ports: BTreeMap<FunctionId, PodPort>,
    /// What the Jobs of ScaledJobs are made of: each is a function too.
    pub jobs: BTreeMap<FunctionId, JobTemplate>,
    /// All routes. Who owns a host is not decided here.
    pub routes: Vec<Route>,
}

/// Reads objects of a cluster, oldest first, and joins what they declare.
///
/// Every kind that no front end has may hold replicas. Unlike [`compile`](super::compile) nothing
/// is refused as a whole: a problem of severity `Error` names the object that should be left out.
pub fn compile_component(
    documents: &[Document],
    scalers: &dyn ScalerRegistry,
    cluster: &Cluster<'_>,
) -> (Component, Vec<Problem>) {
    let problems = Problems::of_cluster(false);
    let mut config = ConfigSet::of_cluster(cluster.namespace);
    for (namespace, name, hint) in cluster.denied {
        config.deny_secret(namespace, name, hint);
    }
    let inventory = Inventory::read(documents, &problems, config);
    let routing = http::routing(&inventory);
    let mut scaled = triggers::groups(&inventory, scalers);
    let mut functions = functions::functions(&inventory, &mut scaled.functions, &routing);
    let (workers, templates) = jobs::functions(&inventory, scalers);
    functions.extend(workers);
    let port =
        |(id, routed): (&FunctionId, &http::Routed)| Some((id.clone(), routed.pod_port.clone()?));
    let component = Component {
        functions,
        jobs: templates,
        ports: routing.targets.iter().filter_map(port).collect(),
        routes: routing.routes.into_iter().map(|(_, route)| route).collect(),
    };
    (component, problems.into_sorted())
}
