//! The activator's side: a connection to every autoscaler, one link for the activator.

mod connection;
mod dispatch;
mod drains;
pub(crate) mod outgoing;
#[cfg(test)]
mod tests;
mod unanswered;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::sync::watch;

use crate::link::{ActivatorLink, link};
use crate::message::Wake;
use crate::version::Versions;
use dispatch::Dispatch;

/// How an activator reaches its autoscalers.
#[derive(Clone)]
pub struct ClientConfig {
    /// This activator's name, unique among the living: its pod's name.
    pub name: String,
    /// Every autoscaler. An address that appears is dialled at once; one that disappears is not
    /// dialled again, and a connection to it stays for as long as it works.
    pub addresses: watch::Receiver<Vec<SocketAddr>>,
    /// The bearer token, read for each dial; must not block for long. `None`: none is sent.
    pub token: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    /// Called for a wake-up that no autoscaler acknowledged within 20 ms, at most once per 100 ms
    /// and function; at once when there is no connection. Must not block.
    pub on_unanswered: Arc<dyn Fn(Wake) + Send + Sync>,
    /// TLS to the autoscalers; `None`: plain TCP.
    pub tls: Option<ClientTls>,
    /// What is spoken: [`Versions::OURS`].
    pub versions: Versions,
}

impl ClientConfig {
    /// Without a token, without TLS, and nothing done about wake-ups that nobody answers.
    pub fn new(name: &str, addresses: watch::Receiver<Vec<SocketAddr>>) -> Self {
        Self {
            name: name.to_owned(),
            addresses,
            token: Arc::new(|| None),
            on_unanswered: Arc::new(|_| {}),
            tls: None,
            versions: Versions::OURS,
        }
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("name", &self.name)
            .field("addresses", &*self.addresses.borrow())
            .finish_non_exhaustive()
    }
}

/// Whom to trust as an autoscaler.
#[derive(Clone, Debug)]
pub struct ClientTls {
    /// Roots, and a certificate of this activator where they are mutual.
    pub config: Arc<rustls::ClientConfig>,
    /// The name in every autoscaler's certificate.
    pub server_name: ServerName<'static>,
}

/// Dials every autoscaler and keeps the connections, in tasks of the current runtime.
///
/// What the activator sends goes to all of them, wake-ups first; of reports the newest wins where
/// a connection is slow. Orders of all of them arrive merged. A drain whose autoscaler is lost
/// before it was acknowledged is cancelled.
///
/// It ends when the activator's sender is dropped, or after `ToAutoscaler::Goodbye` was written to
/// every connection; the receiver then returns `None`.
///
/// # Panics
/// Outside a tokio runtime.
pub fn connect(config: ClientConfig) -> ActivatorLink {
    let (activator, inner) = link();
    tokio::spawn(Dispatch::new(Arc::new(config), inner).run());
    activator
}
