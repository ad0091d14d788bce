//! Keeps the certificate: makes it, renews it, shows it to the API server.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{Method, Request};
use kube::Client;
use serde_json::Value;

use super::WebhookOptions;
use super::certificate::{Certificate, CertificateError};
use super::configuration;
use super::server::Identity;

/// Between two looks at the Secret and the configuration.
const LOOK: Duration = Duration::from_secs(60);
/// After a failure.
const RETRY: Duration = Duration::from_secs(5);
const CONFIGURATIONS: &str =
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

/// Why the certificate is not kept now.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// It cannot be made or used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The API server refuses.
    #[error("{method} {path}: {source}")]
    Api {
        /// What was asked.
        method: Method,
        /// Of what.
        path: String,
        /// The cause.
        source: Box<kube::Error>,
    },
}

pub(super) struct Keeper {
    client: Client,
    namespace: String,
    secret: String,
    configuration: String,
    names: Vec<String>,
    identity: Arc<Identity>,
}

impl Keeper {
    pub(super) fn new(client: Client, options: &WebhookOptions, identity: Arc<Identity>) -> Self {
        let (service, namespace) = (&options.service, &options.namespace);
        let mut names = vec![
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.cluster.local"),
        ];
        names.extend(options.names.iter().cloned());
        Self {
            client,
            namespace: namespace.clone(),
            secret: options.secret.clone(),
            configuration: options.configuration.clone(),
            names,
            identity,
        }
    }

    /// For ever. Says when the first certificate is shown.
    pub(super) async fn run(&self, is_serving: impl FnOnce()) {
        let mut is_serving = Some(is_serving);
        loop {
            let wait = match self.keep().await {
                Ok(()) => {
                    if let Some(say) = is_serving.take() {
                        say();
                    }
                    LOOK
                }
                Err(error) => {
                    tracing::warn!(%error, "the webhooks' certificate is not kept");
                    RETRY
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// One look. The API server learns to trust a new certificate before it is shown.
    async fn keep(&self) -> Result<(), KeeperError> {
        let certificate = self.certificate().await?;
        self.name_authorities(&certificate).await?;
        Ok(self.identity.show(&certificate)?)
    }

    /// The one in the Secret; a new one where there is none, or an old one.
    async fn certificate(&self) -> Result<Certificate, KeeperError> {
        let all = format!("/api/v1/namespaces/{}/secrets", self.namespace);
        let one = format!("{all}/{}", self.secret);
        let stored = self.send(Method::GET, &one, None).await?;
        let found = stored.as_ref().and_then(|s| Certificate::of_secret(s).ok());
        let now = now();
        if let Some(certificate) = found.as_ref().filter(|c| !c.is_old(now)) {
            return Ok(certificate.clone());
        }
        let made = Certificate::make(&self.names, found.as_ref(), now)?;
        let version = stored
            .as_ref()
            .and_then(|s| s["metadata"]["resourceVersion"].as_str());
        let secret = made.secret(&self.secret, &self.namespace, version);
        let (method, path) = match stored.is_some() {
            true => (Method::PUT, &one),
            false => (Method::POST, &all),
        };
        // Of several that make one at once the first wins; the others look again.
        self.send(method, path, Some(("application/json", &secret)))
            .await?;
        Ok(made)
    }

    async fn name_authorities(&self, certificate: &Certificate) -> Result<(), KeeperError> {
        let path = format!("{CONFIGURATIONS}/{}", self.configuration);
        let Some(found) = self.send(Method::GET, &path, None).await? else {
            tracing::debug!(configuration = %self.configuration, "there is no webhook configuration");
            return Ok(());
        };
        if let Some(patch) = configuration::named(&found, &certificate.bundle()) {
            let content = Some(("application/json-patch+json", &patch));
            self.send(Method::PATCH, &path, content).await?;
        }
        Ok(())
    }

    /// `None`: there is no such object.
    async fn send(
        &self,
        method: Method,
        path: &str,
        content: Option<(&str, &Value)>,
    ) -> Result<Option<Value>, KeeperError> {
        let mut request = Request::builder().method(method.clone()).uri(path);
        if let Some((kind, _)) = content {
            request = request.header(http::header::CONTENT_TYPE, kind);
        }
        let body = content.map_or_else(Vec::new, |(_, value)| value.to_string().into_bytes());
        let request = request.body(body).expect("names need no escape");
        match self.client.request::<Value>(request).await {
            Ok(value) => Ok(Some(value)),
            Err(kube::Error::Api(status)) if status.code == 404 && method == Method::GET => {
                Ok(None)
            }
            Err(source) => Err(KeeperError::Api {
                method,
                path: path.to_owned(),
                source: Box::new(source),
            }),
        }
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}
