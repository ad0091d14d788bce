//! Functions as revisions of Configurations, to which no Route leads.

use std::net::SocketAddr;
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
const WINDOW: &str = "45s";
/// Until nodes know new Services, and controllers are done.
const SETTLE: Duration = Duration::from_secs(3);

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
        let mut made = 0;
        for chunk in names.chunks(CHUNK) {
            let all = chunk
                .iter()
                .map(|name| (Kind::Configuration, template.configuration(name)));
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
        let is_zero = |deployment: &Value| deployment["spec"]["replicas"] == 0;
        let what = "functions went to zero";
        self.wait_for_all(Kind::Deployment, what, names.len(), is_zero)?;
        self.end_pods(cluster)?;
        rest(SETTLE);
        let list = cluster
            .api
            .block_on(cluster.api.get(&self.path(Kind::Service)))?;
        let service = |name: &String| {
            let name = revision(name);
            let services = list["items"].as_array().into_iter().flatten();
            let found = services
                .into_iter()
                .find(|it| it["metadata"]["name"] == name.as_str());
            let ip = found.and_then(|it| it["spec"]["clusterIP"].as_str());
            let ip = ip.with_context(|| format!("{name} has no Service"))?;
            let namespace = &self.name;
            Ok(Revision {
                service: SocketAddr::new(ip.parse()?, 80),
                host: format!("{name}.{namespace}.example.com"),
                headers: format!(
                    "Knative-Serving-Namespace: {namespace}\r\nKnative-Serving-Revision: {name}\r\n"
                ),
                name,
            })
        };
        names.iter().map(service).collect()
    }
}

/// The first revision of a Configuration.
pub(super) fn revision(name: &str) -> String {
    format!("{name}-00001")
}
