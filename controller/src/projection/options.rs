//! How objects are read.

use std::collections::BTreeSet;
use std::sync::Arc;

use zeron_core::ScalerRegistry;

/// Which objects are ours to act on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manage {
    /// All, unless a live KEDA holds its lease: then only labelled ones.
    #[default]
    Auto,
    /// All, whoever else lives here.
    All,
    /// Only those with the label `zeron.dev/manage: "true"`.
    Labelled,
}

/// Whose objects may take every request that no other route takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CatchAll {
    /// Nobody's.
    #[default]
    Nobody,
    /// Those of these namespaces.
    Namespaces(BTreeSet<String>),
    /// Everybody's: the oldest has it.
    Everybody,
}

/// How objects are read.
#[derive(Clone, Debug)]
pub struct ProjectionOptions {
    /// Which objects are ours.
    pub manage: Manage,
    /// Where ClusterTriggerAuthentications find Secrets and ConfigMaps.
    pub cluster_namespace: String,
    /// Who may take every request.
    pub catch_all: CatchAll,
    /// Whether the statuses of declarations are kept, for who writes them. Default: not.
    pub keeps_status: bool,
    /// Checks the parameters of triggers.
    pub scalers: Arc<dyn ScalerRegistry>,
}

impl ProjectionOptions {
    /// Everything by default; triggers are checked by `scalers`.
    pub fn new(scalers: Arc<dyn ScalerRegistry>) -> Self {
        Self {
            manage: Manage::default(),
            cluster_namespace: "keda".to_owned(),
            catch_all: CatchAll::default(),
            keeps_status: false,
            scalers,
        }
    }
}

impl CatchAll {
    pub(super) fn allows(&self, namespace: &str) -> bool {
        match self {
            Self::Nobody => false,
            Self::Namespaces(namespaces) => namespaces.contains(namespace),
            Self::Everybody => true,
        }
    }
}
