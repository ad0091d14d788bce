//! Objects that were applied and that a file declares too: the file is followed.

use std::collections::BTreeMap;

use zeron_core::ObjectRef;

use super::compact::Compact;
use crate::control::{Problem, Severity};

type Applied = BTreeMap<ObjectRef, Compact>;

/// Applied objects that no file declares.
pub(super) fn own<'a>(
    files: &[Compact],
    applied: &'a Applied,
) -> impl Iterator<Item = &'a Compact> + use<'a> {
    let mut own: BTreeMap<&ObjectRef, &Compact> = applied.iter().collect();
    for file in files {
        file.object.as_ref().and_then(|object| own.remove(object));
    }
    own.into_values()
}

/// A warning for each of the others.
pub(super) fn problems(files: &[Compact], applied: &Applied) -> Vec<Problem> {
    let mut found: BTreeMap<&ObjectRef, Problem> = BTreeMap::new();
    for file in files {
        if let Some(object) = file.object.as_ref().filter(|o| applied.contains_key(*o)) {
            found.insert(object, problem(object, &file.file));
        }
    }
    found.into_values().collect()
}

fn problem(object: &ObjectRef, file: &str) -> Problem {
    let kind = object.kind.to_lowercase();
    Problem {
        severity: Severity::Warning,
        file: Some(file.to_owned()),
        line: None,
        column: None,
        object: Some(object.to_string()),
        field: None,
        message: format!(
            "was applied earlier too, and this file is followed: `zeron delete {kind} {} -n {}` \
             forgets what was applied",
            object.name, object.namespace
        ),
    }
}
