//! ScaledJobs become functions whose work is done by Jobs.

use std::collections::BTreeMap;

use zeron_core::function::Protocol;
use zeron_core::{Function, FunctionId, ScalePolicy, ScalerRegistry};
use zeron_frontend_keda::{Bindings, JobTemplate, ScaledJob};

use super::inventory::{Inventory, Read};
use super::triggers;

/// One function per ScaledJob, with what its Jobs are made of.
pub(super) fn functions(
    inventory: &Inventory<'_>,
    scalers: &dyn ScalerRegistry,
) -> (Vec<Function>, BTreeMap<FunctionId, JobTemplate>) {
    let mut templates = BTreeMap::new();
    let http_targets = BTreeMap::new();
    let function = |read: &Read<'_, ScaledJob>| {
        let scope = read.scope(inventory.problems);
        let job = &read.value;
        let bindings = Bindings {
            authentications: &inventory.authentications,
            environments: &job.environments,
            http_targets: &http_targets,
        };
        let group = job.bind(&scope, &bindings);
        triggers::validate(&scope, &group, scalers);
        let scale = ScalePolicy {
            groups: vec![group],
            pause: job.pause,
            jobs: Some(job.scaling.clone()),
            ..ScalePolicy::default()
        };
        let id = job.target.function(&read.object.namespace);
        templates.insert(id.clone(), job.template.clone());
        worker(id, read, scale)
    };
    let functions = inventory.scaled_jobs.iter().map(function).collect();
    (functions, templates)
}

/// Nothing is sent to it: what it runs is told by its template.
fn worker(id: FunctionId, read: &Read<'_, ScaledJob>, scale: ScalePolicy) -> Function {
    Function {
        scale,
        ..Function::new(id, read.object.clone(), Protocol::None)
    }
}
