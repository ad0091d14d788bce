//! What is wrong with a set of manifests: all of it, each with its place.

use std::cell::RefCell;
use std::fmt;

use zeron_core::ObjectRef;

use crate::document::Location;
use crate::platform::Platform;

/// How bad a [`Problem`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The set is refused; in a cluster, the object.
    Error,
    /// A part of the object cannot work; the rest of it does. On one machine this is an error.
    Partial,
    /// It works, but not all of what is written has an effect here.
    Warning,
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Where it stands.
    pub location: Location,
    /// Whose field it is, once that is known.
    pub object: Option<ObjectRef>,
    /// The field's path; empty for the document as a whole.
    pub field: String,
    /// The value and what is allowed, in words, on one line.
    pub message: String,
}

impl Problem {
    /// Whether the set is refused because of it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// `file:line:column: error: Kind namespace/name: field: message`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Partial => "partial",
            Severity::Warning => "warning",
        };
        write!(f, "{}: {severity}: ", self.location)?;
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

/// Collects problems while documents are read.
#[derive(Debug, Default)]
pub struct Problems {
    list: RefCell<Vec<Problem>>,
    is_strict: bool,
    is_muted: bool,
    platform: Platform,
}

impl Problems {
    /// An empty collection. `is_strict`: fields without effect are errors rather than warnings.
    pub fn new(is_strict: bool) -> Self {
        Self {
            is_strict,
            ..Self::default()
        }
    }

    /// Problems of objects of a cluster.
    pub fn of_cluster(is_strict: bool) -> Self {
        Self {
            is_strict,
            platform: Platform::Cluster,
            ..Self::default()
        }
    }

    /// Keeps none of them: what the cluster has accepted is not ours to judge.
    pub fn muted(platform: Platform) -> Self {
        Self {
            is_muted: true,
            platform,
            ..Self::default()
        }
    }

    /// Where the objects take effect.
    pub fn platform(&self) -> Platform {
        self.platform
    }

    pub(crate) fn is_muted(&self) -> bool {
        self.is_muted
    }

    /// Whether fields without effect are errors.
    pub fn is_strict(&self) -> bool {
        self.is_strict
    }

    /// Adds one.
    pub fn push(&self, problem: Problem) {
        if !self.is_muted {
            self.list.borrow_mut().push(problem);
        }
    }

    /// Whether any of them refuses the set.
    pub fn has_errors(&self) -> bool {
        self.list.borrow().iter().any(Problem::is_error)
    }

    /// How many there are so far.
    pub fn len(&self) -> usize {
        self.list.borrow().len()
    }

    /// Whether there are none so far.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, by place.
    pub fn into_sorted(self) -> Vec<Problem> {
        let mut list = self.list.into_inner();
        list.sort_by(|a, b| (&a.location, &a.field).cmp(&(&b.location, &b.field)));
        list.dedup();
        list
    }
}
