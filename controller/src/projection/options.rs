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

/// Whether a KEDA operator works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum KedaLife {
    /// None does.
    #[default]
    Gone,
    /// It let its lease go a moment ago and may only restart. What was taken over from it is ours at
    /// once; for the rest it counts as alive.
    LetGo,
    /// It holds its lease.
    Alive,
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
    /// Whether objects of all namespaces are seen: otherwise it is not known who uses a
    /// ClusterTriggerAuthentication, and it is not reported on.
    pub sees_all_namespaces: bool,
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
            sees_all_namespaces: true,
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
