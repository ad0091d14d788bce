//! What the back end is told at its start, and why it may refuse to start.

use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use crate::open_files::OpenFiles;

/// How replicas are run on this machine.
#[derive(Clone, Debug)]
pub struct ProcessConfig {
    /// Where state lives; logs go to `logs/` below it.
    pub state_dir: PathBuf,
    /// Address at which replicas are reached.
    pub bind_ip: IpAddr,
    /// How the keeper is started: a program that calls [`keeper_main`](crate::keeper_main).
    pub keeper: KeeperCommand,
    /// Folders put in front of the replicas' `PATH`.
    pub path_prefix: Vec<PathBuf>,
    /// How much of what replicas write is kept.
    pub logs: LogLimits,
    /// What relative working directories are relative to, and where replicas without one start.
    pub base_dir: PathBuf,
    /// Most replicas of all functions together; more stay pending.
    pub max_replicas: usize,
    /// How long the keeper waits between SIGTERM and SIGKILL once we are gone.
    pub orphan_grace: Duration,
    /// The limit of open files that replicas get, where it is not ours.
    pub open_files: Option<OpenFiles>,
}

impl ProcessConfig {
    /// The defaults round what has none: loopback, no more replicas than the limit of open files
    /// allows (each costs up to four descriptors here, and half of them are left to connections).
    pub fn new(state_dir: PathBuf, base_dir: PathBuf, keeper: KeeperCommand) -> Self {
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let max_replicas = files.map_or(4096, |files| usize::try_from(files / 8).unwrap_or(4096));
        Self {
            state_dir,
            bind_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            keeper,
            path_prefix: Vec::new(),
            logs: LogLimits::default(),
            base_dir,
            max_replicas: max_replicas.clamp(16, 4096),
            orphan_grace: Duration::from_secs(2),
            open_files: None,
        }
    }
}

/// The program that outlives a killed back end and ends its replicas.
#[derive(Clone, Debug)]
pub struct KeeperCommand {
    /// Program, usually the running one.
    pub program: PathBuf,
    /// Arguments that make it call [`keeper_main`](crate::keeper_main).
    pub args: Vec<OsString>,
}

/// How much of what replicas write is kept.
#[derive(Clone, Copy, Debug)]
pub struct LogLimits {
    /// A file is rotated before it grows beyond so many bytes.
    pub max_bytes: u64,
    /// Rotated files kept per replica, beside the one that is written.
    pub kept_files: u32,
    /// Replicas whose logs are kept per function after they ended.
    pub kept_replicas: usize,
    /// Functions whose logs are kept after they were removed.
    pub kept_functions: usize,
}

impl Default for LogLimits {
    /// 10 MiB per file (the kubelet's default), 2 rotated files, 10 ended replicas, 200 functions.
    fn default() -> Self {
        Self {
            max_bytes: 10 << 20,
            kept_files: 2,
            kept_replicas: 10,
            kept_functions: 200,
        }
    }
}

/// Why the back end did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The log folder cannot be made.
    #[error("cannot make the log folder {}", path.display())]
    Logs {
        /// The folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The keeper cannot be started.
    #[error("cannot start the keeper {}", program.display())]
    Keeper {
        /// Its program.
        program: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Threads, descriptors or random bytes are not to be had.
    #[error("the system refused what the process back end needs")]
    System(#[from] io::Error),
}
