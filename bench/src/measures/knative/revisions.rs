//! Functions as revisions of Configurations, to which no Route leads.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use http::{HeaderMap, HeaderName};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::loadgen::Target;
use crate::measures::cluster::Cluster;
use crate::measures::cluster::namespace::{Kind, Namespace, is_ready};
use crate::measures::cluster::request::{Answered, ask_with};
use crate::measures::rest;

/// Where a queue-proxy takes requests.
pub(super) const QUEUE_PORT: u16 = 8012;

/// Until all that was made is gone: some thousands of objects of 600 functions are collected one by one.
const GONE_WITHIN: Duration = Duration::from_secs(900);
/// Functions that are declared at once.
const CHUNK: usize = 50;
/// Longer than a block of cold starts: nothing goes to zero meanwhile.
pub(super) const WINDOW: &str = "45s";
/// Until nodes know new Services, and controllers are done.
pub(super) const SETTLE: Duration = Duration::from_secs(3);

/// What a function is declared by.
#[derive(Clone, Debug)]
pub(super) struct Template<'a> {
    pub(super) image: &'a str,
    /// `autoscaling.knative.dev/KEY` and value.
    pub(super) scaling: &'a [(&'a str, &'a str)],
    /// `containerConcurrency`; 0: no limit.
    pub(super) concurrency: u32,
}

impl Template<'_> {
    fn configuration(&self, name: &str) -> Value {
        let annotation = |(key, value): &(&str, &str)| {
            let key = format!("autoscaling.knative.dev/{key}");
            (key, json!(value))
        };
        let annotations: serde_json::Map<_, _> = self.scaling.iter().map(annotation).collect();
        let container = json!({"image": self.image, "imagePullPolicy": "Never"});
        json!({
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Configuration",
            "metadata": {"name": name},
            "spec": {"template": {
                "metadata": {"annotations": annotations},
                "spec": {
                    "containerConcurrency": self.concurrency,
                    "containers": [container],
                },
            }},
        })
    }
}

impl Namespace {
    /// Declares a function for each name, and waits until Knative says that they are ready.
    pub(super) fn declare_revisions(
        &self,
        names: &[String],
        template: &Template<'_>,
    ) -> Result<()> {
        let each = names.iter().map(|name| (name.clone(), template.clone()));
        self.declare_each(&each.collect::<Vec<_>>())
    }

    /// The same with a template each; there are no others in the namespace.
    pub(super) fn declare_each(&self, functions: &[(String, Template<'_>)]) -> Result<()> {
        let mut made = 0;
        for chunk in functions.chunks(CHUNK) {
            let all = chunk
                .iter()
                .map(|(name, template)| (Kind::Configuration, template.configuration(name)));
            self.create_all(all.collect())?;
            made += chunk.len();
            self.wait_for_all(Kind::Configuration, "functions are ready", made, is_ready)?;
        }
        Ok(())
    }

    /// Deletes all functions, and waits until no pod is left.
    pub(super) fn clear_revisions(&self, cluster: &Cluster) -> Result<()> {
        let api = &cluster.api;
        api.block_on(api.delete(&self.path(Kind::Configuration)))?;
        api.block_on(self.none_left(Kind::Revision, GONE_WITHIN))?;
        self.end_pods(cluster)
    }

    /// Deletes one function whose pods are the only ones left, and waits until they are gone.
    pub(super) fn remove_revision(&self, cluster: &Cluster, function: &str) -> Result<()> {
        let api = &cluster.api;
        let path = format!("{}/{function}", self.path(Kind::Configuration));
        api.block_on(api.delete(&path))?;
        let deployment = format!("{}-deployment", revision(function));
        let is_gone = |list: &Value| {
            let mut all = list["items"].as_array()?.iter();
            (!all.any(|it| it["metadata"]["name"] == deployment)).then_some(())
        };
        let deployments = self.path(Kind::Deployment);
        api.block_on(api.wait(&deployments, "it is gone", GONE_WITHIN, is_gone))?;
        self.end_pods(cluster)
    }

    /// Ends pods that are on their way out at once: a queue-proxy that drains takes half a minute.
    fn end_pods(&self, cluster: &Cluster) -> Result<()> {
        let api = &cluster.api;
        let pods = format!("{}?gracePeriodSeconds=1", self.path(Kind::Pod));
        api.block_on(api.delete(&pods))?;
        api.block_on(self.none_left(Kind::Pod, GONE_WITHIN))
    }

    /// A request as an activator gets it: it knows the revision by the headers.
    pub(super) fn target(&self, revision: &str, path: String) -> Result<Target> {
        let mut headers = HeaderMap::new();
        let name = HeaderName::from_static("knative-serving-namespace");
        headers.insert(name, self.name.parse()?);
        let name = HeaderName::from_static("knative-serving-revision");
        headers.insert(name, revision.parse()?);
        Ok(Target {
            host: format!("{revision}.{}.example.com", self.name),
            path,
            headers,
            body: None,
        })
    }

    /// The address of the queue-proxy of a function's one pod.
    pub(super) fn queue_proxy(&self, cluster: &Cluster, revision: &str) -> Result<SocketAddr> {
        let path = format!("{}?labelSelector=app%3D{revision}", self.path(Kind::Pod));
        let list = cluster.api.block_on(cluster.api.get(&path))?;
        let ip = list["items"][0]["status"]["podIP"].as_str();
        let ip = ip.with_context(|| format!("{revision} has no pod with an address"))?;
        Ok(SocketAddr::new(ip.parse()?, QUEUE_PORT))
    }
}

/// A function at zero, and where to ask for it.
#[derive(Clone, Debug)]
pub(super) struct Revision {
    pub(super) name: String,
    /// Its public Service.
    pub(super) service: SocketAddr,
    host: String,
    headers: String,
}

impl Revision {
    /// Asks as an ingress would, for the tiny answer.
    pub(super) async fn ask(&self, stream: TcpStream, within: Duration) -> Result<Answered> {
        ask_with(stream, &self.host, &self.headers, within).await
    }
}

impl Namespace {
    /// Declares functions that begin at zero, and have never been anywhere else.
    pub(super) fn never_started(&self, cluster: &Cluster, names: &[String]) -> Result<()> {
        let template = Template {
            image: &cluster.image,
            scaling: &[("initial-scale", "0"), ("max-scale", "1")],
            concurrency: 0,
        };
        self.declare_revisions(names, &template)?;
        rest(SETTLE);
        Ok(())
    }

    /// Declares functions, and waits until they have gone to zero for lack of requests. One that was never started is
    /// nothing to compare with: its first request waits for the next tick of Knative's autoscaler.
    pub(super) fn at_zero(&self, cluster: &Cluster, names: &[String]) -> Result<Vec<Revision>> {
        let template = Template {
            image: &cluster.image,
            scaling: &[("window", WINDOW), ("max-scale", "1")],
            concurrency: 0,
        };
        self.declare_revisions(names, &template)?;
        self.wait_for_zero(cluster, names.len())?;
        self.asked_at(cluster, names.iter().map(|name| revision(name)))
    }

    /// Waits until so many functions, all of the namespace, have gone to zero and their pods are gone.
    pub(super) fn wait_for_zero(&self, cluster: &Cluster, count: usize) -> Result<()> {
        let is_zero = |deployment: &Value| deployment["spec"]["replicas"] == 0;
        self.wait_for_all(Kind::Deployment, "functions went to zero", count, is_zero)?;
        self.end_pods(cluster)?;
        rest(SETTLE);
        Ok(())
    }

    /// Where revisions are asked for.
    pub(super) fn asked_at(
        &self,
        cluster: &Cluster,
        revisions: impl Iterator<Item = String>,
    ) -> Result<Vec<Revision>> {
        let path = self.path(Kind::Service);
        let list = cluster.api.block_on(cluster.api.get(&path))?;
        let namespace = &self.name;
        let found = revisions.map(|name| {
            Ok(Revision {
                service: SocketAddr::new(cluster_ip(&list, &name)?, 80),
                host: format!("{name}.{namespace}.example.com"),
                headers: format!(
                    "Knative-Serving-Namespace: {namespace}\r\nKnative-Serving-Revision: {name}\r\n"
                ),
                name,
            })
        });
        found.collect()
    }
}

/// The address of a Service in a list of them.
pub(super) fn cluster_ip(list: &Value, name: &str) -> Result<IpAddr> {
    let mut services = list["items"].as_array().into_iter().flatten();
    let found = services.find(|it| it["metadata"]["name"] == name);
    let ip = found.and_then(|it| it["spec"]["clusterIP"].as_str());
    let ip = ip.with_context(|| format!("{name} has no Service"))?;
    Ok(ip.parse()?)
}

/// The first revision of a Configuration.
pub(super) fn revision(name: &str) -> String {
    format!("{name}-00001")
}
