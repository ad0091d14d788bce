//! The revisions of one Service: which exist, which is newest, which is ready, which gets traffic.
//!
//! Pure bookkeeping. An edit of the template makes a revision; traffic follows the newest one that
//! became ready; revisions without traffic stay, at zero, until newer ones push them out.

use serde::{Deserialize, Serialize};
use zeron_core::workload::ResourceAmounts;
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
    /// Templates that were followed, in the order of their manifests: only what is new is an edit.
    #[serde(default)]
    followed: Vec<RevisionTemplate>,
    /// Traffic as it was when all its revisions were found.
    #[serde(default)]
    traffic: Vec<TrafficTarget>,
}

/// Why a Service's template or traffic cannot be followed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RevisionError {
    /// A template keeps its name and changes: the name must change too.
    #[error("revision {0:?} exists with another template: give the template another name")]
    NameTaken(String),
    /// Another Service of the namespace has a revision of this name.
    #[error("revision {0:?} belongs to Service {1}: give the template another name")]
    OtherService(String, String),
    /// Traffic names a revision that does not exist.
    #[error("traffic names revision {0:?}, which does not exist; there are: {1}")]
    Missing(String, String),
}

impl Revisions {
    /// Follows all versions of the Service that its manifests hold, as if each had been applied after
    /// the one before. Versions that were followed already are no edits, so that reading the same
    /// manifests again makes nothing.
    pub(crate) fn follow_all(
        &mut self,
        service: &str,
        templates: &[&RevisionTemplate],
    ) -> Vec<RevisionError> {
        for template in templates {
            self.learn_requests(template);
        }
        let known = self.followed.iter().zip(templates);
        let known = known.take_while(|(old, new)| old == *new).count();
        // The last one is what the Service is now, also when later ones were taken away.
        let (old, new) = templates.split_at(known.min(templates.len().saturating_sub(1)));
        let conflicts = old.iter().filter_map(|t| self.conflict(t));
        let mut errors: Vec<RevisionError> = conflicts.collect();
        for template in new {
            errors.extend(self.follow(service, template).err());
        }
        self.followed = templates.iter().map(|t| (*t).clone()).collect();
        errors
    }

    /// Earlier versions stored nothing of what a program requests: a template that differs by that alone is the one that was
    /// stored.
    fn learn_requests(&mut self, template: &RevisionTemplate) {
        let requests = template.workload.requests;
        let listed = self.list.iter_mut().map(|revision| &mut revision.template);
        for stored in listed.chain(&mut self.followed) {
            if stored.workload.requests != ResourceAmounts::default() {
                continue;
            }
            stored.workload.requests = requests;
            if stored != template {
                stored.workload.requests = ResourceAmounts::default();
            }
        }
    }

    /// The template's own name, when it belongs to another template.
    fn conflict(&self, template: &RevisionTemplate) -> Option<RevisionError> {
        let known = self.get(template.name.as_deref()?)?;
        (known.template != *template).then(|| RevisionError::NameTaken(known.name.clone()))
    }

    /// Follows the Service's template. Returns the name of the revision that was made, if one was.
    ///
    /// # Errors
    /// [`RevisionError::NameTaken`] when the template's own name belongs to another template.
    pub(crate) fn follow(
        &mut self,
        service: &str,
        template: &RevisionTemplate,
    ) -> Result<Option<String>, RevisionError> {
        if let Some(error) = self.conflict(template) {
            return Err(error);
        }
        let is_known = |name: &String| self.get(name).is_some();
        if template.name.as_ref().is_some_and(is_known) {
            return Ok(None);
        }
        if self.latest().is_some_and(|r| r.template == *template) {
            return Ok(None);
        }
        let name = self.next_name(service, template);
        self.list.push(Revision {
            name: name.clone(),
            generation: self.generation,
            template: template.clone(),
            is_ready: false,
        });
        Ok(Some(name))
    }

    /// The name of the next generation: the template's own, or a number that no revision has.
    fn next_name(&mut self, service: &str, template: &RevisionTemplate) -> String {
        loop {
            self.generation += 1;
            let generated = || format!("{service}-{:05}", self.generation);
            let name = template.name.clone().unwrap_or_else(generated);
            if self.get(&name).is_none() {
                return name;
            }
        }
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

    /// Finds the revisions of `traffic`, and of the traffic before it when one does not exist: a slip
    /// in a manifest moves no requests. The latest revision has them all when there was none before.
    pub(crate) fn direct(
        &mut self,
        traffic: &[TrafficTarget],
    ) -> (Vec<RevisionTarget>, Option<RevisionError>) {
        let error = match self.resolve(traffic) {
            Ok(targets) => {
                self.traffic = traffic.to_vec();
                return (targets, None);
            }
            Err(error) => error,
        };
        let latest = TrafficTarget {
            revision_name: None,
            percent: 100,
            tag: None,
        };
        let before = self.resolve(&self.traffic).ok().filter(|t| !t.is_empty());
        let targets = before.or_else(|| self.resolve(&[latest]).ok());
        (targets.unwrap_or_default(), Some(error))
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
