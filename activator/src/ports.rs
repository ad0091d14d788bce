//! Ports that some routes have for themselves: opened and closed while everything runs.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::listen;
use crate::peer::Entrance;
use crate::worker::{Door, Worker};

/// Longest wait for workers to close their listeners of a port; a busy one does it later.
const CLOSED_WITHIN: Duration = Duration::from_secs(1);

/// Held by every listener of a port, so that its end is noticed.
pub(crate) type Opened = mpsc::SyncSender<Infallible>;

/// The ports that are open now.
#[derive(Debug)]
pub(crate) struct Ports {
    address: IpAddr,
    workers: Vec<(Handle, Arc<Worker>)>,
    open: BTreeMap<NonZeroU16, Port>,
}

/// One port, open at every worker.
#[derive(Debug)]
struct Port {
    close: CancellationToken,
    closed: mpsc::Receiver<Infallible>,
}

impl Ports {
    pub(crate) fn new(listeners: &[SocketAddr], workers: Vec<(Handle, Arc<Worker>)>) -> Self {
        let first = listeners.first().map(SocketAddr::ip);
        Self {
            address: first.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
            workers,
            open: BTreeMap::new(),
        }
    }

    /// Makes `wanted` the open ports: what became of those that were not open before.
    pub(crate) fn set(
        &mut self,
        wanted: &BTreeSet<NonZeroU16>,
    ) -> Vec<(NonZeroU16, io::Result<()>)> {
        let unwanted = |port: &NonZeroU16, _: &mut Port| !wanted.contains(port);
        let closing: Vec<_> = self.open.extract_if(.., unwanted).collect();
        for (_, port) in &closing {
            port.close.cancel();
        }
        for (_, port) in closing {
            // The end of all senders, or nothing better to do about it.
            port.closed.recv_timeout(CLOSED_WITHIN).ok();
        }
        let new: Vec<_> = wanted
            .iter()
            .filter(|port| !self.open.contains_key(port))
            .copied()
            .collect();
        new.into_iter()
            .map(|port| (port, self.open(port)))
            .collect()
    }

    fn open(&mut self, port: NonZeroU16) -> io::Result<()> {
        let address = SocketAddr::new(self.address, port.get());
        let listeners = listen::bind(address, self.workers.len())?;
        let (opened, closed) = mpsc::sync_channel(1);
        let mut doors = Vec::with_capacity(listeners.len());
        let mut token = None;
        for (listener, (runtime, worker)) in listeners.into_iter().zip(&self.workers) {
            let close = token.get_or_insert_with(|| worker.shared.drain.child_token());
            let _entered = runtime.enter();
            let door = Door {
                listener,
                entrance: Entrance::Port(port),
                tls: None,
                close: close.clone(),
                open: Some(opened.clone()),
            };
            doors.push(door.watched()?);
        }
        for (door, (runtime, worker)) in doors.into_iter().zip(&self.workers) {
            runtime.spawn(Arc::clone(worker).accept(door));
        }
        if let Some(close) = token {
            self.open.insert(port, Port { close, closed });
        }
        Ok(())
    }
}
