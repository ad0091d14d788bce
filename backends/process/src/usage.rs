//! What replicas use: processor time and resident memory of their processes, from /proc.
//!
//! A look at all processes is made when somebody asks (`stat`); processes are sorted by replica
//! (`tree`), and two looks at a replica make a rate (`measured`).

mod measured;
mod stat;
mod tree;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use zeron_core::metric::{Unknown, UnknownKind};
use zeron_core::roles::BoxFuture;
use zeron_core::usage::{ContainerRequest, ContainerUsage, ReplicaUsage, Usage, UsageMeter, Used};
use zeron_core::{EndpointId, FunctionId};

use crate::clock::Now;
use crate::fleet::{Phase, Replica};
use crate::shared::Shared;
use measured::Measured;
use stat::Stat;
use tree::{Tree, trees};

/// A look takes milliseconds where there are many processes: whoever asks so soon after another
/// gets the same.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Measures the replicas of one back end.
#[derive(Clone)]
pub(crate) struct ProcessMeter(Arc<Meter>);

struct Meter {
    shared: Arc<Shared>,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    look: Option<Look>,
    /// Of replicas that exist.
    known: HashMap<EndpointId, Measured>,
}

/// All processes at one moment.
struct Look {
    at: Now,
    processes: Vec<Stat>,
}

impl fmt::Debug for ProcessMeter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessMeter").finish_non_exhaustive()
    }
}

impl ProcessMeter {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self(Arc::new(Meter {
            shared,
            memory: Mutex::default(),
        }))
    }
}

impl UsageMeter for ProcessMeter {
    fn usage<'a>(
        &'a self,
        functions: &'a BTreeSet<FunctionId>,
    ) -> BoxFuture<'a, Result<Usage, Unknown>> {
        let (meter, functions) = (Arc::clone(&self.0), functions.clone());
        Box::pin(async move {
            // Files of /proc are made while they are read: not on a thread that others wait for.
            let read = tokio::task::spawn_blocking(move || meter.read(&functions));
            let read = read.await.map_err(io::Error::other);
            read.flatten().map_err(|error| Unknown {
                kind: UnknownKind::Transport,
                message: format!("cannot read /proc: {error}"),
            })
        })
    }
}

/// A replica with its process, while that runs.
struct Found {
    id: EndpointId,
    pid: Option<u32>,
    usage: ReplicaUsage,
}

impl Meter {
    fn read(&self, functions: &BTreeSet<FunctionId>) -> io::Result<Usage> {
        let mut memory = self.memory.lock();
        memory.look()?;
        let found: Vec<(&FunctionId, Vec<Found>)> =
            functions.iter().map(|id| (id, self.replicas(id))).collect();
        {
            let fleet = self.shared.fleet.lock();
            memory.known.retain(|id, _| fleet.has(*id));
        }
        let pids = found
            .iter()
            .flat_map(|(_, all)| all.iter().filter_map(|it| it.pid));
        let mut now = memory.trees(&pids.collect());
        let mut replicas = BTreeMap::new();
        for (id, all) in found {
            let measure = |it: Found| {
                let tree = it.pid.and_then(|pid| now.remove(&pid));
                let used = memory.used(it.id, tree, id);
                ReplicaUsage { used, ..it.usage }
            };
            replicas.insert(id.clone(), all.into_iter().map(measure).collect());
        }
        let now = Now::read().timestamp;
        Ok(Usage {
            now,
            replicas,
            ..Usage::default()
        })
    }

    /// The replicas of a function that did not end, not measured yet.
    fn replicas(&self, id: &FunctionId) -> Vec<Found> {
        let fleet = self.shared.fleet.lock();
        let Some(entry) = fleet.entry(id) else {
            return Vec::new();
        };
        let amounts = entry.function.workload.requests;
        // One container of a pod runs here, and its name is not known.
        let request = ContainerRequest {
            container: id.name().into(),
            cpu_millis: amounts.cpu_millis,
            memory_bytes: amounts.memory_bytes,
        };
        let requests: Arc<[ContainerRequest]> = [request].into();
        let found = |replica: &Replica| {
            let started = replica.process.map(|it| it.started_at).unwrap_or_default();
            Found {
                id: replica.id,
                pid: replica.process.map(|it| it.pid),
                usage: ReplicaUsage {
                    name: self.shared.replica_name(id, replica.id).into(),
                    requests: Arc::clone(&requests),
                    is_started: replica.process.is_some(),
                    is_ready: replica.is_ready(),
                    is_draining: replica.phase == Phase::Draining,
                    started,
                    ready_changed: replica.ready_changed.unwrap_or(started),
                    used: None,
                },
            }
        };
        let runs = |replica: &&Replica| replica.phase != Phase::Exited;
        entry.replicas.iter().filter(runs).map(found).collect()
    }
}

impl Memory {
    /// Sees that there is a look that is new enough.
    fn look(&mut self) -> io::Result<()> {
        let at = Now::read();
        let is_new = |look: &Look| at.instant.duration_since(look.at.instant) < LOOK_AGAIN;
        if !self.look.as_ref().is_some_and(is_new) {
            let processes = stat::all()?;
            self.look = Some(Look { at, processes });
        }
        Ok(())
    }

    fn trees(&self, leaders: &HashSet<u32>) -> HashMap<u32, Tree> {
        let look = self.look.as_ref();
        look.map_or_else(HashMap::new, |look| trees(leaders, &look.processes))
    }

    /// What a replica uses, `tree` being its processes; `None` where they were not seen.
    fn used(&mut self, id: EndpointId, tree: Option<Tree>, function: &FunctionId) -> Option<Used> {
        let (at, tree) = (self.look.as_ref()?.at, tree?);
        let ticks = rustix::param::clock_ticks_per_second();
        match self.known.get_mut(&id) {
            Some(known) => known.follow(tree, at, ticks),
            None => {
                self.known.insert(id, Measured::new(tree, at));
            }
        }
        let known = self.known.get(&id)?;
        let page = rustix::param::page_size() as f64;
        Some(Used {
            containers: vec![ContainerUsage {
                name: function.name().into(),
                cpu_millis: known.rate().map(|rate| rate.millis),
                memory_bytes: Some(known.resident() as f64 * page),
            }],
            at: known.at().timestamp,
            window: known.rate().map_or(Duration::ZERO, |rate| rate.window),
        })
    }
}
