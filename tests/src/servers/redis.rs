//! Real Redis servers as child processes: single ones, masters with a sentinel, clusters.
//!
//! They are filled and asked by `redis-cli`.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Server, find};
use crate::broker::{Certificates, Unavailable};
use crate::free_address;
use crate::wait::until;

/// The name of the master at its sentinels.
pub const MASTER: &str = "mymaster";

/// A server that says nothing for so long is frozen.
const SILENCE: Duration = Duration::from_millis(200);

/// What a server is started with beside its port.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Settings in the words of `redis.conf`, by turns name and value.
    pub settings: Vec<String>,
    /// Whether it speaks TLS on a further port.
    pub is_secure: bool,
    /// Whether it asks clients for a certificate there.
    pub is_mutual: bool,
}

impl Options {
    /// With these settings.
    pub fn with(settings: &[(&str, &str)]) -> Self {
        let words = settings
            .iter()
            .flat_map(|(name, value)| [format!("--{name}"), (*value).to_owned()]);
        Self {
            settings: words.collect(),
            ..Self::default()
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct Redis {
    server: Server,
    secure: Option<SocketAddr>,
    certificates: Option<Certificates>,
}

impl Redis {
    /// Starts a server without credentials.
    ///
    /// # Errors
    /// [`Unavailable::Skip`] where it is not installed.
    pub fn start() -> Result<Self, Unavailable> {
        Self::start_with(&Options::default())
    }

    /// Starts a server.
    ///
    /// # Errors
    /// [`Unavailable::Skip`] where it is not installed.
    pub fn start_with(options: &Options) -> Result<Self, Unavailable> {
        let program = program("redis-server")?;
        let (folder, address) = (Server::folder(), free_address());
        let mut command = vec![program.display().to_string()];
        let mut set = |name: &str, value: &str| {
            command.extend([format!("--{name}"), value.to_owned()]);
        };
        set("port", &address.port().to_string());
        set("bind", "127.0.0.1");
        set("dir", &folder.display().to_string());
        set("save", "");
        set("enable-debug-command", "local");
        let mut certificates = None;
        let mut secure = None;
        if options.is_secure {
            let made = Certificates::make(&folder).map_err(Unavailable::Failed)?;
            let port = free_address();
            let pem = folder.join("broker.pem").display().to_string();
            set("tls-port", &port.port().to_string());
            set("tls-cert-file", &pem);
            set("tls-key-file", &pem);
            set(
                "tls-ca-cert-file",
                &folder.join("ca.pem").display().to_string(),
            );
            set(
                "tls-auth-clients",
                if options.is_mutual { "yes" } else { "no" },
            );
            certificates = Some(made);
            secure = Some(port);
        }
        command.extend(options.settings.iter().cloned());
        let server = Server::start(&folder, address, command, || answers(address));
        Ok(Self {
            server,
            secure,
            certificates,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Where it speaks TLS.
    ///
    /// # Panics
    /// When it was not started so.
    pub fn secure(&self) -> SocketAddr {
        self.secure.expect("it was started with TLS")
    }

    /// Who signed its certificate, and a certificate for clients.
    ///
    /// # Panics
    /// When it was not started with TLS.
    pub fn certificates(&self) -> &Certificates {
        self.certificates.as_ref().expect("it was started with TLS")
    }

    /// Runs one command of its command line.
    pub fn cli(&self, words: &[&str]) -> String {
        cli(self.address(), words)
    }

    /// Runs commands, one per line.
    pub fn feed(&self, lines: &str) {
        feed(self.address(), lines);
    }

    /// Ends it at once; without persistence it comes back empty.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Runs it again after [`Redis::kill`].
    pub fn run(&mut self) {
        let address = self.address();
        self.server.run(|| answers(address));
    }

    /// Freezes it, and waits until it answers no more.
    ///
    /// # Panics
    /// When it goes on.
    pub fn freeze(&mut self) {
        self.server.freeze();
        let address = self.address();
        until("the server to be frozen", || {
            is_silent(address).then_some(())
        });
    }

    /// Lets it go on.
    pub fn thaw(&mut self) {
        self.server.thaw();
    }
}

/// A sentinel that watches a master under the name [`MASTER`].
#[derive(Debug)]
pub struct Sentinel {
    server: Server,
}

impl Sentinel {
    /// Starts a sentinel that calls a master down after half a second, alone.
    ///
    /// # Errors
    /// [`Unavailable::Skip`] where it is not installed.
    ///
    /// # Panics
    /// When its settings cannot be written.
    pub fn start(master: SocketAddr, password: Option<&str>) -> Result<Self, Unavailable> {
        let program = program("redis-sentinel")?;
        let (folder, address) = (Server::folder(), free_address());
        let mut settings = format!(
            "port {}\nbind 127.0.0.1\ndir {}\nsentinel monitor {MASTER} 127.0.0.1 {} 1\nsentinel down-after-milliseconds {MASTER} 500\nsentinel failover-timeout {MASTER} 2000\n",
            address.port(),
            folder.display(),
            master.port(),
        );
        if let Some(password) = password {
            settings.push_str(&format!("requirepass {password}\n"));
        }
        let file = folder.join("sentinel.conf");
        fs::write(&file, settings).expect("a folder of ours can be written");
        let command = [program, file].map(|it| it.display().to_string());
        let server = Server::start(&folder, address, command, || answers(address));
        Ok(Self { server })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Runs one command of its command line.
    pub fn cli(&self, words: &[&str]) -> String {
        cli(self.address(), words)
    }
}

/// A cluster of masters without replicas.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Redis>,
}

impl Cluster {
    /// Starts a cluster of three nodes that share all slots.
    ///
    /// # Errors
    /// [`Unavailable::Skip`] where it is not installed.
    ///
    /// # Panics
    /// When the nodes do not find each other.
    pub fn start() -> Result<Self, Unavailable> {
        let nodes: Result<Vec<_>, _> = (0..3).map(|_| Self::node()).collect();
        let cluster = Self { nodes: nodes? };
        let addresses = cluster.addresses();
        let mut words = vec!["--cluster", "create"];
        let each: Vec<&str> = addresses.split(',').collect();
        words.extend(&each);
        words.push("--cluster-yes");
        let created = cli(cluster.nodes[0].address(), &words);
        assert!(created.contains("All 16384 slots covered"), "{created}");
        until("every node to know all slots", || {
            cluster.is_settled().then_some(())
        });
        Ok(cluster)
    }

    fn node() -> Result<Redis, Unavailable> {
        let bus = free_address().port().to_string();
        Redis::start_with(&Options::with(&[
            ("cluster-enabled", "yes"),
            ("cluster-port", &bus),
            ("cluster-node-timeout", "1000"),
            ("cluster-require-full-coverage", "no"),
            ("appendonly", "yes"),
        ]))
    }

    fn is_settled(&self) -> bool {
        self.nodes.iter().all(|node| {
            let info = node.cli(&["CLUSTER", "INFO"]);
            info.contains("cluster_state:ok") && info.contains("cluster_slots_ok:16384")
        })
    }

    /// All addresses, separated by commas.
    pub fn addresses(&self) -> String {
        let each: Vec<_> = self
            .nodes
            .iter()
            .map(|it| it.address().to_string())
            .collect();
        each.join(",")
    }

    /// The nodes.
    pub fn nodes(&mut self) -> &mut [Redis] {
        &mut self.nodes
    }

    /// Runs one command at whichever node it is for.
    pub fn cli(&self, words: &[&str]) -> String {
        let mut all = vec!["-c"];
        all.extend(words);
        cli(self.nodes[0].address(), &all)
    }

    /// Runs commands, one per line, at whichever nodes they are for.
    pub fn feed(&self, lines: &str) {
        run(self.nodes[0].address(), &["-c"], Some(lines));
    }

    /// The node that serves a key.
    ///
    /// # Panics
    /// When none does.
    pub fn owner(&self, key: &str) -> usize {
        let at = self.nodes.iter().position(|node| {
            let answer = node.cli(&["EXISTS", key]);
            !answer.contains("MOVED")
        });
        at.expect("a node serves it")
    }

    /// Gives the slot of a key, with its keys, to another node.
    ///
    /// # Panics
    /// When a node does not take part.
    pub fn move_slot(&self, key: &str, to: usize) {
        let from = self.owner(key);
        let slot = self.nodes[0].cli(&["CLUSTER", "KEYSLOT", key]);
        let id = |at: usize| self.nodes[at].cli(&["CLUSTER", "MYID"]);
        let (source, target) = (id(from), id(to));
        let ok = |answer: String| {
            assert!(
                answer.starts_with("OK") || answer.starts_with("NOKEY"),
                "{answer}"
            )
        };
        ok(self.nodes[to].cli(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source]));
        ok(self.nodes[from].cli(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target]));
        let port = self.nodes[to].address().port().to_string();
        ok(self.nodes[from].cli(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]));
        for node in [to, from] {
            ok(self.nodes[node].cli(&["CLUSTER", "SETSLOT", &slot, "NODE", &target]));
        }
    }
}

fn program(name: &str) -> Result<PathBuf, Unavailable> {
    find("redis-cli", &[])?;
    find(name, &[])
}

/// Whether a server answers, be it that it wants a password.
fn answers(address: SocketAddr) -> bool {
    let said = cli(address, &["PING"]);
    said.contains("PONG") || said.contains("NOAUTH")
}

/// Whether connections are taken and nothing is said.
fn is_silent(address: SocketAddr) -> bool {
    let asked = TcpStream::connect(address).and_then(|mut stream| {
        stream.set_read_timeout(Some(SILENCE))?;
        stream.write_all(b"PING\r\n")?;
        stream.read(&mut [0; 16])
    });
    asked.is_err()
}

/// Runs one command at a server, and gives back what it said, trimmed.
///
/// # Panics
/// When there is no `redis-cli`.
pub fn cli(address: SocketAddr, words: &[&str]) -> String {
    run(address, words, None)
}

/// Runs commands, one per line.
///
/// # Panics
/// When there is no `redis-cli`.
pub fn feed(address: SocketAddr, lines: &str) {
    run(address, &[], Some(lines));
}

fn run(address: SocketAddr, words: &[&str], input: Option<&str>) -> String {
    let mut child = Command::new("redis-cli")
        .args([
            "-h",
            &address.ip().to_string(),
            "-p",
            &address.port().to_string(),
        ])
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("redis-cli is installed");
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.unwrap_or_default().to_owned();
    let writing = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("redis-cli ends");
    drop(writing.join());
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    format!("{said}{complained}").trim().to_owned()
}
