//! `zeron.dev/*` annotations: what the originals' objects cannot say.

use std::num::NonZeroU32;

use zeron_manifest::{Header, Platform, Scope};

const PREFIX: &str = "zeron.dev/";

/// Annotations that others read: commands, the take-over from KEDA, the choice of what is ours.
const ELSEWHERE: [&str; 5] = [
    "adopted-from",
    "adopted-state",
    "handed-back",
    "manage",
    "requires",
];

/// What an object of KEDA or its HTTP add-on says in annotations of ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// `zeron.dev/concurrency-limit`: requests that one replica may serve at once, as a hard limit.
    pub concurrency_limit: Option<NonZeroU32>,
    /// `zeron.dev/max-queued`: requests that may wait for a replica.
    pub max_queued: Option<u32>,
    /// `zeron.dev/scaling: external`: somebody else writes the replica count.
    pub is_external: bool,
}

impl Extras {
    /// Reads them; unknown ones are warned of.
    pub(crate) fn read(scope: &Scope<'_>, header: &Header) -> Self {
        let mut extras = Self::default();
        for (key, value) in &header.meta.annotations {
            let Some(name) = key.strip_prefix(PREFIX) else {
                continue;
            };
            let path = format!("metadata.annotations[{key}]");
            match name {
                "concurrency-limit" => {
                    extras.concurrency_limit =
                        number(scope, &path, value).and_then(NonZeroU32::new);
                }
                "max-queued" => extras.max_queued = number(scope, &path, value),
                "mesh-compatibility-mode" => mesh(scope, &path, value),
                "scaling" => extras.is_external = is_external(scope, &path, value),
                name if ELSEWHERE.contains(&name) => {}
                _ => scope.without_effect(&path, "unknown annotation"),
            }
        }
        extras
    }

    /// Those of two objects that concern one function: the smaller limit holds.
    pub fn joined(self, other: Self) -> Self {
        Self {
            concurrency_limit: smaller(self.concurrency_limit, other.concurrency_limit),
            max_queued: smaller(self.max_queued, other.max_queued),
            is_external: self.is_external || other.is_external,
        }
    }
}

fn smaller<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    a.into_iter().chain(b).min()
}

fn number(scope: &Scope<'_>, path: &str, value: &str) -> Option<u32> {
    let found = value.parse::<u32>().ok().filter(|n| *n > 0);
    if found.is_none() {
        scope.error(
            path,
            format!("{value:?}: must be an integer of at least 1, in quotes"),
        );
    }
    found
}

/// Read where objects become functions; here only whether it can be.
fn mesh(scope: &Scope<'_>, path: &str, value: &str) {
    match (value, scope.platform()) {
        ("disabled" | "enabled" | "auto", Platform::Cluster) => {}
        ("disabled" | "enabled" | "auto", Platform::Machine) => {
            scope.without_effect(path, "has no effect here: there is no mesh");
        }
        _ => {
            let message = format!("{value:?}: must be disabled, enabled or auto");
            scope.error(path, message);
        }
    }
}

fn is_external(scope: &Scope<'_>, path: &str, value: &str) -> bool {
    match (value, scope.platform()) {
        ("external", Platform::Cluster) => true,
        ("external", Platform::Machine) => {
            scope.without_effect(
                path,
                "has no effect here: nobody else could write the count",
            );
            false
        }
        _ => {
            scope.error(path, format!("{value:?}: must be external"));
            false
        }
    }
}
