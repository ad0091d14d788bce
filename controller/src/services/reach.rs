//! Whether an activator already accepts on a Service's port: callers are led only to those that do.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt, join_all};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::activators::{ActivatorPod, Activators};

/// Within one cluster; a SYN that got lost is sent again after a second.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Asks whether somebody accepts connections at an address.
pub trait Accepts: Send + Sync {
    /// Bounded in time.
    fn accepts(&self, address: SocketAddr) -> BoxFuture<'_, bool>;
}

/// By connecting.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpAccepts;

impl Accepts for TcpAccepts {
    fn accepts(&self, address: SocketAddr) -> BoxFuture<'_, bool> {
        let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(address));
        connected
            .map(|outcome| matches!(outcome, Ok(Ok(_))))
            .boxed()
    }
}

/// Remembers who was seen accepting; an activator does not stop before it ends.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    known: Mutex<HashSet<(String, NonZeroU16)>>,
}

impl Reach {
    /// Forgets activators that are gone.
    pub(crate) fn retain(&self, activators: &Activators) {
        let alive: HashSet<String> = activators.usable().iter().map(|p| p.uid.clone()).collect();
        self.known.lock().retain(|(uid, _)| alive.contains(uid));
    }

    /// Whether `pod` accepts on all `ports`.
    pub(crate) async fn accepts(
        &self,
        asked: &dyn Accepts,
        pod: &ActivatorPod,
        ports: impl Iterator<Item = NonZeroU16>,
    ) -> bool {
        let Some(address) = pod.addresses.first().copied() else {
            return false;
        };
        let is_new = |port: &NonZeroU16| !self.known.lock().contains(&(pod.uid.clone(), *port));
        let unknown: Vec<NonZeroU16> = ports.filter(is_new).collect();
        let ask = |port: &NonZeroU16| asked.accepts(SocketAddr::new(address, port.get()));
        let answers = join_all(unknown.iter().map(ask)).await;
        let accepting = unknown.iter().zip(&answers).filter(|(_, is)| **is);
        let found = accepting.map(|(port, _)| (pod.uid.clone(), *port));
        self.known.lock().extend(found);
        answers.into_iter().all(|is| is)
    }
}
