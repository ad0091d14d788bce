//! The Service of a bucket and where it leads, by which other replicas find the bucket's owner: an
//! EndpointSlice as Knative's replicas write it, or Endpoints as older ones do.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;
use tracing::{info, warn};

use super::config::BucketsConfig;
use crate::api::{CallError, Caller, Content, FIELD_MANAGER, JSON, MERGE_PATCH};
use crate::back_off::BackOff;
use crate::counters::Verb;

/// Server-side apply.
const APPLY: &str = "application/apply-patch+yaml";
/// Pauses between attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What is announced of one bucket.
#[derive(Clone, Debug)]
pub(super) struct Announcement {
    pub(super) caller: Caller,
    pub(super) namespace: String,
    pub(super) bucket: String,
    pub(super) address: IpAddr,
    pub(super) port: u16,
}

impl Announcement {
    pub(super) fn new(caller: Caller, config: &BucketsConfig, bucket: &str) -> Self {
        Self {
            caller,
            namespace: config.namespace.clone(),
            bucket: bucket.to_owned(),
            address: config.pod_ip,
            port: config.port,
        }
    }

    /// Tries until it is done; dropped when the bucket is another's.
    pub(super) async fn run(self) {
        let mut back_off = BackOff::new(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            match self.announce().await {
                Ok(()) => break,
                Err(error) => {
                    warn!(bucket = self.bucket, %error, "cannot lead a bucket's Service here");
                    sleep(back_off.next()).await;
                }
            }
        }
        info!(bucket = self.bucket, address = %self.address, "the bucket's Service leads here");
    }

    async fn announce(&self) -> Result<(), CallError> {
        let path = format!("/api/v1/namespaces/{}/services", self.namespace);
        let content = Content::new(JSON, &self.service());
        let made = self.caller.call_bytes(Verb::create, &path, Some(content));
        match made.await {
            Ok(_) => {}
            // Somebody's before us: it stays as it is.
            Err(error) if error.status() == Some(409) => {}
            Err(error) => return Err(error),
        }
        if self.has_endpoints().await? {
            return self.write_endpoints().await;
        }
        match self.write_slice().await {
            // The kind of address cannot change.
            Err(error) if error.status() == Some(422) => {
                self.delete_slice().await?;
                self.write_slice().await
            }
            Err(error) if error.status() == Some(403) => self.write_endpoints().await,
            written => written,
        }
    }

    /// Whether replicas here announce themselves by Endpoints. Kubernetes makes slices of them.
    async fn has_endpoints(&self) -> Result<bool, CallError> {
        let path = self.endpoints_path();
        match self.caller.call_bytes(Verb::get, &path, None).await {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.status(), Some(403 | 404)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Leaves no slice beside the one that is made of them.
    async fn write_endpoints(&self) -> Result<(), CallError> {
        let path = format!("{}?fieldManager={FIELD_MANAGER}", self.endpoints_path());
        let content = Content::new(MERGE_PATCH, &self.endpoints());
        match self
            .caller
            .call_bytes(Verb::patch, &path, Some(content))
            .await
        {
            Ok(_) => {}
            Err(error) if error.status() == Some(404) => {
                let path = format!("/api/v1/namespaces/{}/endpoints", self.namespace);
                let content = Content::new(JSON, &self.endpoints());
                self.caller
                    .call_bytes(Verb::create, &path, Some(content))
                    .await?;
            }
            Err(error) => return Err(error),
        }
        match self.delete_slice().await {
            Err(error) if error.status() == Some(403) => Ok(()),
            deleted => deleted,
        }
    }

    async fn write_slice(&self) -> Result<(), CallError> {
        let path = self.slice_path();
        let path = format!("{path}?fieldManager={FIELD_MANAGER}&force=true");
        let content = Content::new(APPLY, &self.slice());
        let applied = self.caller.call_bytes(Verb::patch, &path, Some(content));
        applied.await.map(drop)
    }

    async fn delete_slice(&self) -> Result<(), CallError> {
        let path = self.slice_path();
        match self.caller.call_bytes(Verb::delete, &path, None).await {
            Err(error) if error.status() != Some(404) => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn endpoints_path(&self) -> String {
        let (namespace, bucket) = (&self.namespace, &self.bucket);
        format!("/api/v1/namespaces/{namespace}/endpoints/{bucket}")
    }

    fn slice_path(&self) -> String {
        let (namespace, bucket) = (&self.namespace, &self.bucket);
        format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices/{bucket}")
    }

    fn service(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": self.bucket},
            "spec": {"ports": [{"name": "http", "port": self.port, "targetPort": self.port}]},
        })
    }

    fn endpoints(&self) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {"name": self.bucket},
            "subsets": [{
                "addresses": [{"ip": self.address}],
                "ports": [{"name": "http", "port": self.port, "protocol": "TCP"}],
            }],
        })
    }

    fn slice(&self) -> Value {
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": self.bucket,
                "labels": {"kubernetes.io/service-name": self.bucket},
            },
            "addressType": if self.address.is_ipv4() { "IPv4" } else { "IPv6" },
            "endpoints": [{
                "addresses": [self.address],
                "conditions": {"ready": true, "serving": true, "terminating": false},
            }],
            "ports": [{"name": "http", "port": self.port, "protocol": "TCP"}],
        })
    }
}
