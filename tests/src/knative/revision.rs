//! One revision: what Knative makes of it, and requests to it.

use std::io;
use std::iter::repeat_n;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use super::Knative;
use super::template::Template;
use crate::cluster::Namespace;
use crate::load::{Load, Sender};
use crate::wait::COLD;
use crate::{Raw, Response, until};

const CONFIGURATION: &str = "serving.knative.dev/v1/Configuration";
const REVISION: &str = "serving.knative.dev/v1/Revision";
const AUTOSCALER: &str = "autoscaling.internal.knative.dev/v1alpha1/PodAutoscaler";
const PUBLIC: &str = "networking.internal.knative.dev/v1alpha1/ServerlessService";
const DEPLOYMENT: &str = "apps/v1/Deployment";

/// Longest try to connect to a Service that the node may not know yet: it forwards by its new rules within a second.
const KNOWN_WITHIN: Duration = Duration::from_millis(250);

/// Who send a load: as many requests can be under way, of which each may wait for a cold start.
const SENDERS: usize = 64;

/// A revision of a Configuration, which no Route leads to.
#[derive(Debug)]
pub struct Revision<'n> {
    namespace: &'n Namespace,
    name: String,
}

/// What is sent to a revision: where to, and by which headers it is known.
#[derive(Clone, Debug)]
pub struct Request {
    /// The public Service's address.
    pub address: SocketAddr,
    head: String,
}

impl Knative {
    /// Applies a Service of this name; see [`super::Ingresses`] for what makes it ready.
    ///
    /// # Panics
    /// When Knative's webhook refuses it.
    pub fn service(&self, namespace: &Namespace, name: &str, template: &Template) {
        self.declare("Service", namespace, name, template);
    }

    /// Applies a Configuration of this name and returns the revision that came of it, ready or not.
    ///
    /// # Panics
    /// When Knative's webhook refuses it, or no revision comes.
    pub fn revision<'n>(
        &self,
        namespace: &'n Namespace,
        name: &str,
        template: &Template,
    ) -> Revision<'n> {
        let applied = self.declare("Configuration", namespace, name, template);
        let generation = &applied["metadata"]["generation"];
        let what = "to have made its revision";
        let name = namespace.wait(CONFIGURATION, name, what, |object| {
            let status = &object["status"];
            let is_seen = status["observedGeneration"] == *generation;
            let name = status["latestCreatedRevisionName"].as_str()?;
            is_seen.then(|| name.to_owned())
        });
        Revision { namespace, name }
    }

    fn declare(&self, kind: &str, namespace: &Namespace, name: &str, template: &Template) -> Value {
        self.cluster().apply_one(
            Some(namespace.name()),
            &json!({
                "apiVersion": "serving.knative.dev/v1",
                "kind": kind,
                "metadata": { "name": name },
                "spec": { "template": template.document(self.cluster()) },
            }),
        )
    }
}

impl Request {
    /// Its bytes, with this target; it is the last on its connection.
    pub fn head(&self, target: &str) -> String {
        format!("GET {target} HTTP/1.1\r\n{}", self.head)
    }

    /// Begins to send it, with this target, at a steady rate.
    fn load(&self, target: &str, per_second: u32) -> Load {
        Load::start(repeat_n(self.sender(target), SENDERS), per_second)
    }

    fn sender(&self, target: &str) -> Sender {
        Sender {
            address: self.address,
            head: self.head(target),
            is_kept: false,
        }
    }

    /// Sends it, with this target, on a connection of its own.
    ///
    /// # Errors
    /// When no whole head comes.
    pub fn send(&self, target: &str) -> io::Result<Response> {
        self.send_within(target, COLD)
    }

    /// The same for an answer that may take this long.
    ///
    /// # Errors
    /// When no whole head comes.
    pub fn send_within(&self, target: &str, limit: Duration) -> io::Result<Response> {
        let mut connection = Raw::try_connect(self.address)?.patient(limit)?;
        connection.try_send(self.head(target))?;
        connection.try_response()
    }
}

impl Revision<'_> {
    /// Its name, which is also that of its PodAutoscaler, its ServerlessService and its public Service.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn namespace(&self) -> &Namespace {
        self.namespace
    }

    /// Its Deployment's name.
    pub fn deployment(&self) -> String {
        format!("{}-deployment", self.name)
    }

    /// Waits until it is ready, and returns it.
    ///
    /// # Panics
    /// After a minute.
    #[must_use]
    pub fn ready(self) -> Self {
        self.namespace
            .wait_condition(REVISION, &self.name, "Ready", "True");
        self
    }

    /// Its requests, as an ingress would send them: to the public Service, with the headers that name the revision.
    ///
    /// # Panics
    /// When it has no public Service within a minute, or that leads nowhere for half of one.
    pub fn request(&self) -> Request {
        let (name, namespace) = (&self.name, self.namespace.name());
        let ip = self
            .namespace
            .wait("v1/Service", name, "to have an address", |service| {
                service["spec"]["clusterIP"].as_str()?.parse().ok()
            });
        let address = SocketAddr::new(ip, 80);
        until("the node to know the Service", || {
            TcpStream::connect_timeout(&address, KNOWN_WITHIN).ok()
        });
        Request {
            address,
            head: format!(
                "Host: {name}.{namespace}.example\r\nKnative-Serving-Namespace: {namespace}\r\nKnative-Serving-Revision: {name}\r\nConnection: close\r\n\r\n"
            ),
        }
    }

    /// Begins to send requests at a steady rate.
    pub fn load(&self, per_second: u32) -> Load {
        self.request().load("/", per_second)
    }

    /// Keeps so many requests under way, each of which takes the function this long.
    pub fn held(&self, count: usize, duration: Duration) -> Load {
        let target = format!("/work?ms={}", duration.as_millis());
        Load::held(&self.request().sender(&target), count, duration)
    }

    /// Begins to send requests at a steady rate, each of which takes the function this long.
    pub fn work(&self, per_second: u32, duration: Duration) -> Load {
        let target = format!("/work?ms={}", duration.as_millis());
        self.request().load(&target, per_second)
    }

    /// Its PodAutoscaler.
    ///
    /// # Panics
    /// When there is none.
    pub fn autoscaler(&self) -> Value {
        let found = self.namespace.get(AUTOSCALER, &self.name);
        found.expect("Knative made it with the revision")
    }

    /// Waits until its PodAutoscaler's condition Active has this status, and returns the condition's reason.
    ///
    /// # Panics
    /// After a minute.
    pub fn wait_active(&self, status: &str) -> String {
        let condition = self
            .namespace
            .wait_condition(AUTOSCALER, &self.name, "Active", status);
        condition["reason"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until `look` finds something in its PodAutoscaler.
    ///
    /// # Panics
    /// After a minute.
    pub fn wait_autoscaler<T>(&self, what: &str, look: impl FnMut(&Value) -> Option<T>) -> T {
        self.namespace.wait(AUTOSCALER, &self.name, what, look)
    }

    /// Waits until its public Service leads to `Serve` (pods) or `Proxy` (activators), by what its autoscaler asks for.
    ///
    /// # Panics
    /// After a minute.
    pub fn wait_mode(&self, mode: &str) {
        let what = format!("to be in mode {mode}");
        self.namespace.wait(PUBLIC, &self.name, &what, |object| {
            (object["spec"]["mode"] == mode).then_some(())
        });
    }

    /// Waits until so many replicas are asked for.
    ///
    /// # Panics
    /// After a minute.
    pub fn wait_replicas(&self, count: u64) {
        self.namespace
            .wait_replicas(DEPLOYMENT, &self.deployment(), count);
    }

    /// How many replicas are asked for.
    pub fn replicas(&self) -> u64 {
        self.namespace.replicas(DEPLOYMENT, &self.deployment())
    }

    /// Waits until so many of its pods are ready, and no others are left but those on their way out: a queue-proxy ends half a
    /// minute after its last request.
    ///
    /// # Panics
    /// After a minute.
    pub fn wait_pods(&self, count: usize) -> Vec<Value> {
        let what = format!("to be {count} ready pods");
        let labels = self.labels();
        self.namespace.wait_list("v1/Pod", &labels, &what, |pods| {
            let staying: Vec<_> = pods.iter().filter(|pod| !is_ending(pod)).collect();
            let are_ready = staying.iter().all(|pod| is_ready(pod));
            let found = || staying.iter().map(|pod| (*pod).clone()).collect();
            (staying.len() == count && are_ready).then(found)
        })
    }

    /// Waits until none of its pods is on its way out.
    ///
    /// # Panics
    /// After a minute.
    pub fn wait_pods_ended(&self) {
        let labels = self.labels();
        let what = "to have ended as they were told";
        self.namespace.wait_list("v1/Pod", &labels, what, |pods| {
            (!pods.iter().any(is_ending)).then_some(())
        });
    }

    fn labels(&self) -> String {
        format!("serving.knative.dev/revision={}", self.name)
    }

    /// Says to Knative that no Route leads here any more (`reserve`), or that one does (`active`).
    pub fn route(&self, state: &str) {
        let labels = json!({ "serving.knative.dev/routingState": state });
        self.namespace.patch(
            REVISION,
            &self.name,
            json!({ "metadata": { "labels": labels } }),
        );
    }
}

fn is_ending(pod: &Value) -> bool {
    !pod["metadata"]["deletionTimestamp"].is_null()
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let is_it = |it: &Value| it["type"] == "Ready" && it["status"] == "True";
    conditions.is_some_and(|all| all.iter().any(is_it))
}
