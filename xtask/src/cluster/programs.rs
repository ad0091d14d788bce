//! Where the programs of a cluster are: built, given, or installed as packages.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::Context;

use super::control_plane::given_assets;
use super::{Mode, daemon, go};
use crate::apt;

/// Programs that Debian packages bring, and their packages.
const PACKAGED: [(&str, &str); 6] = [
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("iptables", "iptables"),
    ("conntrack", "conntrack"),
    ("ip", "iproute2"),
    ("mount", "mount"),
];

/// The CNI plugins are no programs on the path.
const PLUGINS: (&str, &str) = ("/usr/lib/cni/ptp", "containernetworking-plugins");

/// Paths of programs by their names.
#[derive(Debug, Default)]
pub(crate) struct Programs {
    known: HashMap<String, PathBuf>,
}

impl Programs {
    /// Builds and installs what `mode` needs.
    pub(crate) fn prepare(mode: Mode) -> anyhow::Result<Self> {
        install(mode);
        Self::build(mode)
    }

    /// Builds what `mode` needs.
    pub(crate) fn build(mode: Mode) -> anyhow::Result<Self> {
        let mut programs = Self::default();
        let mut modules = vec![go::TOOLS, go::API];
        if mode == Mode::Full {
            modules.extend([go::NODE, go::DNS]);
        }
        for module in modules {
            programs.add(module)?;
        }
        Ok(programs)
    }

    fn add(&mut self, module: go::Module) -> anyhow::Result<()> {
        let names = module
            .packages
            .iter()
            .filter_map(|package| package.rsplit('/').next());
        if names.clone().all(|name| given(name).is_some()) {
            return Ok(());
        }
        let folder = module.build()?;
        self.known
            .extend(names.map(|name| (name.to_owned(), folder.join(name))));
        Ok(())
    }

    /// The path of a program: where `KUBEBUILDER_ASSETS` has it, built, or on the path.
    pub(crate) fn find(&self, name: &str) -> anyhow::Result<PathBuf> {
        given(name)
            .or_else(|| self.known.get(name).cloned())
            .or_else(|| on_path(name))
            .with_context(|| format!("{name} is not installed"))
    }
}

fn given(name: &str) -> Option<PathBuf> {
    given_assets()
        .map(|folder| folder.join(name))
        .filter(|program| program.is_file())
}

/// A program on the path, or where administrators have theirs.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = daemon::system_path();
    path.split(':')
        .map(|folder| PathBuf::from(folder).join(name))
        .find(|program| program.is_file())
}

/// Installs missing packages. What cannot be installed is missed, by name, when it is started.
pub(crate) fn install(mode: Mode) {
    let mut missing = Vec::new();
    if given("etcd").is_none() && on_path("etcd").is_none() {
        missing.push("etcd-server");
    }
    if mode == Mode::Full {
        missing.extend(
            PACKAGED
                .iter()
                .filter(|(name, _)| on_path(name).is_none())
                .map(|(_, package)| *package),
        );
        if !std::path::Path::new(PLUGINS.0).exists() {
            missing.push(PLUGINS.1);
        }
    }
    if !missing.is_empty() {
        apt::install(&missing, "the test cluster");
    }
}
