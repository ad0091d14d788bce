//! What is read of an object's metadata, and what is written of a new one's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `metadata` of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// The object's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Which object of that name it is; `None`: not made yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Its version; a write that names an older one is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// How often its spec was changed.
    #[serde(skip_serializing)]
    pub generation: i64,
    /// Its labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What it goes with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owner_references: Vec<OwnerReference>,
    /// It is being deleted since then.
    #[serde(skip_serializing)]
    pub deletion_timestamp: Option<String>,
}

/// One of an object's owners.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference {
    /// Group and version of the owner.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Which object of that name.
    pub uid: String,
    /// The one owner that looks after the object.
    pub controller: bool,
    /// The owner stays until the object is gone, if it is deleted in the foreground.
    pub block_owner_deletion: bool,
}

impl Metadata {
    /// Whether the object of this uid looks after it.
    pub fn is_controlled_by(&self, uid: &str) -> bool {
        let mut owners = self.owner_references.iter();
        owners.any(|owner| owner.controller && owner.uid == uid)
    }
}
