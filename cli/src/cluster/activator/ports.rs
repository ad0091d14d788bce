//! Ports that routes have for themselves, opened beside whatever else goes on.

use std::collections::BTreeSet;
use std::io;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use zeron_core::route::RouteSnapshot;

pub(super) type PortSet = BTreeSet<NonZeroU16>;
/// What became of ports that were not open before.
pub(super) type Outcomes = Vec<(NonZeroU16, Result<(), io::Error>)>;

/// The set that is wanted, and the task that follows it: the newest counts.
#[derive(Debug)]
pub(super) struct Ports {
    wanted: watch::Sender<PortSet>,
    tried: watch::Receiver<Option<PortSet>>,
    _task: AbortOnDropHandle<()>,
}

impl Ports {
    /// `listen` opens and closes what differs; it may wait. A port that is taken is tried again
    /// after `pause`, unless routes change before.
    pub(super) fn start(
        listen: impl Fn(&PortSet) -> Outcomes + Send + Sync + 'static,
        pause: Duration,
    ) -> Self {
        let (wanted, news) = watch::channel(PortSet::new());
        let (tries, tried) = watch::channel(None);
        let task = tokio::spawn(follow(Arc::new(listen), pause, news, tries));
        Self {
            wanted,
            tried,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// Wants the ports of these routes from now on. Returns at once.
    pub(super) fn want(&self, routes: &RouteSnapshot) {
        let ports = routes.routes.iter().filter_map(|it| it.port).collect();
        // Also when it is the same: a port may have become free.
        self.wanted.send_replace(ports);
    }

    /// Returns when what is wanted now is open, as far as it can be.
    pub(super) async fn settled(&self) {
        let wanted = self.wanted.borrow().clone();
        let mut tried = self.tried.clone();
        // The task lives as long as we do.
        tried.wait_for(|it| it.as_ref() == Some(&wanted)).await.ok();
    }
}

async fn follow(
    listen: Arc<impl Fn(&PortSet) -> Outcomes + Send + Sync + 'static>,
    pause: Duration,
    mut wanted: watch::Receiver<PortSet>,
    tried: watch::Sender<Option<PortSet>>,
) {
    loop {
        let ports = wanted.borrow_and_update().clone();
        let (listen, set) = (Arc::clone(&listen), ports.clone());
        let Ok(outcomes) = tokio::task::spawn_blocking(move || listen(&set)).await else {
            return;
        };
        let mut has_failed = false;
        for (port, outcome) in outcomes {
            if let Err(error) = outcome {
                has_failed = true;
                tracing::error!(%port, %error, "cannot listen for an opted-in Service");
            }
        }
        tried.send_replace(Some(ports));
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(pause), if has_failed => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::mpsc;

    use parking_lot::Mutex;

    use super::*;

    fn set(ports: &[u16]) -> PortSet {
        let ports = ports.iter().map(|port| NonZeroU16::new(*port).unwrap());
        ports.collect()
    }

    #[tokio::test]
    async fn nobody_waits_for_a_port_and_the_newest_set_wins() {
        let (go, gate) = mpsc::sync_channel::<()>(1);
        let (gate, calls) = (Mutex::new(gate), Arc::new(Mutex::new(Vec::new())));
        let called = Arc::clone(&calls);
        let listen = move |wanted: &PortSet| {
            called.lock().push(wanted.clone());
            // A worker that is busy: the listener takes its time.
            gate.lock().recv().ok();
            Vec::new()
        };
        let ports = Ports::start(listen, Duration::from_secs(60));
        while calls.lock().is_empty() {
            tokio::task::yield_now().await;
        }
        for wanted in [set(&[1]), set(&[1, 2]), set(&[2, 3])] {
            ports.wanted.send_replace(wanted);
        }
        drop(go);
        ports.settled().await;
        assert_eq!(*calls.lock(), [set(&[]), set(&[2, 3])]);
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_tried_until_it_is_free() {
        let calls = Arc::new(Mutex::new(0_u32));
        let called = Arc::clone(&calls);
        let listen = move |wanted: &PortSet| {
            let mut calls = called.lock();
            *calls += u32::from(!wanted.is_empty());
            let outcome = |port: &NonZeroU16| match *calls < 3 {
                true => (*port, Err(io::ErrorKind::AddrInUse.into())),
                false => (*port, Ok(())),
            };
            wanted.iter().map(outcome).collect()
        };
        let ports = Ports::start(listen, Duration::from_millis(1));
        ports.wanted.send_replace(set(&[7]));
        let is_open = async {
            while *calls.lock() < 3 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), is_open)
            .await
            .unwrap();
        ports.settled().await;
        assert_eq!(*calls.lock(), 3);
    }
}
