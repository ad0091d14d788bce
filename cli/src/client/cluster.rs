//! The autoscalers of a cluster as one zeron: each is asked, and what they answer is joined.
//!
//! They are reached as people reach them, with a kubeconfig: pods are found by the labels of our
//! manifests, and their admin API by the API server's port-forward.

mod forward;
mod join;
mod lines;
mod logs;

use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt;
use hyper::StatusCode;
use serde_json::Value;
use zeron_backend_kubernetes::ClientOptions;
use zeron_core::{Chain, FunctionId};

use super::choice::home_kubeconfig;
use super::source::Listing;
use super::{Client, ClientError, Place, escape};
use crate::admin::ApiProblem;
use crate::check::{ReadError, Reader, items, text};
use crate::control::{FunctionView, Problem};
pub(crate) use forward::{ForwardError, PodPort};
pub(crate) use join::Gap;
use join::{Answer, Joined, join};
pub(crate) use logs::{LogWish, Said};

/// Labels that our manifests give the pods of autoscalers.
const AUTOSCALERS: &str = "app.kubernetes.io/name=zeron,app.kubernetes.io/component=autoscaler";
/// The port of `--api-listen`.
const API_PORT: u16 = 8082;
/// Autoscalers that are asked at the same time.
const AT_ONCE: usize = 8;
/// How long an autoscaler may take for one answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// What gives the rights, as our manifests have it.
const ROLE: &str = "zeron-inspect";

/// Where the cluster is, and which part of it is asked about.
#[derive(Clone, Debug)]
pub(crate) struct ClusterOptions {
    pub(crate) kubeconfig: Option<PathBuf>,
    pub(crate) context: Option<String>,
    /// Namespace of zeron itself.
    pub(crate) zeron: String,
    pub(crate) scope: Scope,
}

/// Functions of which namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// That of the kubeconfig's context.
    Context,
    /// This one.
    Namespace(String),
    /// All of them.
    All,
}

/// Why a cluster gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    /// There is no way to it.
    #[error(transparent)]
    Config(#[from] zeron_backend_kubernetes::ClientError),
    /// Rights are missing.
    #[error("you may not {what} in namespace {namespace}: {hint}")]
    Forbidden {
        what: &'static str,
        namespace: String,
        hint: String,
    },
    /// Something could not be read.
    #[error("cannot {0}")]
    Read(&'static str, #[source] ReadError),
    /// Nobody decides there.
    #[error("no autoscaler runs in namespace {namespace}: {hint}")]
    NoAutoscaler { namespace: String, hint: String },
    /// There are some, and none answered.
    #[error("no autoscaler in namespace {0} answered{1}")]
    Silent(String, String),
    /// A replica that does not exist.
    #[error("no replica is called {name:?}; there are: {known}")]
    NoReplica { name: String, known: String },
    /// Some lines could not be had.
    #[error("the log of {pod} cannot be read: {message}")]
    Log { pod: String, message: String },
    /// Lines could not be written.
    #[error("lines cannot be written")]
    Write(#[source] std::io::Error),
}

/// A cluster that can be asked.
#[derive(Clone)]
pub(crate) struct Cluster {
    client: kube::Client,
    reader: Reader,
    zeron: String,
    namespace: Option<String>,
    is_implied: bool,
}

/// What an autoscaler's pod is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    /// It is asked.
    Running(String),
    /// It cannot answer yet, or any more.
    Other { name: String, phase: String },
}

impl Cluster {
    /// Reads the kubeconfig. Nothing is asked yet.
    pub(crate) async fn open(options: ClusterOptions) -> Result<Self, ClusterError> {
        let connection = ClientOptions {
            // Also in a pod: people mean their cluster and their rights, not the pod's.
            kubeconfig: options.kubeconfig.or_else(home_kubeconfig),
            context: options.context,
            is_upgradable: true,
            ..ClientOptions::default()
        };
        let client = connection.connect().await?;
        let is_implied = options.scope == Scope::Context;
        let namespace = match options.scope {
            Scope::Context => Some(client.default_namespace().to_owned()),
            Scope::Namespace(namespace) => Some(namespace),
            Scope::All => None,
        };
        Ok(Self {
            reader: Reader::new(client.clone()),
            client,
            zeron: options.zeron,
            namespace,
            is_implied,
        })
    }

    /// The namespace that is asked about; `None`: all.
    pub(crate) fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The same, where nobody named it.
    pub(crate) fn implied_namespace(&self) -> Option<&str> {
        self.namespace().filter(|_| self.is_implied)
    }

    /// Asks every autoscaler for its functions and, when they are wanted, for problems.
    pub(crate) async fn list(&self, wants_problems: bool) -> Result<Listing, ClusterError> {
        let mut warnings = Vec::new();
        let mut names = Vec::new();
        for pod in self.autoscalers().await? {
            match pod {
                Found::Running(name) => names.push(name),
                Found::Other { name, phase } => {
                    warnings.push(format!("autoscaler {name} was not asked: it is {phase}"));
                }
            }
        }
        let asked = futures_util::stream::iter(names.into_iter().map(|name| async move {
            let client = self.autoscaler(&name);
            let answer = self.ask(&client, wants_problems).await;
            (name, client, answer)
        }));
        let asked: Vec<_> = asked.buffered(AT_ONCE).collect().await;
        let (mut clients, mut answers, mut is_forbidden) = (Vec::new(), Vec::new(), false);
        for (name, client, answer) in asked {
            match answer {
                Ok(answer) => {
                    clients.push(client);
                    answers.push(answer);
                }
                Err(error) => {
                    is_forbidden |= error.is_forbidden();
                    warnings.push(format!(
                        "autoscaler {name} did not answer: {}",
                        Chain(&error)
                    ));
                }
            }
        }
        if is_forbidden {
            warnings.push(grant(&self.zeron));
        }
        if answers.is_empty() {
            let said = warnings.iter().map(|warning| format!("\n  {warning}"));
            return Err(ClusterError::Silent(self.zeron.clone(), said.collect()));
        }
        Ok(self.listing(join(answers), clients, warnings))
    }

    fn listing(&self, joined: Joined, clients: Vec<Client>, mut warnings: Vec<String>) -> Listing {
        if joined.counts.len() > 1 {
            let counts: Vec<String> = joined.counts.iter().map(u32::to_string).collect();
            warnings.push(format!(
                "autoscalers disagree about the number of shards ({}): `--shards` has to be the same for all",
                counts.join(", ")
            ));
        }
        let mut problems = joined.problems;
        problems.retain(|problem| self.concerns(problem));
        Listing {
            functions: joined.functions,
            problems,
            warnings,
            gap: joined.gap,
            clients,
            owners: joined.owners,
        }
    }

    /// Whether a problem is one of the namespace that is asked about, or of none.
    fn concerns(&self, problem: &Problem) -> bool {
        let object = problem.object.as_deref().unwrap_or_default();
        let name = object.split_once(' ').map_or("", |(_, name)| name);
        match (name.split_once('/'), self.namespace()) {
            (Some((namespace, _)), Some(wanted)) => namespace == wanted,
            _ => true,
        }
    }

    fn autoscaler(&self, name: &str) -> Client {
        Client {
            place: Place::Pod(PodPort {
                client: self.client.clone(),
                namespace: self.zeron.clone(),
                pod: name.to_owned(),
                port: API_PORT,
            }),
            token: None,
            patience: PATIENCE,
        }
    }

    async fn ask(&self, client: &Client, wants_problems: bool) -> Result<Answer, ClientError> {
        let list = client.list(self.namespace()).await?;
        let problems = match wants_problems {
            true => client.problems().await?,
            false => Vec::new(),
        };
        let unsaid = || {
            let message = "it does not say which shards it holds: is it of this version?";
            ClientError::Refused(Box::new(ApiProblem::new(StatusCode::NOT_FOUND, message)))
        };
        Ok(Answer {
            functions: list.functions,
            shards: list.shards.ok_or_else(unsaid)?,
            problems,
        })
    }

    /// The pods of all autoscalers that are not on their way out.
    async fn autoscalers(&self) -> Result<Vec<Found>, ClusterError> {
        let path = format!(
            "/api/v1/namespaces/{}/pods?labelSelector={}",
            escape(&self.zeron),
            escape(AUTOSCALERS)
        );
        let listed = self.reader.list(&path).await;
        let pods = listed.map_err(|error| match error.is_forbidden() {
            true => ClusterError::Forbidden {
                what: "list pods",
                namespace: self.zeron.clone(),
                hint: grant(&self.zeron),
            },
            false => ClusterError::Read("list the autoscalers' pods", error),
        })?;
        let found: Vec<Found> = pods.iter().filter_map(found).collect();
        if found.is_empty() {
            return Err(ClusterError::NoAutoscaler {
                namespace: self.zeron.clone(),
                hint: self.elsewhere().await,
            });
        }
        Ok(found)
    }

    /// Where there are autoscalers, when there are none where they were looked for.
    async fn elsewhere(&self) -> String {
        let path = format!("/api/v1/pods?labelSelector={}", escape(AUTOSCALERS));
        // Whoever may not look everywhere gets the general hint.
        let pods = self.reader.list(&path).await.unwrap_or_default();
        match pods.first().map(|pod| text(pod, "/metadata/namespace")) {
            Some(namespace) => {
                format!("there is one in {namespace}: --zeron-namespace {namespace}")
            }
            None => {
                "--zeron-namespace names another one; `zeron check` says what is missing".into()
            }
        }
    }

    /// The function as it is now, asked of its owner, or of all when that one does not know it any more.
    /// `None`: it is gone.
    async fn refresh(
        &self,
        listing: &mut Listing,
        id: &FunctionId,
    ) -> Result<Option<FunctionView>, ClusterError> {
        if let Some(view) = listing.get(id)
            && let Ok(view) = listing.client(&view.status.id).function(view).await
        {
            return Ok(Some(view));
        }
        *listing = self.list(false).await?;
        match (listing.get(id), &listing.gap) {
            (Some(view), _) => Ok(Some(view.clone())),
            (None, None) => Ok(None),
            (None, Some(gap)) => Err(ClusterError::Silent(
                self.zeron.clone(),
                format!(" for {id}: {gap}"),
            )),
        }
    }
}

impl ClientError {
    /// Whether rights are missing.
    fn is_forbidden(&self) -> bool {
        matches!(self, Self::Forward(_, error) if error.is_forbidden())
    }
}

/// What to do about missing rights.
fn grant(zeron: &str) -> String {
    format!(
        "an administrator gives the rights with `kubectl -n {zeron} create rolebinding {ROLE} --clusterrole={ROLE} --user=YOU`"
    )
}

/// `None`: it is on its way out and holds nothing.
fn found(pod: &Value) -> Option<Found> {
    if pod["metadata"]["deletionTimestamp"].is_string() {
        return None;
    }
    let name = text(pod, "/metadata/name").to_owned();
    match text(pod, "/status/phase") {
        "Running" => Some(Found::Running(name)),
        "Succeeded" | "Failed" => None,
        phase => Some(Found::Other {
            name,
            phase: phase.to_owned(),
        }),
    }
}

/// The container whose lines are shown: the one that the pod names for it, else its first.
fn container(pod: &Value) -> Option<&str> {
    let named = &pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"];
    let first = || items(pod, "/spec/containers").first()?["name"].as_str();
    named.as_str().or_else(first)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(phase: &str) -> Value {
        json!({ "metadata": { "name": "a" }, "status": { "phase": phase } })
    }

    #[test]
    fn autoscalers_that_run_are_asked_and_those_that_end_are_not_expected_to_answer() {
        assert_eq!(found(&pod("Running")), Some(Found::Running("a".to_owned())));
        let pending = Found::Other {
            name: "a".to_owned(),
            phase: "Pending".to_owned(),
        };
        assert_eq!(found(&pod("Pending")), Some(pending));
        assert_eq!(found(&pod("Failed")), None);
        let mut ending = pod("Running");
        ending["metadata"]["deletionTimestamp"] = json!("2026-01-02T03:04:05Z");
        assert_eq!(found(&ending), None);
    }

    #[test]
    fn a_pod_may_name_the_container_whose_lines_people_want() {
        let mut pod = json!({ "metadata": {}, "spec": { "containers": [
            { "name": "proxy" }, { "name": "web" },
        ] } });
        assert_eq!(container(&pod), Some("proxy"));
        pod["metadata"]["annotations"] =
            json!({ "kubectl.kubernetes.io/default-container": "web" });
        assert_eq!(container(&pod), Some("web"));
        assert_eq!(container(&json!({})), None);
    }
}
