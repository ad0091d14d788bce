//! One partition of one topic.

use std::sync::Arc;

/// One partition of one topic. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Partition {
    /// The topic.
    pub(crate) topic: Arc<str>,
    /// Its number.
    pub(crate) id: i32,
}
