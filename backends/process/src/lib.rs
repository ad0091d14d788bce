//! Replicas are child processes of this machine.
//!
//! Modules in the order in which a start meets them: `backend` takes the wish, `fleet` decides,
//! `spawner` starts (`launch`, `ports`), `supervisor` follows (`probe`, `limits`), `logs` keeps the
//! output, `usage` measures, `keeper` ends what outlives us. A wish crosses one thread border to the start of the
//! process, and one from there to the probes; readiness is published from the probing thread.

mod backend;
mod clock;
mod config;
mod exit;
mod expand;
mod fleet;
mod inbox;
mod keeper;
mod launch;
mod limits;
mod logs;
mod metrics;
mod open_files;
mod poller;
mod ports;
mod probe;
mod shared;
mod spawner;
mod status;
mod supervisor;
mod timers;
mod usage;

pub use backend::ProcessBackend;
pub use config::{KeeperCommand, LogLimits, ProcessConfig, StartError};
pub use keeper::keeper_main;
pub use limits::{Enforced, Enforcement};
pub use logs::{LogLine, Stream};
pub use open_files::OpenFiles;
pub use status::{ReplicaState, ReplicaStatus};
