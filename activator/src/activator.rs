//! Starting a data plane, feeding it, and ending it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use thiserror::Error;
use tokio::runtime;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use zeron_core::route::RouteSnapshot;
use zeron_core::{EndpointSink, FunctionId};
use zeron_wire::ActivatorLink;

use crate::cause::Cause;
use crate::config::Config;
use crate::house::House;
use crate::load::Load;
use crate::registry::Registry;
use crate::tls::{self, TlsError};
use crate::worker::{Door, Shared, Worker};
use crate::{control, listen, metrics};

/// How long refusals and close frames may take to leave once the grace time is over.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// A data plane: start it, and talk to it through its handle.
#[derive(Debug)]
pub struct Activator;

/// Why a data plane could not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// An address is taken or not ours.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The certificate cannot be used.
    #[error("cannot serve https")]
    Tls(#[source] TlsError),
    /// The system gives no more threads or event queues.
    #[error("cannot start a worker")]
    Worker(#[source] io::Error),
}

/// One listener with the certificate it serves, once for each worker.
struct Bound {
    listeners: Vec<TcpListener>,
    tls: Option<tokio_rustls::TlsAcceptor>,
}

impl Activator {
    /// Binds every listener, then starts the workers.
    ///
    /// # Errors
    /// When an address cannot be bound, the certificate not used or a thread not started; nothing
    /// is left behind then.
    pub fn start(config: Config, link: ActivatorLink) -> Result<ActivatorHandle, StartError> {
        let bound = bind(&config)?;
        let addresses = bound
            .iter()
            .filter_map(|bound| bound.listeners.first()?.local_addr().ok())
            .collect();
        let house = Arc::new(House::new(config.max_queued_bytes, link.sender));
        let registry = Arc::new(Registry::new(Arc::clone(&house)));
        let shared = Arc::new(Shared::new(config, house));
        let ended = CancellationToken::new();
        spawn_workers(&shared, bound).map_err(StartError::Worker)?;
        let runtime = current_thread().map_err(StartError::Worker)?;
        let control = control::run(Arc::clone(&shared), Arc::clone(&registry), link.receiver);
        let until = ended.clone();
        thread::Builder::new()
            .name("activator-control".to_owned())
            .spawn(move || runtime.block_on(until.run_until_cancelled(control)))
            .map_err(StartError::Worker)?;
        Ok(ActivatorHandle {
            inner: Arc::new(Inner {
                shared,
                registry,
                addresses,
                ended,
            }),
        })
    }
}

fn bind(config: &Config) -> Result<Vec<Bound>, StartError> {
    let tls = config.tls.as_ref();
    let acceptor = tls
        .map(tls::acceptor)
        .transpose()
        .map_err(StartError::Tls)?;
    let plain = config.listeners.iter().map(|address| (*address, None));
    let encrypted = tls.map(|listener| (listener.address, acceptor));
    plain
        .chain(encrypted)
        .map(|(address, tls)| {
            let listeners = listen::bind(address, config.workers.get())
                .map_err(|source| StartError::Bind { address, source })?;
            Ok(Bound { listeners, tls })
        })
        .collect()
}

fn spawn_workers(shared: &Arc<Shared>, mut bound: Vec<Bound>) -> io::Result<()> {
    for place in 0..shared.config.workers.get() {
        let mine: Vec<_> = bound
            .iter_mut()
            .filter_map(|bound| Some((bound.listeners.pop()?, bound.tls.clone())))
            .collect();
        let runtime = current_thread()?;
        let worker = Worker::new(Arc::clone(shared), place);
        let doors = {
            let _entered = runtime.enter();
            mine.into_iter()
                .map(|(listener, tls)| {
                    let listener = tokio::net::TcpListener::from_std(listener)?;
                    Ok(Door { listener, tls })
                })
                .collect::<io::Result<Vec<_>>>()?
        };
        thread::Builder::new()
            .name(format!("activator-{place}"))
            .spawn(move || runtime.block_on(worker.run(doors)))?;
    }
    Ok(())
}

fn current_thread() -> io::Result<runtime::Runtime> {
    runtime::Builder::new_current_thread().enable_all().build()
}

/// The way to a running data plane. The last one that goes ends it at once.
#[derive(Clone, Debug)]
pub struct ActivatorHandle {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    registry: Arc<Registry>,
    addresses: Vec<SocketAddr>,
    ended: CancellationToken,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.begin_drain();
        self.shared.cut.cancel();
        self.shared.cut_late.cancel();
        self.shared.tasks.close();
        self.ended.cancel();
    }
}

impl ActivatorHandle {
    /// Replaces all routes. State of functions that stay is kept.
    #[allow(clippy::needless_pass_by_value)] // callers share snapshots, and need not keep theirs
    pub fn publish(&self, snapshot: Arc<RouteSnapshot>) {
        let table = self.inner.registry.publish(&snapshot, Instant::now());
        self.inner.shared.routes.store(Arc::new(table));
    }

    /// Where a back end publishes replicas. Waiting requests get them in the caller's thread.
    pub fn sink(&self) -> Arc<dyn EndpointSink> {
        Arc::clone(&self.inner.registry) as Arc<dyn EndpointSink>
    }

    /// What a function has in flight and waiting; `None` when no route snapshot has it.
    pub fn load(&self, function: &FunctionId) -> Option<Load> {
        Some(self.inner.registry.get(function)?.load())
    }

    /// The addresses that are bound, in the order of [`Config::listeners`], then HTTPS.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.inner.addresses
    }

    /// Adds the metrics of this data plane to `registry`.
    pub fn register(&self, registry: &mut prometheus_client::registry::Registry) {
        metrics::register(&self.inner.shared, registry);
    }

    /// Ends: accepts nothing new, lets open requests finish for `grace`, then cuts what is left,
    /// waiting requests with an answer. Called again with a shorter grace, the shorter one counts.
    pub async fn drain(&self, grace: Duration) {
        let shared = &self.inner.shared;
        shared.begin_drain();
        shared.tasks.close();
        if tokio::time::timeout(grace, shared.tasks.wait())
            .await
            .is_err()
        {
            let now = Instant::now();
            for function in self.inner.registry.all() {
                function.refuse_waiting(Cause::ShuttingDown, now);
            }
            shared.cut.cancel();
            let left = tokio::time::timeout(LAST_WORDS, shared.tasks.wait()).await;
            if left.is_err() {
                shared.cut_late.cancel();
                shared.tasks.wait().await;
            }
        }
        self.inner.ended.cancel();
    }
}
