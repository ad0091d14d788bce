//! The ConfigMaps of an existing Knative that say how revisions scale.

use std::collections::BTreeMap;
use std::time::Duration;

use zeron_manifest::parse_duration;

use crate::config::{AutoscalerConfig, ConfigProblem};

/// The ConfigMaps that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConfigMapName {
    /// `config-autoscaler`.
    Autoscaler,
    /// `config-network`.
    Network,
    /// `config-deployment`.
    Deployment,
}

/// How pods can be reached (`mesh-compatibility-mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MeshCompatibility {
    /// By their addresses, or through their Service where a mesh refuses that.
    #[default]
    Auto,
    /// Only through their Service.
    Enabled,
    /// Only by their addresses.
    Disabled,
}

/// What the ConfigMaps say together.
#[derive(Clone, Debug, PartialEq)]
pub struct ServingConfig {
    /// `config-autoscaler`.
    pub autoscaler: AutoscalerConfig,
    /// How pods are asked for their load.
    pub mesh_compatibility: MeshCompatibility,
    /// `system-internal-tls`: gateways speak TLS to activators only, which then stay in the way.
    pub has_internal_tls: bool,
    /// How long a new revision may take to become ready.
    pub progress_deadline: Duration,
}

impl Default for ServingConfig {
    fn default() -> Self {
        Self {
            autoscaler: AutoscalerConfig::default(),
            mesh_compatibility: MeshCompatibility::default(),
            has_internal_tls: false,
            progress_deadline: Duration::from_secs(600),
        }
    }
}

impl ConfigMapName {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Autoscaler, Self::Network, Self::Deployment];

    /// The ConfigMap's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Autoscaler => "config-autoscaler",
            Self::Network => "config-network",
            Self::Deployment => "config-deployment",
        }
    }

    /// Which one has this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }
}

impl ServingConfig {
    /// Takes over what a ConfigMap says now. One with something wrong in it is refused as a whole:
    /// what held before holds on. What has no effect here is told and does not hinder.
    pub fn update(
        &mut self,
        name: ConfigMapName,
        data: &BTreeMap<String, String>,
    ) -> Vec<ConfigProblem> {
        let (new, problems) = self.with(name, data);
        if problems.iter().all(|problem| problem.is_without_effect) {
            *self = new;
        }
        problems
    }

    fn with(
        &self,
        name: ConfigMapName,
        data: &BTreeMap<String, String>,
    ) -> (Self, Vec<ConfigProblem>) {
        let mut new = self.clone();
        let mut problems = Vec::new();
        match name {
            ConfigMapName::Autoscaler => (new.autoscaler, problems) = AutoscalerConfig::parse(data),
            ConfigMapName::Network => match mesh(data) {
                Ok(mode) => {
                    new.mesh_compatibility = mode;
                    new.has_internal_tls = has_internal_tls(data);
                }
                Err(problem) => problems.push(problem),
            },
            ConfigMapName::Deployment => match progress_deadline(data) {
                Ok(deadline) => new.progress_deadline = deadline,
                Err(problem) => problems.push(problem),
            },
        }
        (new, problems)
    }
}

fn mesh(data: &BTreeMap<String, String>) -> Result<MeshCompatibility, ConfigProblem> {
    let key = "mesh-compatibility-mode";
    let text = data.get(key).map_or("auto", |text| text.as_str());
    match text.to_ascii_lowercase().as_str() {
        "auto" => Ok(MeshCompatibility::Auto),
        "enabled" => Ok(MeshCompatibility::Enabled),
        "disabled" => Ok(MeshCompatibility::Disabled),
        _ => Err(refused(key, text, "must be auto, enabled or disabled")),
    }
}

/// By the key of today or the one before it; unknown values are as good as none, as activators have it.
fn has_internal_tls(data: &BTreeMap<String, String>) -> bool {
    let is = |key: &str, wanted: &str| {
        let word = data.get(key).map(|text| text.trim());
        word.is_some_and(|word| word.eq_ignore_ascii_case(wanted))
    };
    is("system-internal-tls", "enabled") || is("internal-encryption", "true")
}

fn progress_deadline(data: &BTreeMap<String, String>) -> Result<Duration, ConfigProblem> {
    let key = "progress-deadline";
    // The old spelling counts where the new one is not there.
    let Some(text) = data.get(key).or_else(|| data.get("progressDeadline")) else {
        return Ok(ServingConfig::default().progress_deadline);
    };
    let is_allowed = |d: &Duration| !d.is_zero() && d.subsec_nanos() == 0;
    let parsed = parse_duration(text).ok().filter(is_allowed);
    parsed.ok_or_else(|| refused(key, text, "must be whole seconds above 0s"))
}

fn refused(key: &str, text: &str, allowed: &str) -> ConfigProblem {
    ConfigProblem {
        key: key.to_owned(),
        message: format!("{text:?}: {allowed}"),
        is_without_effect: false,
    }
}
