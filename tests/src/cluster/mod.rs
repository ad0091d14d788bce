//! A real Kubernetes for tests: found by `ZERON_TEST_KUBECONFIG`, never started here (`cargo xtask cluster up` does).
//!
//! A test asks for it ([`Cluster::get`]) and is skipped, loudly, where there is none. It works in a namespace of its own
//! ([`Namespace`]), runs `zeron`'s roles as processes of this machine ([`Installation`]) or as pods ([`Pods`]), and waits
//! for conditions on watches. Tests are plain functions: the client's runtime is in here.

mod account;
mod audit;
mod deploy;

mod image;
mod kubectl;
mod namespace;
mod node;
mod objects;
mod own;
mod role;

use std::collections::HashMap;
use std::ffi::OsString;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use anyhow::Context;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::ApiResource;
use kube::{Client, Config};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::broker;

pub use audit::{Audit, Entry};
pub use deploy::{Deployed, Pods};
pub use image::Program;
pub(crate) use image::xtask;
pub use namespace::Namespace;
pub use own::OwnApi;
pub use role::{Installation, Role, Roles};

/// Names the cluster's kubeconfig.
const KUBECONFIG: &str = "ZERON_TEST_KUBECONFIG";

/// Says why there is none.
const MISSING: &str = "ZERON_TEST_NO_CLUSTER";

/// A cluster that is up.
pub struct Cluster {
    kubeconfig: PathBuf,
    config: Config,
    client: Client,
    runtime: Runtime,
    node: Option<IpAddr>,
    kinds: Mutex<HashMap<String, (ApiResource, bool)>>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("kubeconfig", &self.kubeconfig)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// The cluster, with a node that runs pods; `None`, which is reported as a skip of `test`, where there is none.
    ///
    /// # Panics
    /// When a cluster is named and cannot be reached.
    pub fn get(test: &str) -> Option<&'static Self> {
        let cluster = Self::api(test)?;
        if cluster.node.is_none() {
            broker::skip(test, "the cluster has no node that is ready");
            return None;
        }
        Some(cluster)
    }

    /// The same for tests that need an API server and no pods.
    ///
    /// # Panics
    /// When a cluster is named and cannot be reached.
    pub fn api(test: &str) -> Option<&'static Self> {
        static FOUND: OnceLock<Option<Cluster>> = OnceLock::new();
        let connect = |file| Self::connect(file).unwrap_or_else(|error| panic!("{error:#}"));
        let found = FOUND.get_or_init(|| std::env::var_os(KUBECONFIG).map(connect));
        if found.is_none() {
            let why = std::env::var(MISSING).ok();
            let why = why.unwrap_or_else(|| format!("{KUBECONFIG} names no cluster"));
            broker::skip(test, &why);
        }
        found.as_ref()
    }

    fn connect(file: OsString) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let file = PathBuf::from(file);
        let kubeconfig = std::fs::canonicalize(&file)
            .with_context(|| format!("{KUBECONFIG}={}", file.display()))?;
        let (config, client, node) = runtime.block_on(async {
            let parsed = Kubeconfig::read_from(&kubeconfig)?;
            let options = KubeConfigOptions::default();
            let config = Config::from_custom_kubeconfig(parsed, &options).await?;
            let client = Client::try_from(config.clone())?;
            let node = objects::ready_node(&client).await?;
            anyhow::Ok((config, client, node))
        })?;
        Ok(Self {
            kubeconfig,
            config,
            client,
            runtime,
            node,
            kinds: Mutex::default(),
        })
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A client of the administrator's.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// A client that acts as somebody else, such as `system:serviceaccount:NAMESPACE:NAME`.
    ///
    /// # Panics
    /// Outside of the cluster's runtime's reach: when the configuration is unusable.
    pub fn client_as(&self, user: &str) -> Client {
        let mut config = self.config.clone();
        config.auth_info.impersonate = Some(user.to_owned());
        let _runtime = self.runtime.enter();
        Client::try_from(config).expect("the configuration worked before")
    }

    /// Runs a future on the cluster's runtime. Not from within another runtime.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// An address of the machine that host processes can listen on and pods can reach; loopback where there is no node or
    /// it is another machine.
    pub fn host_address(&self) -> IpAddr {
        let is_ours = |ip: &IpAddr| std::net::TcpListener::bind((*ip, 0)).is_ok();
        self.node
            .filter(is_ours)
            .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// A fresh namespace, whose name begins with `prefix`. It is deleted when this is dropped.
    pub fn namespace(&'static self, prefix: &str) -> Namespace {
        Namespace::create(self, prefix)
    }

    /// Applies documents (YAML, one or many) of objects that say where they belong.
    ///
    /// # Panics
    /// When the API server refuses one.
    pub fn apply(&self, documents: &str) -> Vec<Value> {
        self.apply_in(None, documents)
    }

    /// Applies the definitions of our kinds (`zeron crds`), once, and waits until they are served.
    ///
    /// # Panics
    /// When the API server refuses one.
    pub fn install_crds(&self) {
        static INSTALLED: OnceLock<()> = OnceLock::new();
        INSTALLED.get_or_init(|| {
            let output = crate::command(&["crds"], |_| ());
            assert_eq!(output.code, Some(0), "zeron crds: {}", output.stderr);
            self.define(&output.stdout);
        });
    }

    /// Applies definitions of kinds and waits until they are served.
    ///
    /// # Panics
    /// When the API server refuses one.
    pub fn define(&self, documents: &str) {
        for crd in self.apply(documents) {
            let name = crd["metadata"]["name"].as_str().unwrap_or_default();
            self.wait_in(None, objects::CRD, name, "to be served", objects::is_served);
        }
    }

    /// The folder of a cluster that `cargo xtask cluster up` started on this machine; `None` for any other.
    pub(crate) fn state(&self) -> Option<&Path> {
        let folder = self.kubeconfig.parent()?;
        folder.join("pids").is_dir().then_some(folder)
    }
}
