//! From a name that a person types to the one function that is meant.

use zeron_core::FunctionId;

use crate::control::FunctionView;

/// A function as a person names it: `NAME` or `KIND/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FunctionName {
    /// The kind of the function's object or of its owner, without regard to case.
    pub(crate) kind: Option<String>,
    /// The name of either.
    pub(crate) name: String,
    /// `None`: any.
    pub(crate) namespace: Option<String>,
}

/// Why a name does not lead to one function.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResolveError {
    /// None has it.
    #[error("no function is called {0:?}{1}")]
    NotFound(String, String),
    /// Several have it.
    #[error("{name:?} means several functions: {}", .candidates.join(", "))]
    Ambiguous {
        /// What was typed.
        name: String,
        /// What to type instead.
        candidates: Vec<String>,
    },
}

impl FunctionName {
    /// Reads `NAME` or `KIND/NAME`.
    pub(crate) fn parse(text: &str, namespace: Option<&str>) -> Self {
        let (kind, name) = match text.split_once('/') {
            Some((kind, name)) => (Some(kind.to_owned()), name),
            None => (None, text),
        };
        Self {
            kind,
            name: name.to_owned(),
            namespace: namespace.map(str::to_owned),
        }
    }

    /// Finds the one function that is meant.
    ///
    /// A Service means its revision with traffic, or the newest while none has any.
    ///
    /// # Errors
    /// When none or several have the name.
    pub(crate) fn resolve<'a>(
        &self,
        views: &'a [FunctionView],
    ) -> Result<&'a FunctionView, ResolveError> {
        let named: Vec<&FunctionView> = views.iter().filter(|v| self.matches(v)).collect();
        let exact: Vec<&FunctionView> = named
            .iter()
            .copied()
            .filter(|v| self.is_exact(&v.status.id))
            .collect();
        let found = match exact.len() {
            0 => current(named),
            // A Service may be called like a Deployment: neither is meant more than the other.
            _ if named.len() > exact.len() => current(named),
            _ => exact,
        };
        match found.as_slice() {
            [one] => Ok(one),
            [] => Err(self.not_found(views)),
            several => Err(self.ambiguous(several)),
        }
    }

    fn matches(&self, view: &FunctionView) -> bool {
        let owner = &view.status.owner;
        let is_owner = owner.name == self.name && self.is_kind(&owner.kind);
        let is_here = self
            .namespace
            .as_deref()
            .is_none_or(|n| n == view.status.id.namespace());
        is_here && (is_owner || self.is_exact(&view.status.id))
    }

    fn is_exact(&self, id: &FunctionId) -> bool {
        id.name() == self.name && self.is_kind(id.kind())
    }

    fn is_kind(&self, kind: &str) -> bool {
        self.kind
            .as_deref()
            .is_none_or(|k| k.eq_ignore_ascii_case(kind))
    }

    fn not_found(&self, views: &[FunctionView]) -> ResolveError {
        let mut known: Vec<&str> = views.iter().map(|v| v.status.owner.name.as_str()).collect();
        known.sort_unstable();
        known.dedup();
        let hint = match known.as_slice() {
            [] => String::from("; there are none"),
            few if few.len() <= 20 => format!("; there are: {}", few.join(", ")),
            many => format!("; `zeron ls` lists the {} there are", many.len()),
        };
        ResolveError::NotFound(self.name.clone(), hint)
    }

    fn ambiguous(&self, several: &[&FunctionView]) -> ResolveError {
        let same_namespace = several
            .windows(2)
            .all(|v| v[0].status.id.namespace() == v[1].status.id.namespace());
        let candidate = |view: &&FunctionView| {
            let id = &view.status.id;
            let share = match view.traffic_percent {
                Some(percent) if percent > 0 => format!(" ({percent} %)"),
                _ => String::new(),
            };
            let kind = id.kind().to_lowercase();
            if same_namespace {
                format!("{kind}/{}{share}", id.name())
            } else {
                format!("-n {} {kind}/{}{share}", id.namespace(), id.name())
            }
        };
        let candidates = several.iter().map(candidate).collect();
        ResolveError::Ambiguous {
            name: self.name.clone(),
            candidates,
        }
    }
}

/// Keeps, of each owner, the functions with traffic, or else the newest.
fn current(mut views: Vec<&FunctionView>) -> Vec<&FunctionView> {
    let has_traffic = |v: &FunctionView| v.traffic_percent.is_none_or(|p| p > 0);
    let all = views.clone();
    views.retain(|view| {
        let siblings = || all.iter().filter(|v| v.status.owner == view.status.owner);
        if siblings().any(|v| has_traffic(v)) {
            return has_traffic(view);
        }
        let newest = siblings().max_by_key(|v| (v.status.since, &v.status.id));
        newest.is_some_and(|v| v.status.id == view.status.id)
    });
    views
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testkit::{deployment, revision};

    fn resolve<'a>(text: &str, views: &'a [FunctionView]) -> Result<&'a str, ResolveError> {
        let found = FunctionName::parse(text, None).resolve(views)?;
        Ok(found.status.id.name())
    }

    #[test]
    fn a_service_means_its_revision_with_traffic() {
        let views = [
            revision("hello", 1, 0),
            revision("hello", 2, 100),
            revision("hello", 3, 0),
        ];
        assert_eq!(resolve("hello", &views), Ok("hello-00002"));
        assert_eq!(resolve("service/hello", &views), Ok("hello-00002"));
        assert_eq!(resolve("hello-00001", &views), Ok("hello-00001"));
    }

    #[test]
    fn a_service_without_traffic_means_its_newest_revision() {
        let views = [revision("hello", 1, 0), revision("hello", 2, 0)];
        assert_eq!(resolve("hello", &views), Ok("hello-00002"));
    }

    #[test]
    fn a_split_service_is_ambiguous_and_names_its_revisions() {
        let views = [revision("hello", 1, 80), revision("hello", 2, 20)];
        let error = resolve("hello", &views).unwrap_err();
        let candidates = ["revision/hello-00001 (80 %)", "revision/hello-00002 (20 %)"];
        assert_eq!(
            error.to_string(),
            format!(
                "\"hello\" means several functions: {}",
                candidates.join(", ")
            )
        );
    }

    #[test]
    fn a_kind_tells_a_service_from_a_deployment() {
        let views = [revision("hello", 1, 100), deployment("hello")];
        assert!(matches!(
            resolve("hello", &views),
            Err(ResolveError::Ambiguous { .. })
        ));
        assert_eq!(resolve("Deployment/hello", &views), Ok("hello"));
        assert_eq!(resolve("service/hello", &views), Ok("hello-00001"));
    }

    #[test]
    fn an_unknown_name_lists_what_there_is() {
        let error = resolve("helo", &[deployment("hello")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no function is called \"helo\"; there are: hello"
        );
    }
}
