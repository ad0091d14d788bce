//! The back end as the rest of the program knows it.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::sync::oneshot;
use tracing::warn;
use zeron_core::usage::UsageMeter;
use zeron_core::{Backend, EndpointId, EndpointSink, Function, FunctionId};

use crate::clock::Now;
use crate::config::{ProcessConfig, StartError};
use crate::fleet::Fleet;
use crate::inbox::Inbox;
use crate::keeper::Keeper;
use crate::launch::Surroundings;
use crate::limits::Cgroups;
use crate::logs::{Hooks, LogEvent, LogInbox, LogThread, function_dir, list};
use crate::metrics::Metrics;
use crate::ports::Ports;
use crate::shared::{Orders, Shared};
use crate::spawner;
use crate::status::ReplicaStatus;
use crate::supervisor::{Event, Supervisor};
use crate::usage::ProcessMeter;

/// Threads that start processes: so many starts may wait for the disk before others wait for them.
const SPAWNERS: usize = 2;
/// Replicas that may wait for their limits before spawners wait.
const LIMIT_QUEUE: usize = 1024;

/// Runs replicas as child processes of this one.
///
/// Dropping it kills all replicas; [`shutdown`](Self::shutdown) lets them end.
pub struct ProcessBackend {
    shared: Arc<Shared>,
}

impl fmt::Debug for ProcessBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessBackend")
            .field("log_root", &self.shared.log_root)
            .finish_non_exhaustive()
    }
}

impl ProcessBackend {
    /// Starts the keeper and the threads; needs no runtime.
    ///
    /// # Errors
    /// [`StartError`] when the log folder, the keeper or the threads cannot be made.
    pub fn start(config: ProcessConfig) -> Result<Arc<Self>, StartError> {
        let log_root = config.state_dir.join("logs");
        fs::create_dir_all(&log_root).map_err(|source| StartError::Logs {
            path: log_root.clone(),
            source,
        })?;
        let (token, seed) = random()?;
        let (keeper, watch) = Keeper::start(config.keeper.clone(), &token, config.orphan_grace)?;

        let (limits, limit_orders) = sync_channel(LIMIT_QUEUE);
        let shared = Arc::new(Shared {
            surroundings: Surroundings::new(&config, token.clone()),
            fleet: Mutex::new(Fleet::new(config.max_replicas)),
            ports: Mutex::new(Ports::new(config.bind_ip, seed)),
            orders: Orders::default(),
            supervisor: Inbox::new()?,
            logs: Arc::new(LogInbox::new()?),
            limits: Mutex::new(Some(limits)),
            keeper,
            cgroups: Cgroups::new(&token),
            metrics: Arc::new(Metrics::new()),
            log_root,
            token,
            config,
        });
        let supervisor = Supervisor::new(Arc::clone(&shared), watch)?;
        let logs = log_thread(&shared);
        spawn("zeron-logs", move || logs.run())?;
        let own = Arc::clone(&shared);
        spawn("zeron-limits", move || {
            spawner::run_limits(&own, &limit_orders)
        })?;
        for _ in 0..SPAWNERS {
            let own = Arc::clone(&shared);
            spawn("zeron-spawn", move || spawner::run(&own))?;
        }
        spawn("zeron-replicas", move || supervisor.run())?;
        Ok(Arc::new(Self { shared }))
    }

    /// The replicas of a function, oldest first, those that are stopping included.
    pub fn replicas(&self, function: &FunctionId) -> Vec<ReplicaStatus> {
        let fleet = self.shared.fleet.lock();
        let Some(entry) = fleet.entry(function) else {
            return Vec::new();
        };
        let status = |replica: &crate::fleet::Replica| ReplicaStatus {
            id: replica.id,
            name: self.shared.replica_name(function, replica.id),
            state: replica.phase.into(),
            pid: replica.process.map(|process| process.pid),
            address: replica.process.and_then(|process| process.address),
            started_at: replica.process.map(|process| process.started_at),
            ready_at: replica.ready_at.map(|(_, at)| at),
            log_path: self.shared.log_path(function, replica.id),
            enforced: replica.enforced,
        };
        entry.replicas.iter().map(status).collect()
    }

    /// Measures what replicas use of processor and memory. Needs a runtime to be asked.
    pub fn meter(&self) -> Arc<dyn UsageMeter> {
        Arc::new(ProcessMeter::new(Arc::clone(&self.shared)))
    }

    /// How many replicas of a function failed in a row, 0 while it is healthy.
    pub fn failures(&self, function: &FunctionId) -> u32 {
        let fleet = self.shared.fleet.lock();
        fleet.entry(function).map_or(0, |entry| entry.failures())
    }

    /// The log files of a function's replicas, the oldest first: rotated ones and those of ended
    /// replicas too. [`LogLine`](crate::LogLine) takes their lines apart. Reads a folder.
    pub fn log_paths(&self, function: &FunctionId) -> Vec<PathBuf> {
        list(&function_dir(&self.shared.log_root, function))
    }

    /// The folder of a function's logs; it is made when a replica first writes something.
    pub fn log_dir(&self, function: &FunctionId) -> PathBuf {
        function_dir(&self.shared.log_root, function)
    }

    /// Stops all replicas: SIGTERM, after `grace` SIGKILL. Returns when they and the keeper are
    /// gone. A second call with a shorter grace hurries the first.
    pub async fn shutdown(&self, grace: Duration) {
        let (done, wait) = oneshot::channel();
        self.shared.supervisor.push(Event::Stop {
            grace,
            done: Some(done),
        });
        // An error: it had ended already.
        wait.await.ok();
    }

    /// Adds what is counted here to `registry`, prefixed with `zeron_process`.
    pub fn register(&self, registry: &mut Registry) {
        self.shared.metrics.register(registry);
    }
}

impl Backend for ProcessBackend {
    fn apply(&self, function: Arc<Function>) {
        let effects = self.shared.fleet.lock().apply(function, Now::read());
        self.shared.carry_out(effects);
    }

    fn remove(&self, function: &FunctionId) {
        let effects = self.shared.fleet.lock().remove(function, Now::read());
        self.shared.carry_out(effects);
        self.shared.logs.push(LogEvent::Removed);
    }

    fn scale(&self, function: &FunctionId, replicas: u32, victims: &[EndpointId]) {
        let now = Now::read();
        let effects = self
            .shared
            .fleet
            .lock()
            .scale(function, replicas, victims, now);
        match effects {
            Some(effects) => self.shared.carry_out(effects),
            None => warn!(%function, "asked to scale an unknown function"),
        }
    }

    fn subscribe(&self, sink: Arc<dyn EndpointSink>) {
        self.shared.supervisor.push(Event::Subscribe(sink));
    }
}

impl Drop for ProcessBackend {
    fn drop(&mut self) {
        self.shared.supervisor.push(Event::Stop {
            grace: Duration::ZERO,
            done: None,
        });
    }
}

fn log_thread(shared: &Arc<Shared>) -> LogThread {
    let (reader, lister) = (Arc::clone(shared), Arc::clone(shared));
    let hooks = Hooks {
        on_finished: Box::new(move |replica| reader.supervisor.push(Event::OutputRead(replica))),
        functions: Box::new(move || lister.fleet.lock().functions().cloned().collect()),
    };
    LogThread::new(
        shared.log_root.clone(),
        shared.config.logs,
        Arc::clone(&shared.logs),
        Arc::clone(&shared.metrics),
        hooks,
    )
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    let run = move || {
        let guard = AbortOnPanic;
        run();
        std::mem::forget(guard);
    };
    thread::Builder::new().name(name.to_owned()).spawn(run)?;
    Ok(())
}

/// Without one of its threads the back end would hang in silence: better it ends, the keeper
/// ends the replicas, and whoever supervises us starts anew.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        std::process::abort();
    }
}

/// A token that nobody else has, and a number to begin a search with.
fn random() -> std::io::Result<(String, u64)> {
    let mut bytes = [0u8; 16];
    std::io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut bytes)?;
    let number = u128::from_ne_bytes(bytes);
    let low = u64::try_from(number & u128::from(u64::MAX)).unwrap_or_default();
    Ok((format!("{number:032x}"), low))
}
