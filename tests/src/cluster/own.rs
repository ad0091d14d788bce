//! An API server of a test's own, for what all others would notice: definitions of kinds that are not ours.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::{Cluster, KUBECONFIG};
use crate::{binary, broker};

/// etcd and kube-apiserver, without controllers and without a node. They end when this is dropped.
#[derive(Debug)]
pub struct OwnApi {
    cluster: &'static Cluster,
    folder: TempDir,
}

impl OwnApi {
    /// Starts them; `None`, which is reported as a skip of `test`, where no cluster of this machine shows that their
    /// programs are here.
    ///
    /// # Panics
    /// When they do not start.
    pub fn start(test: &str) -> Option<Self> {
        if Cluster::api(test)?.state().is_none() {
            broker::skip(
                test,
                &format!("{KUBECONFIG} names a cluster of another kind"),
            );
            return None;
        }
        let folder = tempfile::Builder::new()
            .prefix("zeron-api-")
            .tempdir()
            .expect("there is a temporary folder");
        let started = order(&["up", "--api-only"], folder.path());
        assert!(started.status.success(), "{started:?}");
        let kubeconfig = folder.path().join("kubeconfig");
        let cluster = Cluster::connect(kubeconfig.into_os_string());
        // Namespaces and roles may outlive a test's stack; there is one such server for each process of tests.
        let cluster = Box::leak(Box::new(
            cluster.unwrap_or_else(|error| panic!("{error:#}")),
        ));
        Some(Self { cluster, folder })
    }

    /// The cluster that it is.
    pub fn cluster(&self) -> &'static Cluster {
        self.cluster
    }
}

impl Drop for OwnApi {
    fn drop(&mut self) {
        let ended = order(&["down"], self.folder.path());
        // A test that fails already says more.
        assert!(
            ended.status.success() || std::thread::panicking(),
            "{ended:?}"
        );
    }
}

fn order(words: &[&str], state: &Path) -> Output {
    Command::new(binary::xtask())
        .arg("cluster")
        .args(words)
        .arg("--state")
        .arg(state)
        // With it the cluster of all tests would be taken.
        .env_remove(KUBECONFIG)
        .stdin(Stdio::null())
        .output()
        .expect("it was built")
}
