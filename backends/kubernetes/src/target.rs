//! What a function's replicas are held by: an object with a `/scale` subresource.

mod conditions;
mod selector;

use std::num::NonZeroU16;
use std::sync::Arc;

use zeron_core::{FunctionId, StartFailure};

pub use conditions::failure_of_status;
pub(crate) use conditions::parse_time;
pub use selector::{LabelSelector, SelectorError};

/// An object whose replicas are pods and whose count is written through `/scale`.
///
/// Handed in by whoever watches the object; a newer one replaces an older one.
#[derive(Clone, Debug, PartialEq)]
pub struct ScaleTarget {
    /// The function that it holds.
    pub id: FunctionId,
    /// Group and version, such as `apps/v1`.
    pub api_version: Arc<str>,
    /// Such as `Deployment`.
    pub kind: Arc<str>,
    /// The resource's name in paths, such as `deployments`.
    pub plural: Arc<str>,
    /// The object's name.
    pub name: Arc<str>,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its UID: a re-created object is another one. `None`: not known, then not checked.
    pub uid: Option<Arc<str>>,
    /// The version of the object that `replicas` was read from; tells what is stale.
    pub resource_version: Option<Arc<str>>,
    /// Which pods of the namespace are its own.
    pub selector: Arc<LabelSelector>,
    /// `spec.replicas`; `None`: not known.
    pub replicas: Option<u32>,
    /// Where its pods listen.
    pub port: TargetPort,
    /// What the object's own conditions say about a start that failed ([`failure_of_status`]).
    pub failure: Option<StartFailure>,
    /// It has a deletion timestamp: nothing is written any more.
    pub is_deleting: bool,
}

/// Which port of a pod requests go to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TargetPort {
    /// This one.
    Number(NonZeroU16),
    /// The container port of this name, of each pod by itself.
    Name(Arc<str>),
    /// The first port that the pod declares.
    First,
    /// None: the function is woken by events alone.
    None,
}

impl ScaleTarget {
    /// The path of the object, with an optional subresource.
    pub(crate) fn path(&self, subresource: Option<&str>) -> String {
        let root = if self.api_version.contains('/') {
            "apis"
        } else {
            "api"
        };
        let object = format!(
            "/{root}/{}/namespaces/{}/{}/{}",
            self.api_version, self.namespace, self.plural, self.name
        );
        match subresource {
            Some(subresource) => format!("{object}/{subresource}"),
            None => object,
        }
    }

    /// A StatefulSet removes its highest ordinal, whatever anybody wishes.
    pub(crate) fn removes_highest_ordinal(&self) -> bool {
        &*self.kind == "StatefulSet" && self.api_version.starts_with("apps/")
    }

    /// Whether its ReplicaSets heed `controller.kubernetes.io/pod-deletion-cost`.
    pub(crate) fn heeds_deletion_cost(&self) -> bool {
        matches!(&*self.kind, "Deployment" | "ReplicaSet") && self.api_version.starts_with("apps/")
            || &*self.kind == "Rollout" && self.api_version.starts_with("argoproj.io/")
    }
}
