//! Names of things.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The object that holds a function's replicas: namespace, kind and name.
///
/// Deployment `x` is not StatefulSet `x`. One Knative Revision is one function. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FunctionId(Arc<Parts>);

#[derive(PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Parts {
    namespace: Box<str>,
    kind: Box<str>,
    name: Box<str>,
}

impl FunctionId {
    /// Names the function that the object `kind` `name` in `namespace` holds.
    pub fn new(namespace: &str, kind: &str, name: &str) -> Self {
        Self(Arc::new(Parts {
            namespace: namespace.into(),
            kind: kind.into(),
            name: name.into(),
        }))
    }

    /// Names the function that an object of any API group holds. Kinds outside `apps` and
    /// `serving.knative.dev` are written `Kind.group`, such as `Rollout.argoproj.io`.
    pub fn of(api_version: &str, kind: &str, namespace: &str, name: &str) -> Self {
        match api_version.split_once('/') {
            None | Some(("apps" | "serving.knative.dev", _)) => Self::new(namespace, kind, name),
            Some((group, _)) => Self::new(namespace, &format!("{kind}.{group}"), name),
        }
    }

    /// The namespace, `default` where a manifest names none.
    pub fn namespace(&self) -> &str {
        &self.0.namespace
    }

    /// The kind of the object, such as `Revision` or `Deployment`.
    pub fn kind(&self) -> &str {
        &self.0.kind
    }

    /// The name of the object.
    pub fn name(&self) -> &str {
        &self.0.name
    }
}

/// `namespace/Kind/name`.
impl fmt::Display for FunctionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.0.namespace, self.0.kind, self.0.name)
    }
}

impl fmt::Debug for FunctionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An object of some front end: where a policy, a trigger or a route came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Group and version, such as `serving.knative.dev/v1`.
    pub api_version: String,
    /// Such as `Service` or `ScaledObject`.
    pub kind: String,
    /// `default` where a manifest names none.
    pub namespace: String,
    /// The object's name.
    pub name: String,
}

/// `Kind namespace/name`.
impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}
