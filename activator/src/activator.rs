//! Starting a data plane, feeding it, and ending it.

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use thiserror::Error;
use tokio::runtime;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use zeron_core::route::RouteSnapshot;
use zeron_core::{EndpointSink, FunctionId};
use zeron_wire::{ActivatorLink, Seconds, ToActivator};

use crate::cause::Cause;
use crate::config::Config;
use crate::house::House;
use crate::knative::request_log::{RequestLog, TemplateError, WriteLine};
use crate::load::Load;
use crate::peer::Entrance;
use crate::ports::Ports;
use crate::registry::Registry;
use crate::ring::Peer;
use crate::tls::{self, Certificate, TlsError};
use crate::worker::{Door, Shared, Worker};
use crate::{claims, control, listen, metrics};

/// How long refusals and close frames may take to leave once the grace time is over.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Longest wait for the end of a second ([`Config::seconds`]).
const LAST_SECOND: Duration = Duration::from_millis(1_500);

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
    entrance: Entrance,
    tls: Option<TlsAcceptor>,
}

type Workers = Vec<(runtime::Handle, Arc<Worker>)>;

impl Activator {
    /// Binds every listener, then starts the workers.
    ///
    /// # Errors
    /// When an address cannot be bound, the certificate not used or a thread not started; nothing
    /// is left behind then.
    pub fn start(config: Config, link: ActivatorLink) -> Result<ActivatorHandle, StartError> {
        let certificate = Certificate::default();
        let bound = bind(&config, &certificate)?;
        let shared_addresses = addresses(&bound, Entrance::Shared);
        let peer_address = addresses(&bound, Entrance::Activators).first().copied();
        let house = Arc::new(House::new(&config, link.sender));
        let registry = Arc::new(Registry::new(house));
        let shared = Arc::new(Shared::new(config, registry));
        let ended = CancellationToken::new();
        let workers = spawn_workers(&shared, bound).map_err(StartError::Worker)?;
        let ports = Ports::new(&shared.config.listeners, workers);
        spawn_others(&shared, &ended, link.receiver).map_err(StartError::Worker)?;
        Ok(ActivatorHandle {
            inner: Arc::new(Inner {
                shared,
                addresses: shared_addresses,
                peer_address,
                ports: Mutex::new(ports),
                certificate,
                ended,
            }),
        })
    }
}

fn addresses(bound: &[Bound], entrance: Entrance) -> Vec<SocketAddr> {
    let bound = bound.iter().filter(|bound| bound.entrance == entrance);
    bound
        .filter_map(|bound| bound.listeners.first()?.local_addr().ok())
        .collect()
}

fn bind(config: &Config, pushed: &Certificate) -> Result<Vec<Bound>, StartError> {
    let tls = config.tls.as_ref();
    let acceptor = tls
        .map(tls::acceptor)
        .transpose()
        .map_err(StartError::Tls)?;
    let plain = config.listeners.iter();
    let plain = plain.map(|address| (*address, Entrance::Shared, None));
    let encrypted = tls.map(|listener| (listener.address, Entrance::Shared, acceptor));
    let later = config.pushed_tls.map(|address| {
        let acceptor = pushed.acceptor().map_err(StartError::Tls)?;
        Ok((address, Entrance::Shared, Some(acceptor)))
    });
    let later = later.transpose()?;
    let peers = config.peer_listener;
    let peers = peers.map(|address| (address, Entrance::Activators, None));
    plain
        .chain(encrypted)
        .chain(later)
        .chain(peers)
        .map(|(address, entrance, tls)| {
            let listeners = listen::bind(address, config.workers.get())
                .map_err(|source| StartError::Bind { address, source })?;
            Ok(Bound {
                listeners,
                entrance,
                tls,
            })
        })
        .collect()
}

fn spawn_workers(shared: &Arc<Shared>, mut bound: Vec<Bound>) -> io::Result<Workers> {
    let mut workers = Workers::new();
    for place in 0..shared.config.workers.get() {
        let mine: Vec<_> = bound
            .iter_mut()
            .filter_map(|bound| {
                Some(Door {
                    listener: bound.listeners.pop()?,
                    entrance: bound.entrance,
                    tls: bound.tls.clone(),
                    close: shared.end(bound.entrance).clone(),
                    open: None,
                })
            })
            .collect();
        let runtime = current_thread()?;
        let worker = Worker::new(Arc::clone(shared), place);
        let doors = {
            let _entered = runtime.enter();
            let doors = mine.into_iter().map(Door::watched);
            doors.collect::<io::Result<Vec<_>>>()?
        };
        workers.push((runtime.handle().clone(), Arc::clone(&worker)));
        thread::Builder::new()
            .name(format!("activator-{place}"))
            .spawn(move || runtime.block_on(worker.run(doors)))?;
    }
    Ok(workers)
}

/// The thread that talks to the autoscaler and to other activators, and the one that probes.
fn spawn_others(
    shared: &Arc<Shared>,
    ended: &CancellationToken,
    orders: mpsc::Receiver<ToActivator>,
) -> io::Result<()> {
    let claims = claims::run(Arc::clone(&shared.house));
    let control = control::run(Arc::clone(shared), orders);
    let talk = async { tokio::join!(control, claims) };
    spawn_until("activator-control", ended.clone(), talk)?;
    let house = Arc::clone(&shared.house);
    let probe = async move { house.prober.run().await };
    spawn_until("activator-probe", ended.clone(), probe)
}

fn spawn_until(
    name: &str,
    end: CancellationToken,
    work: impl Future + Send + 'static,
) -> io::Result<()> {
    let runtime = current_thread()?;
    let work = move || {
        runtime.block_on(end.run_until_cancelled(work));
    };
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn(work).map(drop)
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
    addresses: Vec<SocketAddr>,
    peer_address: Option<SocketAddr>,
    ports: Mutex<Ports>,
    /// Of [`Config::pushed_tls`].
    certificate: Certificate,
    ended: CancellationToken,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.begin_end();
        self.shared.drain.cancel();
        self.shared.drain_activators.cancel();
        self.shared.cut.cancel();
        self.shared.cut_late.cancel();
        self.shared.tasks.close();
        self.shared.activators.close();
        self.ended.cancel();
    }
}

impl ActivatorHandle {
    /// Replaces all routes. State of functions that stay is kept.
    #[allow(clippy::needless_pass_by_value)] // callers share snapshots, and need not keep theirs
    pub fn publish(&self, snapshot: Arc<RouteSnapshot>) {
        let shared = &self.inner.shared;
        let (registry, dialect) = (&shared.registry, &shared.config.dialect);
        let table = registry.publish(&snapshot, dialect, Instant::now());
        shared.routes.store(Arc::new(table));
    }

    /// Everything is known that requests need: from now on connections are served
    /// ([`Config::holds_until_ready`]), and the platform's questions about our health answered with
    /// yes ([`crate::Dialect::Knative`]), until a drain begins.
    pub fn say_ready(&self) {
        self.inner.shared.say_ready();
    }

    /// Where a back end publishes replicas. Waiting requests get them in the caller's thread.
    pub fn sink(&self) -> Arc<dyn EndpointSink> {
        Arc::clone(&self.inner.shared.registry) as Arc<dyn EndpointSink>
    }

    /// What a function has in flight and waiting; `None` when no route snapshot has it.
    pub fn load(&self, function: &FunctionId) -> Option<Load> {
        Some(self.inner.shared.registry.get(function)?.load())
    }

    /// Has every request for a Revision logged ([`crate::Dialect::Knative`]): `write` gets a line
    /// made by `template`, Go's, once the answer has ended.
    ///
    /// # Errors
    /// When the template is not understood; what was there before stays.
    pub fn log_requests(&self, template: &str, write: WriteLine) -> Result<(), TemplateError> {
        let log = RequestLog::new(template, write)?;
        self.inner.shared.set_request_log(Some(log));
        Ok(())
    }

    /// Ends what [`Self::log_requests`] began.
    pub fn log_no_requests(&self) {
        self.inner.shared.set_request_log(None);
    }

    /// Makes this the certificate of [`Config::pushed_tls`]: a chain, leaf first, and its key, both
    /// PEM. New handshakes get it; before the first one none succeeds.
    ///
    /// # Errors
    /// When they cannot be read, or not used together; what was there before stays.
    pub fn set_certificate(&self, chain: &[u8], key: &[u8]) -> Result<(), TlsError> {
        self.inner.certificate.set(chain, key)
    }

    /// Believes these authorities, PEM, and no others, about queue-proxies
    /// ([`crate::Knative::has_internal_tls`]; otherwise nothing is done). Connections that are open
    /// stay.
    ///
    /// # Errors
    /// When they cannot be read; what was there before stays.
    pub fn set_authorities(&self, authorities: &[u8]) -> Result<(), TlsError> {
        match &self.inner.shared.queue_tls {
            Some(tls) => tls.set_authorities(authorities),
            None => Ok(()),
        }
    }

    /// The addresses that are bound, in the order of [`Config::listeners`], then HTTPS.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.inner.addresses
    }

    /// Adds the metrics of this data plane to `registry`.
    pub fn register(&self, registry: &mut prometheus_client::registry::Registry) {
        metrics::register(&self.inner.shared, registry);
    }

    /// Where other activators reach this one; `None` without [`Config::peer_listener`].
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.inner.peer_address
    }

    /// Makes `ports` the ports that routes have for themselves (`Route.port`), on the address of
    /// the first of [`Config::listeners`]: opens and closes what differs, and says what became of
    /// those that were not open before; a port that failed is tried again by the next call. Open
    /// connections of a closed port go on. Returns once closed ports are free again, so not to be
    /// called from a thread that must not wait (a few ms).
    ///
    /// # Errors
    /// Per port, what the system says, such as that it is taken.
    pub fn listen_also(
        &self,
        ports: &BTreeSet<NonZeroU16>,
    ) -> Vec<(NonZeroU16, Result<(), io::Error>)> {
        self.inner.ports.lock().set(ports)
    }

    /// Says which other activators live, by the names that all use; this one is `me`. Of functions
    /// with a `concurrency_limit` each replica is then given work by one activator alone, and
    /// requests that arrive elsewhere make one hop to it. To be called before the first replicas
    /// are published, and at every change, with those gone that are about to end. An activator
    /// without [`Config::peer_listener`] must not be among anybody's peers.
    pub fn set_peers(&self, me: &str, peers: Vec<Peer>) {
        let now = Instant::now();
        if self.inner.shared.house.set_members(me, peers, now) {
            for function in self.inner.shared.registry.all() {
                function.reown(now);
            }
        }
    }

    /// Whether the end has begun: it is no longer ready, though it still serves.
    pub fn is_draining(&self) -> bool {
        self.inner.shared.is_draining()
    }

    /// Ends: no longer ready, but serving for [`Config::lame_duck`]; then accepts nothing new, lets
    /// open requests finish for `grace`, then cuts what is left, waiting requests with an answer.
    /// Called again with a shorter grace, the shorter one counts.
    pub async fn drain(&self, grace: Duration) {
        let shared = &self.inner.shared;
        shared.begin_end();
        let lame_duck = shared.config.lame_duck.min(grace);
        tokio::select! {
            () = tokio::time::sleep(lame_duck) => shared.drain.cancel(),
            () = shared.drain.cancelled() => {}
        }
        shared.tasks.close();
        shared.activators.close();
        let last = Instant::now() + grace;
        if tokio::time::timeout_at(last, self.finish()).await.is_err() {
            self.cut().await;
        }
        self.report_last(grace).await;
        self.inner.ended.cancel();
    }

    /// What was served in this second is reported with the others' at its end: otherwise there would seem to be less load than
    /// there is. Who ends at once does not wait for it, nor does who shares no seconds with others.
    async fn report_last(&self, grace: Duration) {
        let is_alone = matches!(self.inner.shared.config.seconds, Seconds::SinceStart);
        if grace >= LAST_SECOND && !is_alone {
            let reported = self.inner.shared.reported.notified();
            let ended = self.inner.ended.cancelled();
            tokio::select! {
                () = reported => {}
                // A shorter grace came meanwhile.
                () = ended => {}
                () = tokio::time::sleep(LAST_SECOND) => {}
            }
        }
    }

    /// Clients first, other activators last: they learn late that this one goes.
    async fn finish(&self) {
        let shared = &self.inner.shared;
        shared.tasks.wait().await;
        shared.drain_activators.cancel();
        shared.activators.wait().await;
    }

    async fn cut(&self) {
        let shared = &self.inner.shared;
        let now = Instant::now();
        for function in self.inner.shared.registry.all() {
            function.refuse_waiting(Cause::ShuttingDown, now);
        }
        shared.drain_activators.cancel();
        shared.cut.cancel();
        let left = tokio::time::timeout(LAST_WORDS, self.finish()).await;
        if left.is_err() {
            shared.cut_late.cancel();
            self.finish().await;
        }
    }
}
