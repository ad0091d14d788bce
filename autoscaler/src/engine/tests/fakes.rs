//! A back end whose replicas are ready at once, sources that answer what they are told, and a rig
//! that plays the activator.

mod backend;
mod rig;
mod sources;

use zeron_core::function::Protocol;
use zeron_core::policy::{ScalePolicy, TriggerGroup};
use zeron_core::workload::{Port, Workload};
use zeron_core::{Function, FunctionId};

pub(super) use self::backend::FakeBackend;
pub(super) use self::rig::{Rig, start_threaded};
pub(super) use self::sources::FakeRegistry;
use crate::testkit::source;

/// Lets every task run until it waits; no time passes.
pub(super) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

pub(super) fn id(name: &str) -> FunctionId {
    FunctionId::new("default", "Deployment", name)
}

pub(super) fn function(name: &str, groups: Vec<TriggerGroup>) -> Function {
    Function {
        workload: Workload {
            command: vec!["run".to_owned()],
            port: Some(Port::Assigned),
            ..Workload::default()
        },
        scale: ScalePolicy {
            groups,
            ..ScalePolicy::default()
        },
        ..Function::new(id(name), source("Deployment"), Protocol::Http1)
    }
}
