//! Functions on a real cluster, as a user of KEDA and its HTTP add-on declares them: what they do, over requests and events.
#![allow(clippy::unwrap_used)]

#[path = "kubernetes/annotations.rs"]
mod annotations;
#[path = "kubernetes/behavior.rs"]
mod behavior;
#[path = "kubernetes/both.rs"]
mod both;
#[path = "kubernetes/canary.rs"]
mod canary;
#[path = "kubernetes/cpu.rs"]
mod cpu;
#[path = "kubernetes/declare.rs"]
mod declare;
#[path = "kubernetes/events.rs"]
mod events;
#[path = "kubernetes/http.rs"]
mod http;
#[path = "kubernetes/manage.rs"]
mod manage;
#[path = "kubernetes/mesh.rs"]
mod mesh;
#[path = "kubernetes/news.rs"]
mod news;
#[path = "kubernetes/policy.rs"]
mod policy;
#[path = "kubernetes/protocols.rs"]
mod protocols;
#[path = "kubernetes/quota.rs"]
mod quota;
#[path = "kubernetes/secrets.rs"]
mod secrets;
#[path = "kubernetes/services.rs"]
mod services;
#[path = "kubernetes/site.rs"]
mod site;
#[path = "kubernetes/slots.rs"]
mod slots;
#[path = "kubernetes/sources.rs"]
mod sources;
#[path = "kubernetes/status.rs"]
mod status;
#[path = "kubernetes/targets.rs"]
mod targets;
