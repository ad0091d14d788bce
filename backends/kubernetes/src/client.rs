//! The connection to the API server: where it is, who we are, how soon a dead one is noticed.

mod throttle;

use std::env;
use std::io::ErrorKind::NotFound;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use http::header::{HeaderValue, USER_AGENT};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Builder, Client as HttpClient};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ClientBuilder, ConfigExt};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use thiserror::Error;
use tower::ServiceBuilder;
use tower::util::MapErrLayer;

use throttle::ThrottleLayer;

/// HTTP/2 pings on a connection, used or not: a dead API server is noticed after the sum of both.
const PING_INTERVAL: Duration = Duration::from_secs(2);
const PING_TIMEOUT: Duration = Duration::from_secs(3);
/// The same for connections that speak HTTP/1 (a proxy between): the kernel's own probes.
const KEEPALIVE: Duration = Duration::from_secs(2);
const KEEPALIVE_PROBES: u32 = 3;
/// Bytes sent and not acknowledged for so long end a connection.
const UNACKNOWLEDGED: Duration = Duration::from_secs(6);
/// Flow control windows: a list of pods arrives without waiting for us.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// Where the API server is and how to talk to it.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// A kubeconfig file; `None`: those of `$KUBECONFIG` that are there, else the pod's own service
    /// account, else `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    /// A context of that file; `None`: its current one.
    pub context: Option<String>,
    /// Requests per second; `None`: no limit of our own, the API server's fairness decides.
    pub qps: Option<NonZeroU32>,
    /// Requests that may exceed `qps` at once; without `qps` without meaning.
    pub burst: NonZeroU32,
    /// Until a connection and its TLS handshake stand.
    pub connect_timeout: Duration,
    /// Connections may become something else, as WebSockets do: HTTP/1.1 alone, where HTTP/2 cannot.
    pub is_upgradable: bool,
    /// Who we are, in the API server's logs: sent as `NAME/VERSION`.
    pub name: &'static str,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            kubeconfig: None,
            context: None,
            qps: None,
            burst: NonZeroU32::MIN,
            connect_timeout: Duration::from_secs(3),
            is_upgradable: false,
            name: "zeron",
        }
    }
}

/// There is no client to be had.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The kubeconfig cannot be read, or names no such context.
    #[error("cannot use the kubeconfig {}", path.as_ref().map_or_else(|| "of this environment".to_owned(), |path| path.display().to_string()))]
    Kubeconfig {
        /// The file, where one was given.
        path: Option<PathBuf>,
        /// The cause.
        #[source]
        source: kube::config::KubeconfigError,
    },
    /// `$KUBECONFIG` names files of which none is there.
    #[error("$KUBECONFIG names no file that is there: {}", files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", "))]
    NoKubeconfig {
        /// The files.
        files: Vec<PathBuf>,
    },
    /// The pod has no usable service account.
    #[error("cannot use the service account of this pod")]
    InCluster(#[source] kube::config::InClusterError),
    /// TLS or credentials cannot be set up.
    #[error("cannot set up the connection to {server}")]
    Setup {
        /// The API server's address.
        server: String,
        /// The cause.
        #[source]
        source: kube::Error,
    },
}

impl ClientOptions {
    /// Makes a client. Connects on first use.
    ///
    /// The client never repeats a request by itself: those who write know better. One HTTP/2
    /// connection carries watches and writes, is kept warm by pings and replaced when they fail.
    ///
    /// # Errors
    /// [`ClientError`] when nothing says where the API server is, or the credentials are unusable.
    pub async fn connect(&self) -> Result<Client, ClientError> {
        let config = self.config().await?;
        let server = config.cluster_url.to_string();
        self.build(config)
            .map_err(|source| ClientError::Setup { server, source })
    }

    async fn config(&self) -> Result<Config, ClientError> {
        let is_given = self.kubeconfig.is_some() || env::var_os("KUBECONFIG").is_some();
        let is_pod = env::var_os("KUBERNETES_SERVICE_HOST").is_some();
        let mut config = if !is_given && is_pod && self.context.is_none() {
            Config::incluster().map_err(ClientError::InCluster)?
        } else {
            self.file_config().await?
        };
        config.connect_timeout = Some(self.connect_timeout);
        config.default_retry = false;
        let agent = format!("{}/{}", self.name, env!("CARGO_PKG_VERSION"));
        if let Ok(agent) = HeaderValue::try_from(agent) {
            config.headers.push((USER_AGENT, agent));
        }
        Ok(config)
    }

    async fn file_config(&self) -> Result<Config, ClientError> {
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        let unusable = |source| ClientError::Kubeconfig {
            path: self.kubeconfig.clone(),
            source,
        };
        let file = match &self.kubeconfig {
            Some(path) => Some(Kubeconfig::read_from(path).map_err(unusable)?),
            None => listed()?,
        };
        let config = match file {
            Some(file) => Config::from_custom_kubeconfig(file, &options).await,
            None => Config::from_kubeconfig(&options).await,
        };
        config.map_err(unusable)
    }

    fn build(&self, config: Config) -> Result<Client, kube::Error> {
        if config.proxy_url.is_some() {
            // A proxy needs kube's own connectors; they speak HTTP/1 and ping nothing.
            return Ok(ClientBuilder::try_from(config)?.build());
        }
        let namespace = config.default_namespace.clone();
        let service = ServiceBuilder::new()
            .layer(config.base_uri_layer())
            .option_layer(self.qps.map(|qps| ThrottleLayer::new(qps, self.burst)))
            .option_layer(config.auth_layer()?)
            .layer(config.extra_headers_layer()?)
            .layer(MapErrLayer::new(tower::BoxError::from))
            .service(self.http_client(&config)?);
        Ok(ClientBuilder::new(service, namespace).build())
    }

    fn http_client(
        &self,
        config: &Config,
    ) -> Result<HttpClient<HttpsConnector<HttpConnector>, Body>, kube::Error> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(self.connect_timeout));
        connector.set_keepalive(Some(KEEPALIVE));
        connector.set_keepalive_interval(Some(KEEPALIVE));
        connector.set_keepalive_retries(Some(KEEPALIVE_PROBES));
        connector.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
        let mut tls = HttpsConnectorBuilder::new()
            .with_tls_config(config.rustls_client_config()?)
            .https_or_http();
        let server_name = config.tls_server_name.clone();
        if let Some(Ok(name)) = server_name.map(rustls::pki_types::ServerName::try_from) {
            tls = tls.with_server_name_resolver(FixedServerNameResolver::new(name));
        }
        let tls = tls.enable_http1();
        let connector = match self.is_upgradable {
            true => tls.wrap_connector(connector),
            false => tls.enable_http2().wrap_connector(connector),
        };
        Ok(Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .http2_keep_alive_while_idle(true)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .build(connector))
    }
}

/// The files of `$KUBECONFIG` as one; `None`: it names none.
fn listed() -> Result<Option<Kubeconfig>, ClientError> {
    let named = env::var_os("KUBECONFIG").unwrap_or_default();
    let files: Vec<PathBuf> = env::split_paths(&named)
        .filter(|file| !file.as_os_str().is_empty())
        .collect();
    match files.is_empty() {
        true => Ok(None),
        false => merged(files).map(Some),
    }
}

/// Of what several say the first counts. Files that are not there are left out, as kubectl does: the
/// list is often the same on machines that do not have all of them.
fn merged(files: Vec<PathBuf>) -> Result<Kubeconfig, ClientError> {
    let mut whole: Option<Kubeconfig> = None;
    for path in &files {
        let unusable = |source| ClientError::Kubeconfig {
            path: Some(path.clone()),
            source,
        };
        let next = match Kubeconfig::read_from(path) {
            Err(KubeconfigError::ReadConfig(error, _)) if error.kind() == NotFound => continue,
            read => read.map_err(unusable)?,
        };
        whole = Some(match whole {
            Some(before) => before.merge(next).map_err(unusable)?,
            None => next,
        });
    }
    whole.ok_or(ClientError::NoKubeconfig { files })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn of_several_kubeconfigs_those_that_are_there_count() {
        let folder = env::temp_dir().join(format!("zeron-kubeconfigs-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = |name: &str| folder.join(name);
        for name in ["one", "two"] {
            let text = format!("current-context: {name}\ncontexts: [{{ name: {name} }}]\n");
            std::fs::write(file(name), text).unwrap();
        }
        std::fs::write(file("broken"), "contexts: 7").unwrap();
        let there = merged(vec![file("missing"), file("two"), file("one")]).unwrap();
        assert_eq!(there.current_context.as_deref(), Some("two"));
        assert_eq!(there.contexts.len(), 2);
        let none = merged(vec![file("missing"), file("gone")]).unwrap_err();
        let text = none.to_string();
        assert!(text.contains("missing") && text.contains("gone"), "{text}");
        let broken = merged(vec![file("one"), file("broken")]).unwrap_err();
        assert!(broken.to_string().contains("broken"), "{broken}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
