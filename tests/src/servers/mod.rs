//! Real servers of event sources as child processes, each in a folder and on ports of its own.
//!
//! One file per server. Where a program is not installed, [`find`] says why: a test passes that to
//! [`crate::broker::skip`] and returns.

pub mod api;
pub mod mariadb;
pub mod nats;
pub mod nginx;
pub mod pgbouncer;
pub mod postgresql;
pub mod prometheus;
pub mod proxy;
pub mod rabbitmq;
pub mod redis;
pub mod triggers;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::broker::Unavailable;
use crate::keeper::{self, Keeper, Signal};
use crate::wait::within;

/// Longest time from start to the first answer, on a machine with much else to do.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A running server. It is killed, and its folder removed, when this is dropped or the process dies.
#[derive(Debug)]
pub struct Server {
    keeper: Keeper,
    folder: PathBuf,
    address: SocketAddr,
}

impl Server {
    /// A fresh folder for a server's settings and data; [`Server::start`] takes it over.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn folder() -> PathBuf {
        keeper::new_folder().expect("a folder can be made")
    }

    /// Runs `command` and waits until `is_ready`. Its output goes to `server.log` in `folder`.
    ///
    /// # Panics
    /// With the end of its log when it does not get ready.
    pub fn start(
        folder: &Path,
        address: SocketAddr,
        command: impl IntoIterator<Item = impl Into<OsString>>,
        is_ready: impl FnMut() -> bool,
    ) -> Self {
        let command: Vec<OsString> = command.into_iter().map(Into::into).collect();
        let keeper = Keeper::start(folder, &command).expect("a shell runs");
        let mut server = Self {
            keeper,
            folder: folder.to_owned(),
            address,
        };
        server.run(is_ready);
        server
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Ends it at once, as a power failure would.
    ///
    /// # Panics
    /// When it is gone already.
    pub fn kill(&mut self) {
        self.keeper.signal(Signal::Kill).expect("it runs");
        self.keeper.wait().expect("it was ended");
    }

    /// Freezes it: connections stay open, nothing answers.
    ///
    /// # Panics
    /// When it is gone.
    pub fn freeze(&mut self) {
        self.keeper.signal(Signal::Stop).expect("it runs");
    }

    /// Lets a frozen one go on.
    ///
    /// # Panics
    /// When it is gone.
    pub fn thaw(&mut self) {
        self.keeper.signal(Signal::Continue).expect("it runs");
    }

    /// Runs it, as [`Server::start`] did, after [`Server::kill`]; its folder is as it was.
    ///
    /// # Panics
    /// With the end of its log when it does not get ready.
    pub fn run(&mut self, mut is_ready: impl FnMut() -> bool) {
        self.keeper.run().expect("the keeper runs");
        let what = format!("{} to be ready: {}", self.address, self.folder.display());
        within(READY_WITHIN, &what, || is_ready().then_some(()));
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        self.keeper.log_tail()
    }
}

/// Whether somebody accepts connections there.
pub fn accepts(address: SocketAddr) -> bool {
    std::net::TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_ok()
}

/// Where a program is: on the `PATH`, or in one of `folders`.
///
/// # Errors
/// [`Unavailable::Skip`] where it is not installed.
pub fn find(program: &str, folders: &[&str]) -> Result<PathBuf, Unavailable> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path);
    let elsewhere = folders.iter().map(PathBuf::from);
    on_path
        .chain(elsewhere)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .ok_or_else(|| Unavailable::Skip(format!("{program} is not installed")))
}
