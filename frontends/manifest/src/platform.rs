//! Where manifests take effect: what is refused here may be somebody else's matter there.

/// Where declared objects take effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Platform {
    /// Files on one machine: a set is refused as a whole, and programs run without images.
    #[default]
    Machine,
    /// Objects of a cluster: each stands for itself, and the cluster runs the pods.
    Cluster,
}

impl Platform {
    /// What is said of an object that is not there.
    pub fn absent(self) -> &'static str {
        match self {
            Self::Machine => "is not among the manifests",
            Self::Cluster => "does not exist",
        }
    }
}
