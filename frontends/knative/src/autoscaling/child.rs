//! Objects that belong to a PodAutoscaler: whether one must be made or changed.

use serde::Serialize;

use super::metadata::Metadata;
use super::pod_autoscaler::PodAutoscaler;

/// A kind whose objects belong to PodAutoscalers and have their names.
pub trait Child {
    /// What is wanted of it.
    type Spec: Clone + PartialEq + Serialize;
    /// Group and version.
    const API_VERSION: &'static str;
    /// Its kind.
    const KIND: &'static str;

    /// Its metadata.
    fn metadata(&self) -> &Metadata;
    /// What is wanted of it.
    fn spec(&self) -> &Self::Spec;
}

/// What must be done so that a child is as wanted.
#[derive(Clone, Debug, PartialEq)]
pub enum Change<C: Child> {
    /// Nothing.
    Nothing,
    /// Make it.
    Create(C),
    /// Give it this spec, unless it changed since it had this version.
    Update {
        /// The version that was looked at.
        resource_version: Option<String>,
        /// The fields to write.
        spec: C::Spec,
    },
    /// Somebody else's object has the name: leave it alone.
    NotOwned,
}

impl<C: Child> Change<C> {
    /// From what there is to what is wanted by its PodAutoscaler.
    pub fn towards(owner: &PodAutoscaler, found: Option<&C>, wanted: C) -> Self {
        let Some(found) = found else {
            return Self::Create(wanted);
        };
        let uid = owner.metadata.uid.as_deref().unwrap_or_default();
        if !found.metadata().is_controlled_by(uid) {
            return Self::NotOwned;
        }
        match found.spec() == wanted.spec() {
            true => Self::Nothing,
            false => Self::Update {
                resource_version: found.metadata().resource_version.clone(),
                spec: wanted.spec().clone(),
            },
        }
    }
}

/// The metadata of a new child.
pub(super) fn metadata(owner: &PodAutoscaler, is_copied: impl Fn(&str) -> bool) -> Metadata {
    let annotations = owner.metadata.annotations.iter();
    let copied = annotations.filter(|(key, _)| is_copied(key));
    Metadata {
        name: owner.metadata.name.clone(),
        namespace: owner.metadata.namespace.clone(),
        labels: owner.metadata.labels.clone(),
        annotations: copied.map(|(k, v)| (k.clone(), v.clone())).collect(),
        owner_references: vec![owner.owner_reference()],
        ..Metadata::default()
    }
}
