//! Secrets and ConfigMaps of the set, and values taken from them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeron_core::policy::Secret;

use crate::header::Header;
use crate::platform::Platform;
use crate::reader::{Fields, Scope};

/// All Secrets and ConfigMaps of a set of manifests.
#[derive(Debug)]
pub struct ConfigSet {
    secrets: BTreeMap<Key, BTreeMap<String, Vec<u8>>>,
    config_maps: BTreeMap<Key, BTreeMap<String, String>>,
    /// Secrets that exist, perhaps, but may not be read; with what would allow it.
    denied: BTreeMap<Key, String>,
    platform: Platform,
    cluster_namespace: String,
}

/// Namespace and name.
type Key = (String, String);

/// Why a value cannot be taken. The text names what is missing, never a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lookup {
    /// No such object in the set.
    #[error("{kind} {namespace}/{name} {}", .platform.absent())]
    NoObject {
        kind: &'static str,
        namespace: String,
        name: String,
        platform: Platform,
    },
    /// It may not be read.
    #[error("Secret {namespace}/{name} may not be read: {hint}")]
    Denied {
        namespace: String,
        name: String,
        hint: String,
    },
    /// No such key in the object.
    #[error("{kind} {namespace}/{name} has no key {key:?}")]
    NoKey {
        kind: &'static str,
        namespace: String,
        name: String,
        key: String,
    },
    /// The key's value is not text.
    #[error("key {key:?} of Secret {namespace}/{name} is not UTF-8 text")]
    NotText {
        namespace: String,
        name: String,
        key: String,
    },
}

impl Default for ConfigSet {
    /// Of one machine.
    fn default() -> Self {
        Self {
            secrets: BTreeMap::new(),
            config_maps: BTreeMap::new(),
            denied: BTreeMap::new(),
            platform: Platform::Machine,
            cluster_namespace: "keda".to_owned(),
        }
    }
}

impl ConfigSet {
    /// Secrets and ConfigMaps of a cluster; those of cluster-scoped objects are in
    /// `cluster_namespace`.
    pub fn of_cluster(cluster_namespace: &str) -> Self {
        Self {
            platform: Platform::Cluster,
            cluster_namespace: cluster_namespace.to_owned(),
            ..Self::default()
        }
    }

    /// Where ClusterTriggerAuthentications find Secrets and ConfigMaps; `keda` by default.
    pub fn cluster_namespace(&self) -> &str {
        &self.cluster_namespace
    }

    /// Says that a Secret may not be read; `hint` is what would allow it.
    pub fn deny_secret(&mut self, namespace: &str, name: &str, hint: &str) {
        let key = (namespace.to_owned(), name.to_owned());
        self.denied.insert(key, hint.to_owned());
    }

    /// Adds a v1 Secret. Returns false when one of that name is there already.
    pub fn add_secret(&mut self, scope: &Scope<'_>, header: &Header) -> bool {
        let root = scope.root();
        root.accept(&["type", "immutable"]);
        let mut entries = BTreeMap::new();
        if let Some(fields) = root.optional_fields("data") {
            for name in fields.names() {
                entries.extend(decoded(&fields, name).map(|bytes| (name.to_owned(), bytes)));
            }
        }
        if let Some(fields) = root.optional_fields("stringData") {
            for name in fields.names() {
                let text = fields.get(name).and_then(|node| string_of(&node));
                entries.extend(text.map(|text| (name.to_owned(), text.into_bytes())));
            }
        }
        self.secrets.insert(key_of(header), entries).is_none()
    }

    /// Adds a v1 ConfigMap. Returns false when one of that name is there already.
    pub fn add_config_map(&mut self, scope: &Scope<'_>, header: &Header) -> bool {
        let root = scope.root();
        root.accept(&["immutable"]);
        root.unsupported(&["binaryData"]);
        self.config_maps
            .insert(key_of(header), root.string_map("data"))
            .is_none()
    }

    /// A key of a Secret.
    ///
    /// # Errors
    /// [`Lookup`] names what is missing.
    pub fn secret(&self, namespace: &str, name: &str, key: &str) -> Result<Secret, Lookup> {
        if let Some(hint) = self.denied.get(&(namespace.to_owned(), name.to_owned())) {
            return Err(Lookup::Denied {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                hint: hint.clone(),
            });
        }
        let bytes = self.find(&self.secrets, "Secret", namespace, name, key)?;
        let not_text = || Lookup::NotText {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            key: key.to_owned(),
        };
        std::str::from_utf8(bytes)
            .map(Secret::new)
            .map_err(|_| not_text())
    }

    /// A key of a ConfigMap.
    ///
    /// # Errors
    /// [`Lookup`] names what is missing.
    pub fn config_map(&self, namespace: &str, name: &str, key: &str) -> Result<&str, Lookup> {
        self.find(&self.config_maps, "ConfigMap", namespace, name, key)
            .map(String::as_str)
    }

    fn find<'s, T>(
        &self,
        set: &'s BTreeMap<Key, BTreeMap<String, T>>,
        kind: &'static str,
        namespace: &str,
        name: &str,
        key: &str,
    ) -> Result<&'s T, Lookup> {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        match set.get(&(namespace.clone(), name.clone())) {
            None => Err(Lookup::NoObject {
                kind,
                namespace,
                name,
                platform: self.platform,
            }),
            Some(entries) => entries.get(key).ok_or_else(|| Lookup::NoKey {
                kind,
                namespace,
                name,
                key: key.to_owned(),
            }),
        }
    }

    /// The keys of a Secret.
    pub fn secret_keys(&self, namespace: &str, name: &str) -> Option<Vec<&str>> {
        let entries = self.secrets.get(&(namespace.to_owned(), name.to_owned()))?;
        Some(entries.keys().map(String::as_str).collect())
    }

    /// All entries of a ConfigMap.
    pub fn config_map_data(
        &self,
        namespace: &str,
        name: &str,
    ) -> Option<&BTreeMap<String, String>> {
        self.config_maps
            .get(&(namespace.to_owned(), name.to_owned()))
    }
}

fn key_of(header: &Header) -> Key {
    (header.object.namespace.clone(), header.object.name.clone())
}

/// A secret's value must not stand in a message, so that `Node::string` is not used for it.
fn string_of(node: &crate::reader::Node<'_>) -> Option<String> {
    let text = node.value().as_str();
    if text.is_none() {
        node.error("must be a string: put it in quotes");
    }
    text.map(str::to_owned)
}

fn decoded(fields: &Fields<'_>, name: &str) -> Option<Vec<u8>> {
    let node = fields.get(name)?;
    let text: String = string_of(&node)?.split_whitespace().collect();
    let bytes = STANDARD.decode(text);
    if bytes.is_err() {
        node.error("must be base64; plain text goes into stringData");
    }
    bytes.ok()
}
