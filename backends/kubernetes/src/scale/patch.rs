//! What is written to `/scale`, and what the API server shows there.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::{CallError, FIELD_MANAGER};
use crate::target::ScaleTarget;

/// An `autoscaling/v1` Scale, as far as it is read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Scale {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    uid: Option<String>,
    resource_version: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    replicas: Option<u32>,
}

impl Scale {
    /// The count. The API server leaves it out when it is zero.
    pub(crate) fn replicas(&self) -> u32 {
        self.spec.replicas.unwrap_or(0)
    }

    /// The version of the object that it was read from.
    pub(crate) fn version(&self) -> Option<&str> {
        self.metadata.resource_version.as_deref()
    }

    /// Whether it is of another object of the same name than `target`.
    pub(crate) fn is_other(&self, target: &ScaleTarget) -> bool {
        match (&self.metadata.uid, &target.uid) {
            (Some(own), Some(known)) => **own != **known,
            _ => false,
        }
    }
}

/// Where `/scale` of a target is written.
pub(crate) fn write_path(target: &ScaleTarget) -> String {
    format!(
        "{}?fieldManager={FIELD_MANAGER}",
        target.path(Some("scale"))
    )
}

/// Sets the count to `to`, if it is `from` and the object is the one that is known.
///
/// A count of zero is not there at all (`omitempty` of `ScaleSpec`), so that zero is tested by an
/// empty `spec`; found out with the API server for Deployments, StatefulSets and custom resources.
pub(crate) fn replace(target: &ScaleTarget, from: u32, to: u32, version: Option<&str>) -> Value {
    let mut patch = vec![match from {
        0 => json!({"op": "test", "path": "/spec", "value": {}}),
        from => json!({"op": "test", "path": "/spec/replicas", "value": from}),
    }];
    if let Some(uid) = &target.uid {
        patch.push(json!({"op": "test", "path": "/metadata/uid", "value": &**uid}));
    }
    if let Some(version) = version {
        patch.push(json!({"op": "test", "path": "/metadata/resourceVersion", "value": version}));
    }
    patch.push(json!({"op": "add", "path": "/spec/replicas", "value": to}));
    Value::Array(patch)
}

/// Whether a test of a patch failed, or the object changed meanwhile: read again and think again.
///
/// The API server answers a failed test with 422 and `Invalid`, without details.
pub(crate) fn is_conflict(error: &CallError) -> bool {
    matches!(error.status(), Some(409 | 422))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::scale::testing::target;

    #[test]
    fn zero_is_an_empty_spec() {
        let zero: Scale =
            serde_json::from_value(json!({"spec": {}, "metadata": {"resourceVersion": "7"}}))
                .unwrap();
        assert_eq!((zero.replicas(), zero.version()), (0, Some("7")));
        let patch = replace(&target("a"), 0, 3, None);
        assert_eq!(
            patch[0],
            json!({"op": "test", "path": "/spec", "value": {}})
        );
        assert_eq!(
            patch[2],
            json!({"op": "add", "path": "/spec/replicas", "value": 3})
        );
    }

    #[test]
    fn a_patch_tests_count_identity_and_version() {
        let patch = replace(&target("a"), 5, 2, Some("42"));
        let paths: Vec<_> = patch
            .as_array()
            .unwrap()
            .iter()
            .map(|op| op["path"].clone())
            .collect();
        assert_eq!(
            paths,
            [
                "/spec/replicas",
                "/metadata/uid",
                "/metadata/resourceVersion",
                "/spec/replicas"
            ]
        );
        assert_eq!(
            write_path(&target("a")),
            "/apis/apps/v1/namespaces/ns/deployments/a/scale?fieldManager=zeron"
        );
    }

    #[test]
    fn a_re_created_object_is_another_one() {
        let scale = |uid: &str| -> Scale {
            serde_json::from_value(json!({"metadata": {"uid": uid}})).unwrap()
        };
        assert!(!scale("uid-a").is_other(&target("a")));
        assert!(scale("uid-b").is_other(&target("a")));
    }
}
