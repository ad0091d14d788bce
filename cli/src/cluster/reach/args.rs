//! The option that says whether a mesh keeps us from pods.

use clap::{Args, ValueEnum};
use zeron_controller::projection::MeshMode;

/// How pods are reached.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct MeshArgs {
    /// Whether requests go to the Service's address instead of pods' own, which a mesh may refuse:
    /// never, always, or (auto) where the platform judges pods by itself and they refuse while the
    /// Service answers. The same for activators and autoscalers
    #[arg(long, value_enum, default_value = "auto", value_name = "MODE")]
    mesh_compatibility_mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    Disabled,
    Enabled,
    Auto,
}

impl MeshArgs {
    /// For functions whose objects do not say.
    pub(crate) fn mode(self) -> MeshMode {
        match self.mesh_compatibility_mode {
            Mode::Disabled => MeshMode::Disabled,
            Mode::Enabled => MeshMode::Enabled,
            Mode::Auto => MeshMode::Auto,
        }
    }
}
