//! One object as it is kept: what it says in few bytes, and its last version that was good.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use zeron_core::Timestamp;

use super::changes::MeshMode;
use super::facts::{Facts, selector};
use super::json::{annotation, at, labels, text, time};
use super::key::{ObjectKey, ObjectKind};
use crate::takeover::marks;

const MANAGE: &str = "zeron.dev/manage";
/// What kubectl remembers of an object: it is no news of its Jobs.
const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const MESH: &str = "zeron.dev/mesh-compatibility-mode";

/// An object of the cluster.
pub(super) struct Entry {
    pub(super) uid: Arc<str>,
    pub(super) created: Timestamp,
    pub(super) generation: i64,
    pub(super) is_deleting: bool,
    /// Has the label `zeron.dev/manage: "true"`.
    pub(super) is_labelled: bool,
    /// Was given back to KEDA.
    pub(super) is_handed_back: bool,
    /// Is on its way back to KEDA: we route and count for it, and write no replicas.
    pub(super) is_handing_back: bool,
    /// The import from KEDA has marked it.
    pub(super) is_adopted: bool,
    /// It was adopted and had no other writer: its import is over, and who comes back after that has
    /// taken it again.
    pub(super) is_taken: bool,
    /// What it says of a mesh.
    pub(super) mesh: Option<MeshMode>,
    /// `status.lastActiveTime`.
    pub(super) last_active: Option<Timestamp>,
    /// Of a ScaledObject: `status.originalReplicaCount`; before that is written, what its target had
    /// when it was first compiled.
    pub(super) original_replicas: Option<u32>,
    pub(super) facts: Facts,
    /// What it says, as JSON.
    pub(super) bytes: Box<[u8]>,
    /// `status` of an object that is reported on, as JSON; empty where nobody asks for it.
    pub(super) status: Box<[u8]>,
    pub(super) quality: Quality,
}

/// Whether what an object says now can be used.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Quality {
    /// It can.
    Good,
    /// Not known yet; with the last version that could be used.
    Untested(Option<Box<[u8]>>),
    /// It breaks rules; with the last version that did not.
    Bad(Option<Box<[u8]>>),
}

/// Objects may hold secrets.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("uid", &self.uid)
            .field("generation", &self.generation)
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}

impl Entry {
    /// Reads an object as the API gives it, and keeps what is needed.
    pub(super) fn read(key: &ObjectKey, mut object: Value, keeps_status: bool) -> Self {
        let facts = Facts::read(key, &object);
        if key.kind == ObjectKind::Service {
            restore_selector(&mut object);
        }
        let uid = text(&object, &["metadata", "uid"]).unwrap_or_default();
        let label = ["metadata", "labels", MANAGE];
        let status = at(&object, &["status"]).filter(|_| keeps_status && key.kind.is_declaration());
        let status = status.map_or_else(Vec::new, |it| it.to_string().into_bytes());
        let given_back = annotation(&object, marks::GIVEN_BACK);
        Self {
            uid: uid.into(),
            created: time(&object, &["metadata", "creationTimestamp"]).unwrap_or_default(),
            generation: at(&object, &["metadata", "generation"])
                .and_then(Value::as_i64)
                .unwrap_or_default(),
            is_deleting: at(&object, &["metadata", "deletionTimestamp"]).is_some(),
            is_labelled: text(&object, &label) == Some("true"),
            is_handed_back: given_back == Some(marks::HANDED_BACK),
            is_handing_back: given_back == Some(marks::HANDING_BACK),
            is_adopted: annotation(&object, marks::ADOPTED_FROM).is_some(),
            is_taken: false,
            mesh: annotation(&object, MESH).and_then(MeshMode::parse),
            last_active: time(&object, &["status", "lastActiveTime"]),
            original_replicas: at(&object, &["status", "originalReplicaCount"])
                .and_then(Value::as_u64)
                .and_then(|count| u32::try_from(count).ok()),
            facts,
            bytes: trimmed(key, object).to_string().into_bytes().into(),
            status: status.into(),
            quality: Quality::Untested(None),
        }
    }

    /// Takes the place of an older version of the same object.
    pub(super) fn inherit(&mut self, older: Self) {
        let is_same = self.bytes == older.bytes && self.uid == older.uid;
        if self.uid == older.uid {
            self.original_replicas = self.original_replicas.or(older.original_replicas);
        }
        self.is_taken = self.stays_taken(&older);
        self.quality = match older.quality {
            quality if is_same => quality,
            _ if self.uid != older.uid => Quality::Untested(None),
            Quality::Good => Quality::Untested(Some(older.bytes)),
            Quality::Untested(previous) | Quality::Bad(previous) => Quality::Untested(previous),
        };
        // A version that does not even say what it scales leaves what is in force.
        if self.facts.target().is_none() && older.facts.target().is_some() {
            self.facts = older.facts;
        }
    }

    /// Whether its import is over as it was for an older version. A handback begins it anew.
    pub(super) fn stays_taken(&self, older: &Self) -> bool {
        let is_given_back = self.is_handing_back || self.is_handed_back;
        older.is_taken && self.uid == older.uid && self.is_adopted && !is_given_back
    }

    /// The last version that could be used, when the newest cannot.
    pub(super) fn previous(&self) -> Option<&[u8]> {
        match &self.quality {
            Quality::Good => None,
            Quality::Untested(previous) | Quality::Bad(previous) => previous.as_deref(),
        }
    }

    /// Says whether the newest version can be used.
    pub(super) fn judge(&mut self, is_good: bool) {
        let quality = std::mem::replace(&mut self.quality, Quality::Good);
        self.quality = match (is_good, quality) {
            (true, _) => Quality::Good,
            (false, Quality::Good) => Quality::Bad(None),
            (false, Quality::Untested(previous) | Quality::Bad(previous)) => Quality::Bad(previous),
        };
    }

    /// What decides whether anything must be compiled again.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        self.bytes == other.bytes
            && self.uid == other.uid
            && self.is_deleting == other.is_deleting
            && self.is_labelled == other.is_labelled
            && self.is_handed_back == other.is_handed_back
            && self.is_handing_back == other.is_handing_back
            && self.is_adopted == other.is_adopted
            && self.created == other.created
            && match (&self.facts, &other.facts) {
                (Facts::Target(a), Facts::Target(b)) => a.labels == b.labels && a.kind == b.kind,
                (a, b) => a == b,
            }
    }
}

/// The object without what nobody here reads.
fn trimmed(key: &ObjectKey, mut object: Value) -> Value {
    let (api_version, kind) = key.kind.api();
    let mut kept = Map::new();
    kept.insert("apiVersion".to_owned(), api_version.into());
    kept.insert("kind".to_owned(), kind.into());
    kept.insert("metadata".to_owned(), metadata(key, &object));
    let fields: &[&str] = match &key.kind {
        ObjectKind::Secret => &["data"],
        ObjectKind::ConfigMap => &["data"],
        // Of these the facts are enough.
        ObjectKind::HorizontalPodAutoscaler => &[],
        ObjectKind::Target(_) => {
            kept.insert("spec".to_owned(), target_spec(&mut object));
            &[]
        }
        ObjectKind::Service => {
            kept.insert("spec".to_owned(), service_spec(&mut object));
            &[]
        }
        ObjectKind::ScaledObject
        | ObjectKind::ScaledJob
        | ObjectKind::TriggerAuthentication
        | ObjectKind::ClusterTriggerAuthentication
        | ObjectKind::HttpScaledObject
        | ObjectKind::InterceptorRoute => &["spec"],
    };
    for field in fields {
        if let Some(value) = object.get_mut(*field) {
            kept.insert((*field).to_owned(), value.take());
        }
    }
    Value::Object(kept)
}

/// Name and namespace; annotations of the dialects and of ours.
fn metadata(key: &ObjectKey, object: &Value) -> Value {
    let mut kept = Map::new();
    kept.insert("name".to_owned(), (*key.name).into());
    if !key.namespace.is_empty() {
        kept.insert("namespace".to_owned(), (*key.namespace).into());
    }
    if matches!(
        key.kind,
        ObjectKind::Target(_) | ObjectKind::Secret | ObjectKind::ConfigMap
    ) {
        return Value::Object(kept);
    }
    if key.kind == ObjectKind::ScaledJob {
        return job_metadata(kept, object);
    }
    let is_ours = |key: &str| key.contains("keda.sh/") || key.starts_with("zeron.dev/");
    let annotations: BTreeMap<String, String> = labels(object, &["metadata", "annotations"])
        .into_iter()
        .filter(|(key, _)| is_ours(key))
        .collect();
    if !annotations.is_empty() {
        kept.insert("annotations".to_owned(), json!(annotations));
    }
    Value::Object(kept)
}

/// Jobs get the labels and annotations of their ScaledJob, and the generation that they are of.
fn job_metadata(mut kept: Map<String, Value>, object: &Value) -> Value {
    for (field, left_out) in [("labels", MANAGE), ("annotations", APPLIED)] {
        let mut pairs = labels(object, &["metadata", field]);
        pairs.remove(left_out);
        if !pairs.is_empty() {
            kept.insert(field.to_owned(), json!(pairs));
        }
    }
    if let Some(generation) = at(object, &["metadata", "generation"]) {
        kept.insert("generation".to_owned(), generation.clone());
    }
    Value::Object(kept)
}

/// Of a pod template: what a data plane and triggers ask of it.
fn target_spec(object: &mut Value) -> Value {
    const OF_CONTAINER: [&str; 5] = ["name", "env", "envFrom", "ports", "readinessProbe"];
    let mut spec = Map::new();
    let Some(whole) = object.get_mut("spec") else {
        return Value::Object(spec);
    };
    if let Some(deadline) = whole.get("progressDeadlineSeconds") {
        spec.insert("progressDeadlineSeconds".to_owned(), deadline.clone());
    }
    let labels = at(whole, &["template", "metadata", "labels"]).cloned();
    if labels.is_none()
        && let Some(selector) = at(whole, &["selector", "matchLabels"])
    {
        spec.insert("selector".to_owned(), json!({ "matchLabels": selector }));
    }
    let Some(pod) = whole.get_mut("template").and_then(|t| t.get_mut("spec")) else {
        return Value::Object(spec);
    };
    let mut kept = Map::new();
    if let Some(grace) = pod.get("terminationGracePeriodSeconds") {
        kept.insert("terminationGracePeriodSeconds".to_owned(), grace.clone());
    }
    let containers = pod.get_mut("containers").and_then(Value::as_array_mut);
    let containers = containers.into_iter().flatten().map(|container| {
        let field = |name: &&str| Some(((*name).to_owned(), container.get_mut(*name)?.take()));
        Value::Object(OF_CONTAINER.iter().filter_map(field).collect())
    });
    kept.insert("containers".to_owned(), containers.collect());
    spec.insert(
        "template".to_owned(),
        json!({ "metadata": { "labels": labels }, "spec": kept }),
    );
    Value::Object(spec)
}

fn service_spec(object: &mut Value) -> Value {
    let mut spec = Map::new();
    for field in ["selector", "ports", "type"] {
        if let Some(value) = object.get_mut("spec").and_then(|s| s.get_mut(field)) {
            spec.insert(field.to_owned(), value.take());
        }
    }
    Value::Object(spec)
}

/// A Service that has opted in is read as if its selector were its own.
fn restore_selector(service: &mut Value) {
    let selector = selector(service);
    if let Some(spec) = service.get_mut("spec").and_then(Value::as_object_mut)
        && !selector.is_empty()
    {
        spec.insert("selector".to_owned(), json!(selector));
    }
}
