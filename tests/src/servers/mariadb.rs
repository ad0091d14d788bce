//! A real MariaDB server as a child process: over TCP with and without TLS.
//!
//! It is filled and asked by `mariadb`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::ensure;

use super::{Server, accepts, find};
use crate::broker::{Certificates, Unavailable};
use crate::free_address;

/// Its one database beside its own.
pub const DATABASE: &str = "jobs";
/// Who may ask by password.
pub const USER: &str = "zeron";
/// Who may ask by password over TLS alone.
pub const SECURE_USER: &str = "secure";
/// Who may ask by password and certificate.
pub const CERTIFIED_USER: &str = "certified";
/// Their password.
pub const PASSWORD: &str = "canary-mariadb";

/// Where the programs are beside the `PATH`.
const FOLDERS: [&str; 2] = ["/usr/sbin", "/usr/bin"];

/// A running server.
#[derive(Debug)]
pub struct Mariadb {
    server: Server,
    client: PathBuf,
    certificates: Certificates,
}

impl Mariadb {
    /// Starts a server with an empty database.
    ///
    /// # Errors
    /// [`Unavailable::Skip`] where it is not installed.
    pub fn start() -> Result<Self, Unavailable> {
        let program = find("mariadbd", &FOLDERS)?;
        let client = find("mariadb", &FOLDERS)?;
        let install = find("mariadb-install-db", &FOLDERS)?;
        let (folder, address) = (Server::folder(), free_address());
        let certificates = prepare(&folder, &install).map_err(Unavailable::Failed)?;
        let words = command(&folder, address, &program);
        let server = Server::start(&folder, address, words, || accepts(address));
        let mariadb = Self {
            server,
            client,
            certificates,
        };
        mariadb.ask_in("mysql", &set_up());
        Ok(mariadb)
    }

    /// The server that the tests of one process share; it ends with the process.
    ///
    /// # Errors
    /// As [`Mariadb::start`].
    pub fn shared() -> Result<&'static Self, &'static Unavailable> {
        static SHARED: OnceLock<Result<Mariadb, Unavailable>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Its Unix socket.
    pub fn socket(&self) -> PathBuf {
        socket(self.server.path())
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
        let output = Command::new(&self.client)
            .args([
                "--no-defaults",
                "--user=root",
                "--batch",
                "--skip-column-names",
            ])
            .arg(format!("--socket={}", self.socket().display()))
            .args(["-e", statements, database])
            .output()
            .expect("mariadb runs");
        assert!(output.status.success(), "{statements}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Ends it at once, as a power failure would.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Runs it again after [`Mariadb::kill`].
    pub fn run(&mut self) {
        let address = self.address();
        self.server.run(|| accepts(address));
    }

    /// Freezes it: connections stay open, nothing answers.
    pub fn freeze(&mut self) {
        self.server.freeze();
    }

    /// Lets a frozen one go on.
    pub fn thaw(&mut self) {
        self.server.thaw();
    }
}

fn set_up() -> String {
    let user = |name, needs| {
        format!(
            "CREATE USER {name}@'%' IDENTIFIED BY '{PASSWORD}' {needs}; \
             GRANT SELECT ON {DATABASE}.* TO {name}@'%'; "
        )
    };
    [
        format!("CREATE DATABASE {DATABASE}; "),
        user(USER, ""),
        user(SECURE_USER, "REQUIRE SSL"),
        user(CERTIFIED_USER, "REQUIRE X509"),
    ]
    .concat()
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("mariadb.sock")
}

/// It refuses root unless it is told.
fn as_root() -> Option<&'static str> {
    rustix::process::geteuid()
        .is_root()
        .then_some("--user=root")
}

/// Servers beside each other would take each other's temporary files away.
fn temporary(folder: &Path) -> String {
    format!("--tmpdir={}", folder.join("tmp").display())
}

fn prepare(folder: &Path, install: &Path) -> anyhow::Result<Certificates> {
    std::fs::create_dir(folder.join("tmp"))?;
    let output = Command::new(install)
        .args(["--no-defaults", "--skip-test-db"])
        .arg("--auth-root-authentication-method=normal")
        .arg(format!("--datadir={}", folder.join("data").display()))
        .arg(temporary(folder))
        .args(as_root())
        .current_dir("/")
        .output()?;
    ensure!(output.status.success(), "mariadb-install-db: {output:?}");
    Certificates::make(folder)
}

fn command(folder: &Path, address: SocketAddr, program: &Path) -> Vec<String> {
    let at = |name: &str| folder.join(name).display().to_string();
    let mut words = vec![
        program.display().to_string(),
        "--no-defaults".to_owned(),
        format!("--datadir={}", at("data")),
        format!("--socket={}", socket(folder).display()),
        format!("--pid-file={}", at("mariadb.pid")),
        temporary(folder),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--port={}", address.port()),
        format!("--ssl-ca={}", at("ca.pem")),
        format!("--ssl-cert={}", at("broker.pem")),
        format!("--ssl-key={}", at("broker.pem")),
        "--skip-name-resolve".to_owned(),
        "--innodb-buffer-pool-size=16M".to_owned(),
        "--innodb-flush-log-at-trx-commit=2".to_owned(),
    ];
    words.extend(as_root().map(str::to_owned));
    words
}
