//! An activator in the place of Knative's, with one Revision: `ns/rev`.

use std::time::Duration;

use zeron_activator::{Config, Dialect, Knative};
use zeron_core::function::Timeouts;
use zeron_core::{Function, FunctionId, ObjectRef};

use super::{Stage, config, function};

pub const HOST: &str = "rev.ns.svc.cluster.local";

pub fn knative() -> Config {
    Config {
        dialect: Dialect::Knative(Knative::default()),
        lame_duck: Duration::from_secs(45),
        ..config()
    }
}

pub fn rev() -> FunctionId {
    FunctionId::new("ns", "Revision", "rev")
}

pub fn revision(limit: u32) -> Function {
    Function {
        id: rev(),
        owner: ObjectRef {
            api_version: "serving.knative.dev/v1".to_owned(),
            kind: "Service".to_owned(),
            namespace: "ns".to_owned(),
            name: "hello".to_owned(),
        },
        ..function("rev", limit)
    }
}

pub fn stage(revision: Function) -> Stage {
    let stage = Stage::with(knative());
    stage.publish(Vec::new(), vec![revision]);
    stage.activator.say_ready();
    stage
}

pub fn request(headers: &str) -> String {
    format!("GET /a?b HTTP/1.1\r\nhost: {HOST}\r\n{headers}connection: close\r\n\r\n")
}

pub fn timed(timeouts: Timeouts) -> Function {
    Function {
        timeouts,
        ..revision(1)
    }
}
