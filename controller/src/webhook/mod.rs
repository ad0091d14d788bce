//! Validating admission: what the schemas cannot say is refused before it is stored.
//!
//! Rules (`rules`, `authentication`) are pure functions over the object and its neighbours; the
//! readers are those that everything else uses. [`run`] serves them over HTTPS with a certificate
//! of its own making, which it keeps in a Secret and names in the webhook configuration.

mod authentication;
mod certificate;
mod configuration;
mod keeper;
mod neighbours;
mod review;
mod rules;
mod server;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use certificate::{Certificate, CertificateError};
pub use configuration::configuration;
pub use keeper::KeeperError;
pub use neighbours::{LookUp, Neighbours, Unknown};
pub use review::{MAX_BODY, review};

use keeper::Keeper;
use neighbours::Live;
use server::{Identity, Server};

/// Where and as whom the webhooks are served.
#[derive(Clone, Debug)]
pub struct WebhookOptions {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// Our namespace.
    pub namespace: String,
    /// The Service before us.
    pub service: String,
    /// Names and addresses of the certificate besides the Service's.
    pub names: Vec<String>,
    /// The Secret with the certificate.
    pub secret: String,
    /// The ValidatingWebhookConfiguration that names the certificate.
    pub configuration: String,
    /// How long the API server waits for us; an answer is given well before.
    pub timeout: Duration,
}

impl WebhookOptions {
    /// Our names in `namespace`.
    pub fn new(listen: SocketAddr, namespace: &str) -> Self {
        Self {
            listen,
            namespace: namespace.to_owned(),
            service: "zeron-webhook".to_owned(),
            names: Vec::new(),
            secret: "zeron-webhook".to_owned(),
            configuration: "zeron".to_owned(),
            timeout: Duration::from_secs(3),
        }
    }
}

/// Why the webhooks cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

/// Serves until `end`. Every controller serves; the certificate in the Secret is common to all. As
/// long as there is none, connections are closed; with the first one `is_serving` is called.
///
/// # Errors
/// [`WebhookError`] when it cannot begin.
pub async fn run(
    client: Client,
    options: WebhookOptions,
    is_serving: impl FnOnce() + Send,
    end: CancellationToken,
) -> Result<(), WebhookError> {
    let address = options.listen;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| WebhookError::Listen { address, source })?;
    let identity = Arc::new(Identity::default());
    let keeper = Keeper::new(client.clone(), &options, Arc::clone(&identity));
    let server = Server::new(
        Live::new(client, options.timeout),
        identity,
        options.timeout,
    );
    let work = async { tokio::join!(keeper.run(is_serving), server.run(listener)) };
    end.run_until_cancelled(work).await;
    Ok(())
}
