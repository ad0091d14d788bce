//! A real PostgreSQL server as a child process: over TCP with and without TLS, and on a Unix socket.
//!
//! It refuses root: tests that run as root start it as the user `postgres`. It is filled and asked by `psql`.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, ensure};

use super::{Server, find};
use crate::broker::{Certificates, Unavailable};
use crate::free_address;
use crate::process::{self, Signal};
use crate::wait::until;

/// Its one database beside its own.
pub const DATABASE: &str = "jobs";
/// Who may ask by password.
pub const USER: &str = "zeron";
/// Who may ask by password over TLS alone.
pub const SECURE_USER: &str = "secure";
/// Who may ask by certificate over TLS alone.
pub const CERTIFIED_USER: &str = "client";
/// The password of [`USER`] and [`SECURE_USER`].
pub const PASSWORD: &str = "canary-postgresql";

const ACCESS: &str = "\
local all all trust
hostssl all client 127.0.0.1/32 cert
hostssl all secure 127.0.0.1/32 scram-sha-256
hostnossl all secure 127.0.0.1/32 reject
host all all 127.0.0.1/32 scram-sha-256
";

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    programs: PathBuf,
    certificates: Certificates,
}

impl Postgres {
    /// Starts a server with an empty database.
    ///
    /// # Errors
    /// [`Unavailable::Skip`] where it is not installed, or nobody else than root may run it.
    pub fn start() -> Result<Self, Unavailable> {
        // What is on the `PATH` may be a link to where the others are.
        let program = find("postgres", &folders())?;
        let program =
            fs::canonicalize(program).map_err(|error| Unavailable::Failed(error.into()))?;
        let programs = program.parent().unwrap_or(Path::new("/")).to_owned();
        let user = other_user()?;
        let (folder, address) = (Server::folder(), free_address());
        let certificates = prepare(&folder, &programs, user).map_err(Unavailable::Failed)?;
        let ready = programs.join("pg_isready");
        let is_ready = || {
            let mut command = Command::new(&ready);
            command.args(["-q", "-h", "127.0.0.1", "-p", &address.port().to_string()]);
            command.status().is_ok_and(|it| it.success())
        };
        let server = Server::start(
            &folder,
            address,
            command(&folder, address, &program, user),
            is_ready,
        );
        let postgres = Self {
            server,
            programs,
            certificates,
        };
        postgres.set_up();
        Ok(postgres)
    }

    /// The server that the tests of one process share; it ends with the process.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub fn shared() -> Result<&'static Self, &'static Unavailable> {
        static SHARED: OnceLock<Result<Postgres, Unavailable>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    fn set_up(&self) {
        let role = |name, password| format!("CREATE ROLE {name} LOGIN {password};");
        let secret = format!("PASSWORD '{PASSWORD}'");
        self.ask_in("postgres", &format!("CREATE DATABASE {DATABASE}"));
        self.ask(
            &[
                role(USER, secret.as_str()),
                role(SECURE_USER, secret.as_str()),
                role(CERTIFIED_USER, ""),
                "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC".to_owned(),
            ]
            .join("\n"),
        );
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The folder of its Unix socket.
    pub fn socket_folder(&self) -> PathBuf {
        socket_folder(self.server.path())
    }

    /// Who signed its certificate, and a certificate for [`CERTIFIED_USER`].
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Runs statements in [`DATABASE`] as its owner, and gives what they print.
    ///
    /// # Panics
    /// When one fails.
    pub fn ask(&self, statements: &str) -> String {
        self.ask_in(DATABASE, statements)
    }

    fn ask_in(&self, database: &str, statements: &str) -> String {
        let mut command = Command::new(self.programs.join("psql"));
        command
            .args(["-U", "admin", "-p", &self.address().port().to_string()])
            .arg("-h")
            .arg(self.socket_folder());
        run_statements(command, database, statements)
    }

    /// The same as [`USER`] through a pooler at `address`.
    ///
    /// # Panics
    /// When one fails.
    pub fn ask_through(&self, address: SocketAddr, statements: &str) -> String {
        let mut command = Command::new(self.programs.join("psql"));
        command
            .env("PGPASSWORD", PASSWORD)
            .args(["-U", USER, "-h", &address.ip().to_string()])
            .args(["-p", &address.port().to_string()]);
        run_statements(command, DATABASE, statements)
    }

    /// Ends it at once, as a power failure would.
    pub fn kill(&mut self) {
        let children = self.children();
        self.server.kill();
        // Each notices by itself; a new server waits for none.
        until("the processes of the server to end", || {
            let is_over = children.iter().all(|child| !process::is_alive(*child));
            is_over.then_some(())
        });
    }

    /// Runs it again after [`Postgres::kill`].
    pub fn run(&mut self) {
        let (ready, port) = (self.programs.join("pg_isready"), self.address().port());
        self.server.run(|| {
            let mut command = Command::new(&ready);
            command.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
            command.status().is_ok_and(|it| it.success())
        });
    }

    /// Freezes it with all its processes: connections stay open, nothing answers.
    pub fn freeze(&mut self) {
        self.server.freeze();
        for child in self.children() {
            process::signal(child, Signal::STOP);
        }
    }

    /// Lets a frozen one go on.
    pub fn thaw(&mut self) {
        for child in self.children() {
            process::signal(child, Signal::CONT);
        }
        self.server.thaw();
    }

    fn children(&self) -> Vec<u32> {
        let file = self.server.path().join("data/postmaster.pid");
        let text = fs::read_to_string(file).unwrap_or_default();
        let pid = text.lines().next().and_then(|it| it.trim().parse().ok());
        pid.map(process::descendants).unwrap_or_default()
    }
}

impl Drop for Postgres {
    /// Processes that stand still would not notice that their server is gone.
    fn drop(&mut self) {
        for child in self.children() {
            process::signal(child, Signal::CONT);
        }
    }
}

/// Runs statements by `psql`, which is told where and as whom.
fn run_statements(mut psql: Command, database: &str, statements: &str) -> String {
    let output = psql
        .args(["-X", "-q", "-A", "-t", "-d", database])
        .args(["-v", "ON_ERROR_STOP=1", "-c", statements])
        .output()
        .expect("psql runs");
    assert!(output.status.success(), "{statements}: {output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Debian has the programs of each version in a folder of its own.
fn folders() -> Vec<&'static str> {
    static FOLDERS: OnceLock<Vec<String>> = OnceLock::new();
    let find = || {
        let versions = fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .flatten();
        let folders = versions.map(|it| it.path().join("bin").display().to_string());
        let mut folders: Vec<_> = folders.collect();
        folders.sort();
        folders
    };
    FOLDERS
        .get_or_init(find)
        .iter()
        .map(String::as_str)
        .collect()
}

/// Who runs the server, where that must be somebody else.
pub(super) fn other_user() -> Result<Option<&'static str>, Unavailable> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    find("setpriv", &["/usr/bin"])?;
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    if users.lines().any(|line| line.starts_with("postgres:")) {
        return Ok(Some("postgres"));
    }
    let reason = "PostgreSQL refuses root, and there is no user postgres";
    Err(Unavailable::Skip(reason.to_owned()))
}

/// The words that run something as `user`.
fn as_user(user: Option<&str>) -> Vec<String> {
    let Some(user) = user else {
        return Vec::new();
    };
    let ids = [format!("--reuid={user}"), format!("--regid={user}")];
    let words = ["setpriv".to_owned()].into_iter().chain(ids);
    words
        .chain(["--clear-groups".to_owned(), "--".to_owned()])
        .collect()
}

fn socket_folder(folder: &Path) -> PathBuf {
    folder.join("socket")
}

fn prepare(folder: &Path, programs: &Path, user: Option<&str>) -> anyhow::Result<Certificates> {
    let certificates = Certificates::make(folder)?;
    let (data, socket) = (folder.join("data"), socket_folder(folder));
    for made in [&data, &socket] {
        fs::create_dir(made)?;
    }
    run(&["chmod", "0700"], &[&data])?;
    if let Some(user) = user {
        run(&["chown", user], &[&data, &socket])?;
    }
    let mut words = as_user(user);
    words.extend([
        programs.join("initdb").display().to_string(),
        "--username=admin".to_owned(),
        "--encoding=UTF8".to_owned(),
        "--locale=C".to_owned(),
        "--auth=trust".to_owned(),
        "--no-sync".to_owned(),
        "--pgdata".to_owned(),
    ]);
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    run(&words, &[&data])?;
    fs::write(data.join("pg_hba.conf"), ACCESS)?;
    // Its key must be its own.
    let pem = data.join("server.pem");
    fs::copy(folder.join("broker.pem"), &pem)?;
    run(&["chmod", "0600"], &[&pem])?;
    if let Some(user) = user {
        run(&["chown", user], &[&pem])?;
    }
    Ok(certificates)
}

fn run(words: &[&str], paths: &[&Path]) -> anyhow::Result<()> {
    let (program, arguments) = words.split_first().context("no program")?;
    let mut command = Command::new(program);
    let output = command
        .args(arguments)
        .args(paths)
        .current_dir("/")
        .output()?;
    ensure!(output.status.success(), "{words:?}: {output:?}");
    Ok(())
}

fn command(folder: &Path, address: SocketAddr, program: &Path, user: Option<&str>) -> Vec<String> {
    let mut words = as_user(user);
    let data = folder.join("data").display().to_string();
    words.extend([program.display().to_string(), "-D".to_owned(), data]);
    for (name, value) in [
        ("listen_addresses", "127.0.0.1".to_owned()),
        ("port", address.port().to_string()),
        (
            "unix_socket_directories",
            socket_folder(folder).display().to_string(),
        ),
        ("ssl", "on".to_owned()),
        ("ssl_cert_file", "server.pem".to_owned()),
        ("ssl_key_file", "server.pem".to_owned()),
        ("ssl_ca_file", folder.join("ca.pem").display().to_string()),
        ("max_connections", "60".to_owned()),
        ("shared_buffers", "16MB".to_owned()),
        ("fsync", "off".to_owned()),
    ] {
        words.extend(["-c".to_owned(), format!("{name}={value}")]);
    }
    words
}
