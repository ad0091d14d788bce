//! A trigger as it was declared: parameters, and where its secrets come from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use crate::id::ObjectRef;

/// A source's type and parameters, as strings, the way KEDA has them.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct TriggerSpec {
    /// The object that has the trigger.
    pub object: ObjectRef,
    /// Position in `triggers`.
    pub index: usize,
    /// KEDA's name of the type, such as `kafka`.
    pub kind: String,
    /// `metadata`, `*FromEnv` already resolved under the bare name.
    pub metadata: BTreeMap<String, String>,
    /// Names in `metadata` whose values came from the environment of the function: that of a
    /// container is filled from Secrets, so these values are never shown.
    #[serde(default)]
    pub from_environment: BTreeSet<String>,
    /// What a TriggerAuthentication gave: secrets, never shown.
    #[serde(default)]
    pub auth: BTreeMap<String, Secret>,
    /// Where further secrets are read when the trigger is: their owner rotates them.
    #[serde(default)]
    pub remote: Vec<RemoteParameters>,
    /// A formula stands beside it, which has the target: it needs none of its own.
    #[serde(default)]
    pub is_formula_input: bool,
}

/// Parameters that are kept elsewhere, and read again and again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RemoteParameters {
    /// HashiCorp Vault, or what speaks its HTTP API.
    Vault(VaultParameters),
    /// A JSON object of texts in a file below the folder that the administrator chose.
    File {
        /// Relative, without `..`.
        path: String,
    },
}

/// Parameters kept in a Vault.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VaultParameters {
    /// Its URL.
    pub address: String,
    /// Its namespace (`X-Vault-Namespace`).
    pub namespace: Option<String>,
    /// How to sign in.
    pub sign_in: VaultSignIn,
    /// What to read, at least one.
    pub secrets: Vec<VaultSecret>,
}

/// How to sign in to a Vault.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum VaultSignIn {
    /// With a token.
    Token(#[serde(skip)] Secret),
    /// With the token of our own ServiceAccount.
    Kubernetes {
        /// Where the method is mounted.
        mount: String,
        /// The role there.
        role: String,
    },
}

/// One parameter in a Vault.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VaultSecret {
    /// The parameter that it becomes.
    pub parameter: String,
    /// The path below `/v1/`.
    pub path: String,
    /// The key in what is found there.
    pub key: String,
    /// How it is found there.
    pub engine: VaultEngine,
}

/// The secrets engine behind a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum VaultEngine {
    /// The second version where the answer looks like it, else the first.
    Generic,
    /// Key and value, first version.
    First,
    /// Key and value, second version: `data` within `data`.
    Second,
}

impl TriggerSpec {
    /// The metadata that may be shown.
    fn shown(&self) -> BTreeMap<&str, &str> {
        let entries = self.metadata.iter();
        let shown = entries.filter(|(name, _)| !self.from_environment.contains(*name));
        shown.map(|(k, v)| (k.as_str(), v.as_str())).collect()
    }
}

impl fmt::Debug for TriggerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TriggerSpec")
            .field("object", &self.object)
            .field("index", &self.index)
            .field("kind", &self.kind)
            .field("metadata", &self.shown())
            .field("from_environment", &self.from_environment)
            .field("auth", &self.auth.keys())
            .field("remote", &self.remote)
            .field("is_formula_input", &self.is_formula_input)
            .finish()
    }
}

/// Without secrets: what is read back has fewer parameters.
impl Serialize for TriggerSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("TriggerSpec", 6)?;
        fields.serialize_field("object", &self.object)?;
        fields.serialize_field("index", &self.index)?;
        fields.serialize_field("kind", &self.kind)?;
        fields.serialize_field("metadata", &self.shown())?;
        fields.serialize_field("from_environment", &self.from_environment)?;
        fields.serialize_field("is_formula_input", &self.is_formula_input)?;
        fields.end()
    }
}

/// A secret string: compared, handed to a client, never printed or serialized.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself, for the client that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}
