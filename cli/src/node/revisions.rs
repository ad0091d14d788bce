//! The revisions of one Service: which exist, which is newest, which is ready, which gets traffic.
//!
//! Pure bookkeeping. An edit of the template makes a revision; traffic follows the newest one that
//! became ready; revisions without traffic stay, at zero, until newer ones push them out.

use serde::{Deserialize, Serialize};
use zeron_frontend_knative::{RevisionTarget, RevisionTemplate, TrafficTarget};

/// Revisions without traffic that are kept (Knative's `min-non-active-revisions`).
pub(crate) const KEPT_WITHOUT_TRAFFIC: usize = 20;

/// One immutable version of a Service's template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Revision {
    pub(crate) name: String,
    pub(crate) generation: u64,
    pub(crate) template: RevisionTemplate,
    pub(crate) is_ready: bool,
}

/// All revisions of one Service, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Revisions {
    generation: u64,
    list: Vec<Revision>,
    latest_ready: Option<String>,
}

/// Why a Service's template or traffic cannot be followed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RevisionError {
    /// A template keeps its name and changes: the name must change too.
    #[error("revision {0:?} exists with another template: give the template another name")]
    NameTaken(String),
    /// Traffic names a revision that does not exist.
    #[error("traffic names revision {0:?}, which does not exist; there are: {1}")]
    Missing(String, String),
}

impl Revisions {
    /// Follows the Service's template. Returns the name of the revision that was made, if one was.
    ///
    /// # Errors
    /// [`RevisionError::NameTaken`] when the template's own name belongs to another template.
    pub(crate) fn follow(
        &mut self,
        service: &str,
        template: &RevisionTemplate,
    ) -> Result<Option<String>, RevisionError> {
        if let Some(name) = &template.name
            && let Some(known) = self.list.iter().find(|r| &r.name == name)
        {
            if known.template != *template {
                return Err(RevisionError::NameTaken(name.clone()));
            }
            return Ok(None);
        }
        if self.latest().is_some_and(|r| r.template == *template) {
            return Ok(None);
        }
        self.generation += 1;
        let generated = || format!("{service}-{:05}", self.generation);
        let name = template.name.clone().unwrap_or_else(generated);
        self.list.push(Revision {
            name: name.clone(),
            generation: self.generation,
            template: template.clone(),
            is_ready: false,
        });
        Ok(Some(name))
    }

    /// The newest revision.
    pub(crate) fn latest(&self) -> Option<&Revision> {
        self.list.last()
    }

    /// The newest revision that became ready: it has the traffic of `latestRevision`.
    pub(crate) fn latest_ready(&self) -> Option<&Revision> {
        self.get(self.latest_ready.as_deref()?)
    }

    /// A revision by its name.
    pub(crate) fn get(&self, name: &str) -> Option<&Revision> {
        self.list.iter().find(|r| r.name == name)
    }

    /// All revisions, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Revision> {
        self.list.iter()
    }

    /// Notes that a revision's initial scale was reached. True when traffic moves by it.
    pub(crate) fn mark_ready(&mut self, name: &str) -> bool {
        let current = self.latest_ready().map_or(0, |r| r.generation);
        let Some(revision) = self.list.iter_mut().find(|r| r.name == name) else {
            return false;
        };
        revision.is_ready = true;
        if revision.generation <= current {
            return false;
        }
        self.latest_ready = Some(revision.name.clone());
        true
    }

    /// Finds the revision of every traffic target. While none is ready, the newest has the traffic of
    /// `latestRevision`: requests wait for it and, if it cannot start, are told why.
    ///
    /// # Errors
    /// [`RevisionError::Missing`] when a target names a revision that does not exist.
    pub(crate) fn resolve(
        &self,
        traffic: &[TrafficTarget],
    ) -> Result<Vec<RevisionTarget>, RevisionError> {
        let mut resolved = Vec::with_capacity(traffic.len());
        for target in traffic {
            let revision = match &target.revision_name {
                Some(name) => Some(self.get(name).ok_or_else(|| self.missing(name))?),
                None => self.latest_ready().or(self.latest()),
            };
            resolved.extend(revision.map(|r| RevisionTarget {
                revision: r.name.clone(),
                percent: target.percent,
                tag: target.tag.clone(),
            }));
        }
        Ok(resolved)
    }

    /// Drops the oldest revisions that neither `used` nor the newest names, beyond
    /// [`KEPT_WITHOUT_TRAFFIC`]. Returns their names.
    pub(crate) fn collect(&mut self, used: &[RevisionTarget]) -> Vec<String> {
        let newest = self.latest().map(|r| r.name.clone());
        let ready = self.latest_ready.clone();
        let is_kept = |r: &Revision| {
            Some(&r.name) == newest.as_ref()
                || Some(&r.name) == ready.as_ref()
                || used.iter().any(|t| t.revision == r.name)
        };
        let idle: Vec<String> = self
            .list
            .iter()
            .filter(|r| !is_kept(r))
            .map(|r| r.name.clone())
            .collect();
        let surplus = idle.len().saturating_sub(KEPT_WITHOUT_TRAFFIC);
        let dropped: Vec<String> = idle.into_iter().take(surplus).collect();
        self.list.retain(|r| !dropped.contains(&r.name));
        dropped
    }

    fn missing(&self, name: &str) -> RevisionError {
        let known: Vec<&str> = self.list.iter().map(|r| r.name.as_str()).collect();
        RevisionError::Missing(name.to_owned(), known.join(", "))
    }
}
