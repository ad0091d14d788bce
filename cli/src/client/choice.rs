//! Which zeron is asked: that of this machine, or the autoscalers of a cluster.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What was asked for, and what there is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wishes {
    /// `--admin` was given.
    pub(crate) is_admin_given: bool,
    /// It was, or `ZERON_ADMIN` is set.
    pub(crate) is_admin_set: bool,
    /// An option that only makes sense in a cluster was given.
    pub(crate) is_cluster_given: bool,
    /// There is a kubeconfig where kubectl looks for it.
    pub(crate) has_kubeconfig: bool,
}

/// Whom to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The admin address, whoever is there.
    Machine,
    /// The autoscalers of a cluster.
    Cluster,
    /// The default admin address; where nobody listens, the cluster.
    MachineElseCluster,
}

/// Options of both were given.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "--admin names one zeron, and --kubeconfig, --context and --zeron-namespace those of a cluster: give one or the other"
)]
pub(crate) struct BothNamed;

impl Wishes {
    /// Options win over the environment, what is named over what is found, and this machine over a
    /// cluster that nobody named.
    ///
    /// # Errors
    /// When both were given.
    pub(crate) fn choose(self) -> Result<Choice, BothNamed> {
        match (self.is_cluster_given, self.is_admin_given) {
            (true, true) => Err(BothNamed),
            (true, false) => Ok(Choice::Cluster),
            (false, true) => Ok(Choice::Machine),
            (false, false) if self.is_admin_set => Ok(Choice::Machine),
            (false, false) if self.has_kubeconfig => Ok(Choice::MachineElseCluster),
            (false, false) => Ok(Choice::Machine),
        }
    }
}

/// Whether a kubeconfig is where kubectl looks for it: `$KUBECONFIG`, else `~/.kube/config`.
pub(crate) fn has_kubeconfig() -> bool {
    match env::var_os("KUBECONFIG").filter(|files| !files.is_empty()) {
        Some(files) => env::split_paths(&files).any(|file| file.is_file()),
        None => home_kubeconfig().is_some(),
    }
}

/// `~/.kube/config`, where it is a file and `$KUBECONFIG` names no other.
///
/// To be named to whoever connects, who would otherwise prefer the service account in a pod.
pub(crate) fn home_kubeconfig() -> Option<PathBuf> {
    kubeconfig_in(env::var_os("HOME"), env::var_os("KUBECONFIG"))
}

fn kubeconfig_in(home: Option<OsString>, named: Option<OsString>) -> Option<PathBuf> {
    if named.is_some_and(|files| !files.is_empty()) {
        return None;
    }
    let file = Path::new(&home?).join(".kube/config");
    file.is_file().then_some(file)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const NOTHING: Wishes = Wishes {
        is_admin_given: false,
        is_admin_set: false,
        is_cluster_given: false,
        has_kubeconfig: false,
    };

    #[test]
    fn this_machine_is_asked_unless_a_cluster_is_named_or_all_there_is() {
        assert_eq!(NOTHING.choose(), Ok(Choice::Machine));
        let found = Wishes {
            has_kubeconfig: true,
            ..NOTHING
        };
        assert_eq!(found.choose(), Ok(Choice::MachineElseCluster));
        let named = Wishes {
            is_cluster_given: true,
            ..NOTHING
        };
        assert_eq!(named.choose(), Ok(Choice::Cluster));
    }

    #[test]
    fn an_option_wins_over_the_environment_and_two_options_are_a_mistake() {
        let set = Wishes {
            is_admin_set: true,
            has_kubeconfig: true,
            ..NOTHING
        };
        assert_eq!(set.choose(), Ok(Choice::Machine));
        let named = Wishes {
            is_cluster_given: true,
            ..set
        };
        assert_eq!(named.choose(), Ok(Choice::Cluster));
        let both = Wishes {
            is_admin_given: true,
            ..named
        };
        assert_eq!(both.choose(), Err(BothNamed));
    }

    #[test]
    fn the_kubeconfig_at_home_is_used_unless_another_is_named() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(".kube");
        std::fs::create_dir(&folder).unwrap();
        let found = |named: Option<&str>| {
            let named = named.map(OsString::from);
            kubeconfig_in(Some(home.path().into()), named)
        };
        assert_eq!(found(None), None, "there is none yet");
        let file = folder.join("config");
        std::fs::write(&file, "").unwrap();
        assert_eq!(found(None), Some(file.clone()));
        assert_eq!(found(Some("")), Some(file));
        assert_eq!(found(Some("/else/config")), None);
        assert_eq!(kubeconfig_in(None, None), None);
    }
}
