//! What all Kubernetes-shaped manifests share: located YAML, object headers, problems, pods.
//!
//! Text becomes [`Document`]s (`source`, `yaml`), a document is read field by field (`reader`) and
//! every fault becomes a [`Problem`] with file, line and column, all of them at once. `pod`,
//! `deployment` and `service` read the kinds that every dialect needs.

mod config;
mod container;
mod deployment;
mod document;
mod duration;
mod header;
mod name;
mod platform;
mod pod;
mod probe;
mod problem;
mod quantity;
mod reader;
mod replicated;
mod scalar;
mod service;
mod source;
mod yaml;

pub use config::{ConfigSet, Lookup};
pub use container::{Container, ContainerPort};
pub use deployment::Deployment;
pub use document::{Document, Location};
pub use duration::{DurationError, format_duration, parse_duration};
pub use header::{Header, ObjectMeta};
pub use name::{NameError, dns1035_label, dns1123_label, dns1123_subdomain};
pub use platform::Platform;
pub use pod::{PodSpec, PortUse};
pub use problem::{Problem, Problems, Severity};
pub use quantity::{Quantity, QuantityError};
pub use reader::{Fields, Node, Scope};
pub use replicated::Replicated;
pub use service::{CoreService, ServicePort};
pub use source::{Sources, read_paths};
pub use yaml::parse;
