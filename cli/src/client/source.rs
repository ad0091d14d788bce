//! Whoever is asked about functions: one zeron, or the autoscalers of a cluster.

use std::collections::BTreeMap;

use zeron_core::FunctionId;

use super::cluster::{Cluster, ClusterError, ClusterOptions, Gap};
use super::place::is_taken;
use super::{BothNamed, Choice, Client, ClientError, Wishes};
use crate::address::AdminAddress;
use crate::control::{FunctionView, Problem};

/// Whoever is asked.
pub(crate) enum Source {
    /// One zeron, at an admin address.
    Machine(Client),
    /// All autoscalers.
    Cluster(Box<Cluster>),
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Listing {
    /// Each function once.
    pub(crate) functions: Vec<FunctionView>,
    /// Where they were asked for: what is wrong with the declared objects.
    pub(crate) problems: Vec<Problem>,
    /// Who did not answer, and the like, each a line.
    pub(crate) warnings: Vec<String>,
    /// What is missing.
    pub(crate) gap: Option<Gap>,
    /// Who answered.
    pub(super) clients: Vec<Client>,
    /// Whose answer a function is; of one zeron it is always the same.
    pub(super) owners: BTreeMap<FunctionId, usize>,
}

impl Source {
    /// Decides whom to ask. `tell` hears of a choice that nobody made.
    ///
    /// # Errors
    /// When options contradict each other, or the kubeconfig cannot be used.
    pub(crate) async fn open(
        wishes: Wishes,
        client: Client,
        address: &AdminAddress,
        cluster: ClusterOptions,
        tell: impl FnOnce(&str),
    ) -> Result<Self, SourceError> {
        let is_cluster = match wishes.choose()? {
            Choice::Machine => false,
            Choice::Cluster => true,
            Choice::MachineElseCluster => !is_taken(address).await,
        };
        if !is_cluster {
            return Ok(Self::Machine(client));
        }
        if !wishes.is_cluster_given {
            tell("no zeron runs on this machine: asking the cluster of your kubeconfig");
        }
        Ok(Self::Cluster(Box::new(Cluster::open(cluster).await?)))
    }

    /// All functions, or those of `namespace` where one zeron is asked: a cluster knows its own.
    pub(crate) async fn list(
        &self,
        namespace: Option<&str>,
        wants_problems: bool,
    ) -> Result<Listing, SourceError> {
        let client = match self {
            Self::Machine(client) => client,
            Self::Cluster(cluster) => return Ok(cluster.list(wants_problems).await?),
        };
        let functions = client.list(namespace).await?.functions;
        let problems = match wants_problems {
            true => client.problems().await?,
            false => Vec::new(),
        };
        Ok(Listing {
            functions,
            problems,
            warnings: Vec::new(),
            gap: None,
            clients: vec![client.clone()],
            owners: BTreeMap::new(),
        })
    }
}

impl Listing {
    /// Whom to ask more about a function that is listed.
    pub(crate) fn client(&self, id: &FunctionId) -> &Client {
        let index = self.owners.get(id).copied().unwrap_or_default();
        &self.clients[index]
    }

    /// A function that is listed.
    pub(super) fn get(&self, id: &FunctionId) -> Option<&FunctionView> {
        self.functions.iter().find(|view| view.status.id == *id)
    }
}

/// Why nobody could be asked, or nobody answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// Two were named.
    #[error(transparent)]
    Both(#[from] BothNamed),
    /// One zeron.
    #[error(transparent)]
    Machine(#[from] ClientError),
    /// A cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::PathBuf;

    use super::*;
    use crate::client::Scope;

    const FOUND: Wishes = Wishes {
        is_admin_given: false,
        is_admin_set: false,
        is_cluster_given: false,
        has_kubeconfig: true,
    };

    const KUBECONFIG: &str = "
apiVersion: v1
kind: Config
current-context: test
clusters: [{ name: test, cluster: { server: 'http://127.0.0.1:1' } }]
users: [{ name: test, user: {} }]
contexts: [{ name: test, context: { cluster: test, user: test, namespace: shop } }]
";

    fn options(kubeconfig: PathBuf, scope: Scope) -> ClusterOptions {
        ClusterOptions {
            kubeconfig: Some(kubeconfig),
            context: None,
            zeron: "zeron-system".to_owned(),
            scope,
        }
    }

    /// Whom it opens with this kubeconfig, and what it tells.
    async fn open(address: &AdminAddress, scope: Scope) -> (Source, String) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        std::fs::write(&file, KUBECONFIG).unwrap();
        let client = Client::new(address.clone(), None).unwrap();
        let mut told = String::new();
        let tell = |text: &str| told.push_str(text);
        let opened = Source::open(FOUND, client, address, options(file, scope), tell).await;
        (opened.unwrap(), told)
    }

    #[tokio::test]
    async fn a_zeron_of_this_machine_is_asked_before_a_cluster_that_nobody_named() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = AdminAddress::from(listener.local_addr().unwrap());
        let (source, told) = open(&address, Scope::Context).await;
        assert!(matches!(source, Source::Machine(_)));
        assert_eq!(told, "");
        drop(listener);
        let (source, told) = open(&address, Scope::Context).await;
        assert!(matches!(source, Source::Cluster(_)));
        assert!(told.starts_with("no zeron runs on this machine"), "{told}");
    }

    #[tokio::test]
    async fn the_namespace_is_that_of_the_context_unless_one_is_named() {
        let nobody = AdminAddress::Unix(PathBuf::from("/no/such/socket"));
        for (scope, asked, implied) in [
            (Scope::Context, Some("shop"), Some("shop")),
            (Scope::Namespace("else".to_owned()), Some("else"), None),
            (Scope::All, None, None),
        ] {
            let (Source::Cluster(cluster), _) = open(&nobody, scope).await else {
                panic!("nobody listens there");
            };
            assert_eq!(cluster.namespace(), asked);
            assert_eq!(cluster.implied_namespace(), implied);
        }
    }
}
