//! One function compiled from its objects; an object that breaks rules is replaced by its last good
//! version, or left out, and never takes the others with it.

use std::collections::{BTreeMap, BTreeSet};

use zeron_catalog::{Cluster, Component, compile_component};
use zeron_core::ScalerRegistry;
use zeron_manifest::{Document, Problem, Severity};

use super::changes::{DeniedSecret, Outcome};
use super::index::Index;
use super::key::{ObjectKey, ObjectKind};

/// Which version of an object is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Newest,
    Previous,
    None,
}

/// An object on its way into the component.
struct Source<'i> {
    key: &'i ObjectKey,
    version: Version,
    document: Option<Document>,
    /// What the newest version breaks.
    errors: Vec<Problem>,
    /// Types of its triggers that are all that is wrong with it: they are not built in.
    not_built_in: Vec<String>,
}

/// A compiled component, and how its objects fared.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) component: Component,
    pub(super) verdicts: BTreeMap<ObjectKey, Verdict>,
}

/// How one object fared.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// The rules that its newest version breaks.
    pub(super) errors: Vec<String>,
    /// Its last good version is in force.
    pub(super) is_previous: bool,
    /// Trigger types that are not built in.
    pub(super) not_built_in: Vec<String>,
    pub(super) partial: Vec<String>,
    pub(super) warnings: Vec<String>,
}

impl Verdict {
    /// As it is reported, when nobody else has what it wants.
    pub(super) fn outcome(&self) -> Outcome {
        if !self.not_built_in.is_empty() {
            return Outcome::NotBuiltIn {
                types: self.not_built_in.clone(),
            };
        }
        if self.errors.is_empty() {
            return Outcome::Ok;
        }
        Outcome::Invalid {
            problems: self.errors.clone(),
            is_previous_in_force: self.is_previous,
        }
    }
}

/// Compiles the objects `keys`.
pub(super) fn compile(
    index: &Index,
    keys: &[ObjectKey],
    denied: &[DeniedSecret],
    scalers: &dyn ScalerRegistry,
    cluster_namespace: &str,
) -> Compiled {
    let denied: Vec<_> = denied
        .iter()
        .map(|d| (d.namespace.to_string(), d.name.to_string(), d.hint.clone()))
        .collect();
    let cluster = Cluster {
        namespace: cluster_namespace,
        denied: &denied,
    };
    let mut sources = sources(index, keys);
    // Each turn takes one version from at least one object.
    for _ in 0..=2 * keys.len() {
        let documents: Vec<Document> = sources
            .iter_mut()
            .filter_map(|s| s.document.take())
            .collect();
        let (component, problems) = compile_component(&documents, scalers, &cluster);
        let read = sources.iter_mut().filter(|s| s.version != Version::None);
        for (source, document) in read.zip(documents) {
            source.document = Some(document);
        }
        if !demote(index, &mut sources, &problems, scalers) {
            let verdicts = verdicts(&sources, &problems);
            return Compiled {
                component,
                verdicts,
            };
        }
    }
    Compiled {
        component: Component::default(),
        verdicts: verdicts(&sources, &[]),
    }
}

/// Oldest first: of two that want the same the first one has it.
fn sources<'i>(index: &'i Index, keys: &'i [ObjectKey]) -> Vec<Source<'i>> {
    let mut keys: Vec<&ObjectKey> = keys.iter().collect();
    keys.sort_by_key(|key| (index.get(key).map(|entry| entry.created), *key));
    let source = |key| {
        let document = index.get(key).and_then(|entry| document(&entry.bytes))?;
        Some(Source {
            key,
            version: Version::Newest,
            document: Some(document),
            errors: Vec::new(),
            not_built_in: Vec::new(),
        })
    };
    keys.into_iter().filter_map(source).collect()
}

fn document(bytes: &[u8]) -> Option<Document> {
    let value = serde_json::from_slice(bytes).ok()?;
    Some(Document::from_json("", value))
}

/// Takes the version that breaks rules from every object that does. Returns whether any did.
fn demote(
    index: &Index,
    sources: &mut [Source<'_>],
    problems: &[Problem],
    scalers: &dyn ScalerRegistry,
) -> bool {
    let mut is_any = false;
    for source in sources.iter_mut().filter(|s| s.version != Version::None) {
        let errors = of(problems, source.key, Severity::Error);
        if errors.is_empty() {
            continue;
        }
        is_any = true;
        if source.version == Version::Newest {
            source.errors = errors.into_iter().cloned().collect();
            source.not_built_in = not_built_in(source, scalers);
        }
        let is_foreign = !source.not_built_in.is_empty();
        let previous = index.get(source.key).and_then(|entry| entry.previous());
        let previous = previous.filter(|_| source.version == Version::Newest && !is_foreign);
        source.document = previous.and_then(document);
        source.version = match source.document {
            Some(_) => Version::Previous,
            None => Version::None,
        };
    }
    is_any
}

fn of<'p>(problems: &'p [Problem], key: &ObjectKey, severity: Severity) -> Vec<&'p Problem> {
    let object = key.object_ref();
    let is_its = |p: &&Problem| p.severity == severity && p.object.as_ref() == Some(&object);
    problems.iter().filter(is_its).collect()
}

/// The types of triggers that make up all that is wrong with an object.
fn not_built_in(source: &Source<'_>, scalers: &dyn ScalerRegistry) -> Vec<String> {
    let is_scaling = matches!(
        source.key.kind,
        ObjectKind::ScaledObject | ObjectKind::ScaledJob
    );
    if !is_scaling || source.errors.is_empty() {
        return Vec::new();
    }
    let mut types = BTreeSet::new();
    for error in &source.errors {
        let Some(kind) = source.trigger_type(&error.field) else {
            return Vec::new();
        };
        if scalers.is_built_in(&kind) {
            return Vec::new();
        }
        types.insert(kind);
    }
    types.into_iter().collect()
}

impl Source<'_> {
    /// The type of the trigger at `spec.triggers[N].type`. The newest version has it.
    fn trigger_type(&self, field: &str) -> Option<String> {
        let index = field
            .strip_prefix("spec.triggers[")?
            .strip_suffix("].type")?;
        let index: usize = index.parse().ok()?;
        let trigger = self
            .document
            .as_ref()?
            .value
            .get("spec")?
            .get("triggers")?
            .get(index)?;
        Some(trigger.get("type")?.as_str()?.to_owned())
    }
}

fn verdicts(sources: &[Source<'_>], problems: &[Problem]) -> BTreeMap<ObjectKey, Verdict> {
    let verdict = |source: &Source<'_>| {
        let texts = |severity| {
            of(problems, source.key, severity)
                .into_iter()
                .map(told)
                .collect()
        };
        let verdict = Verdict {
            errors: source.errors.iter().map(told).collect(),
            is_previous: source.version == Version::Previous,
            not_built_in: source.not_built_in.clone(),
            partial: texts(Severity::Partial),
            warnings: texts(Severity::Warning),
        };
        (source.key.clone(), verdict)
    };
    sources.iter().map(verdict).collect()
}

/// `field: message`.
fn told(problem: &Problem) -> String {
    match problem.field.is_empty() {
        true => problem.message.clone(),
        false => format!("{}: {}", problem.field, problem.message),
    }
}
