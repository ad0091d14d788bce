//! `deploy/` installed as people install it, but under names of its own, so that several tests can at once.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use super::{Cluster, Namespace, Program, objects};

const DEPLOYMENT: &str = "apps/v1/Deployment";

/// The namespace that the manifests name.
const OWN: &str = "zeron-system";

/// What to install: by default one pod of each role, of this build's image, which act on this namespace alone.
#[derive(Debug)]
pub struct Pods<'n> {
    namespace: &'n Namespace,
    watched: Vec<String>,
    image: String,
    replicas: [(&'static str, u32); 3],
    activator_args: Vec<String>,
}

impl<'n> Pods<'n> {
    /// Pods in `namespace`.
    pub fn of(namespace: &'n Namespace) -> Self {
        Self {
            namespace,
            watched: vec![namespace.name().to_owned()],
            image: namespace.cluster().image(Program::Zeron).to_owned(),
            replicas: [("activator", 1), ("autoscaler", 1), ("controller", 1)],
            activator_args: Vec::new(),
        }
    }

    /// They act on the objects of this namespace too.
    #[must_use]
    pub fn watch(mut self, other: &Namespace) -> Self {
        self.watched.push(other.name().to_owned());
        self
    }

    /// Another image than this build's.
    #[must_use]
    pub fn image(mut self, image: &str) -> Self {
        image.clone_into(&mut self.image);
        self
    }

    /// One more argument of activators.
    #[must_use]
    pub fn activator_arg(mut self, argument: &str) -> Self {
        self.activator_args.push(argument.to_owned());
        self
    }

    /// How many pods of `activator`, `autoscaler` or `controller`.
    #[must_use]
    pub fn replicas(mut self, role: &str, count: u32) -> Self {
        for (name, replicas) in &mut self.replicas {
            if *name == role {
                *replicas = count;
            }
        }
        self
    }

    /// Applies `deploy/kustomize/base` and waits until every pod is ready. Once more, with another image, it is an upgrade.
    ///
    /// Definitions of kinds are those of [`Cluster::install_crds`]. The webhooks are asked about the watched namespaces alone.
    ///
    /// # Panics
    /// When the API server refuses something, or a pod does not get ready.
    pub fn deploy(&self) -> Deployed {
        let cluster = self.namespace.cluster();
        cluster.install_crds();
        let mut deployed = Deployed {
            cluster,
            namespace: self.namespace.name().to_owned(),
            made: Vec::new(),
        };
        for document in self.manifests() {
            let kind = kind(&document);
            cluster.apply_one(Some(self.namespace.name()), &document);
            if document["metadata"]["namespace"].is_null() {
                let name = document["metadata"]["name"].as_str().unwrap_or_default();
                deployed.made.push((kind, name.to_owned()));
            }
        }
        for (role, count) in self.replicas {
            let name = format!("zeron-{role}");
            self.namespace
                .wait(DEPLOYMENT, &name, "to be rolled out", |object| {
                    is_rolled_out(object, count).then_some(())
                });
        }
        deployed
    }

    /// Everything but what is the whole cluster's.
    fn manifests(&self) -> Vec<Value> {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
        let base = tests.join("../deploy/kustomize/base");
        let base = base.to_str().expect("a plain name");
        let cluster = self.namespace.cluster();
        let text = cluster.kubectl(&["kustomize", base]);
        let text = text.replace(OWN, self.namespace.name());
        let mut documents = objects::documents(&text);
        documents.retain(|document| document["kind"] != "Namespace");
        documents
            .iter_mut()
            .for_each(|document| self.adapt(document));
        documents
    }

    fn adapt(&self, document: &mut Value) {
        let suffix = self.namespace.name();
        if document["metadata"]["namespace"].is_null() {
            extend(&mut document["metadata"]["name"], suffix);
        }
        if document["roleRef"]["kind"] == "ClusterRole" {
            extend(&mut document["roleRef"]["name"], suffix);
        }
        if document["spec"]["policyName"].is_string() {
            extend(&mut document["spec"]["policyName"], suffix);
        }
        match document["kind"].as_str() {
            Some("Deployment") => self.adapt_pods(document),
            Some("ValidatingWebhookConfiguration") => {
                let own = json!({ "key": "kubernetes.io/metadata.name", "operator": "In", "values": self.watched });
                let selector = json!({ "matchExpressions": [own] });
                for webhook in document["webhooks"].as_array_mut().into_iter().flatten() {
                    webhook["namespaceSelector"] = selector.clone();
                }
            }
            Some("ClusterRole") => {
                for rule in document["rules"].as_array_mut().into_iter().flatten() {
                    if rule["resources"] == json!(["validatingwebhookconfigurations"]) {
                        rule["resourceNames"] = json!([self.webhooks()]);
                    }
                }
            }
            _ => {}
        }
    }

    /// The name of the configuration of their webhooks.
    fn webhooks(&self) -> String {
        format!("zeron-{}", self.namespace.name())
    }

    /// This build's image; no requests, so that many fit on a small machine; only the watched namespaces.
    fn adapt_pods(&self, deployment: &mut Value) {
        let name = deployment["metadata"]["name"].as_str().unwrap_or_default();
        let is_controller = name.ends_with("controller");
        let is_activator = name.ends_with("activator");
        let count = self.replicas.iter().find(|(role, _)| name.ends_with(role));
        if let Some((_, count)) = count {
            deployment["spec"]["replicas"] = json!(count);
        }
        let container = &mut deployment["spec"]["template"]["spec"]["containers"][0];
        container["image"] = json!(self.image);
        container["imagePullPolicy"] = json!("Never");
        if let Some(resources) = container["resources"].as_object_mut() {
            resources.remove("requests");
        }
        // A KEDA of another test is none of theirs.
        if let Some(variables) = container["env"].as_array_mut() {
            let own = self.namespace.name();
            variables.push(json!({ "name": "ZERON_KEDA_NAMESPACE", "value": own }));
        }
        if let Some(arguments) = container["args"].as_array_mut() {
            arguments.push(json!(format!(
                "--watch-namespace={}",
                self.watched.join(",")
            )));
            if is_activator {
                arguments.extend(self.activator_args.iter().map(|argument| json!(argument)));
            }
            if is_controller {
                let argument = format!("--webhook-configuration={}", self.webhooks());
                arguments.push(json!(argument));
            }
        }
    }
}

/// What was installed. What of it belongs to no namespace is deleted when this is dropped; the rest goes with the namespace.
#[derive(Debug)]
pub struct Deployed {
    cluster: &'static Cluster,
    namespace: String,
    made: Vec<(String, String)>,
}

impl Deployed {
    /// Where this machine and pods reach the activators: their Service.
    ///
    /// # Panics
    /// When the Service is gone.
    pub fn address(&self) -> SocketAddr {
        let found = self
            .cluster
            .get_in(Some(&self.namespace), "v1/Service", "zeron-activator");
        let service = found.expect("the manifests have it");
        let ip = service["spec"]["clusterIP"].as_str().unwrap_or_default();
        let port = &service["spec"]["ports"][0]["port"];
        format!("{ip}:{port}")
            .parse()
            .expect("an address and a port")
    }
}

impl Drop for Deployed {
    fn drop(&mut self) {
        for (kind, name) in self.made.iter().rev() {
            self.cluster.delete_in(None, kind, name);
        }
    }
}

/// Whether the newest version of it has so many pods that are ready, and no others are left.
fn is_rolled_out(deployment: &Value, count: u32) -> bool {
    let status = &deployment["status"];
    let number = |field: &str| status[field].as_u64().unwrap_or(0);
    let count = u64::from(count);
    status["observedGeneration"] == deployment["metadata"]["generation"]
        && ["replicas", "updatedReplicas", "availableReplicas"]
            .iter()
            .all(|field| number(field) == count)
}

fn kind(document: &Value) -> String {
    let text = |field: &str| document[field].as_str().unwrap_or_default();
    format!("{}/{}", text("apiVersion"), text("kind"))
}

fn extend(name: &mut Value, suffix: &str) {
    *name = json!(format!("{}-{suffix}", name.as_str().unwrap_or_default()));
}
