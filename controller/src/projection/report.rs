//! How each object fares, said once and again only when it changes.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use zeron_core::FunctionId;

use super::Projection;
use super::changes::{Changes, DeniedSecret, ObjectReport, Outcome};
use super::facts::Facts;
use super::index::{Lead, service_key};
use super::key::ObjectKey;

/// What was found about objects, and what was said.
#[derive(Debug, Default)]
pub(super) struct Reports {
    findings: HashMap<ObjectKey, Box<Finding>>,
    /// A digest of what was said of each.
    said: HashMap<ObjectKey, u64>,
    dirty: BTreeSet<ObjectKey>,
}

/// What was found about an object; hosts aside, which may change without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) function: Option<FunctionId>,
    pub(super) outcome: Outcome,
    pub(super) partial: Vec<String>,
    pub(super) warnings: Vec<String>,
    pub(super) denied: Vec<DeniedSecret>,
}

impl Finding {
    /// An outcome without details.
    pub(super) fn plain(outcome: Outcome, function: Option<&FunctionId>) -> Self {
        Self {
            function: function.cloned(),
            outcome,
            partial: Vec::new(),
            warnings: Vec::new(),
            denied: Vec::new(),
        }
    }
}

impl Reports {
    /// Looks at these objects again.
    pub(super) fn touch<'k>(&mut self, keys: impl IntoIterator<Item = &'k ObjectKey>) {
        self.dirty.extend(keys.into_iter().cloned());
    }

    pub(super) fn find(&mut self, key: &ObjectKey, finding: Finding) {
        self.findings.insert(key.clone(), Box::new(finding));
        self.dirty.insert(key.clone());
    }
}

impl Projection {
    /// Reports on every object that may fare differently.
    pub(super) fn report(&mut self, changes: &mut Changes) {
        for key in std::mem::take(&mut self.reports.dirty) {
            if self.index.get(&key).is_none() {
                self.reports.findings.remove(&key);
                if self.reports.said.remove(&key).is_some() {
                    changes.forgotten.push(key);
                }
                continue;
            }
            if let Some(finding) = self.alone(&key) {
                self.reports.findings.insert(key.clone(), Box::new(finding));
            }
            let Some(report) = self.report_on(&key) else {
                continue;
            };
            let digest = digest(&report);
            if self.reports.said.insert(key, digest) != Some(digest) {
                changes.reports.push(report);
            }
        }
    }

    fn report_on(&self, key: &ObjectKey) -> Option<ObjectReport> {
        let entry = self.index.get(key)?;
        let finding = self.reports.findings.get(key)?;
        let conflict = match finding.outcome {
            Outcome::Ok => self.hosts.conflict(key, &self.options.catch_all),
            _ => None,
        };
        Some(ObjectReport {
            object: key.clone(),
            uid: Arc::clone(&entry.uid),
            generation: entry.generation,
            function: finding.function.clone(),
            outcome: conflict.map_or_else(|| finding.outcome.clone(), Outcome::Conflict),
            partial: finding.partial.clone(),
            warnings: finding.warnings.clone(),
            denied: finding.denied.clone(),
            original_replicas: entry.original_replicas,
            address: self.address(key),
            used_by: self.index.users_of(key).cloned().collect(),
        })
    }

    /// What is found about an object that belongs to no function; `None` when it does.
    fn alone(&self, key: &ObjectKey) -> Option<Finding> {
        let entry = self.index.get(key)?;
        let target = entry.facts.target();
        if key.kind.is_declaration() && !self.is_ours(key) {
            return Some(Finding::plain(Outcome::NotManaged, target));
        }
        match &entry.facts {
            Facts::Authentication(_) => {
                let is_seen = !key.namespace.is_empty() || self.options.sees_all_namespaces;
                Some(Finding::plain(
                    if is_seen {
                        Outcome::Ok
                    } else {
                        Outcome::NotManaged
                    },
                    None,
                ))
            }
            Facts::Scaled(_) | Facts::Http(_) => match target {
                None => Some(invalid("spec.scaleTargetRef: is missing")),
                Some(target) if self.index.holder(target).is_none() => {
                    let message = format!("{} {} does not exist", target.kind(), target.name());
                    let outcome = Outcome::TargetMissing { message };
                    Some(Finding::plain(outcome, Some(target)))
                }
                Some(_) => None,
            },
            Facts::Route(route) => {
                let Some(service) = &route.service else {
                    return Some(invalid("spec.target.service: is missing"));
                };
                match self.index.lead(&service_key(&key.namespace, service), key) {
                    Lead::To(_) => None,
                    Lead::Nowhere(message) => {
                        Some(Finding::plain(Outcome::TargetMissing { message }, None))
                    }
                    Lead::Several(a, b) => Some(invalid(&format!(
                        "spec.target.service: selects several, {a} and {b}: only one may stand behind a route, or be \
                         scaled by a trigger that names it"
                    ))),
                }
            }
            Facts::Service(_)
            | Facts::Autoscaler(_)
            | Facts::Target(_)
            | Facts::Job(_)
            | Facts::None => None,
        }
    }
}

fn digest(report: &ObjectReport) -> u64 {
    let mut hasher = DefaultHasher::new();
    report.hash(&mut hasher);
    hasher.finish()
}

fn invalid(problem: &str) -> Finding {
    let outcome = Outcome::Invalid {
        problems: vec![problem.to_owned()],
        is_previous_in_force: false,
    };
    Finding::plain(outcome, None)
}
