//! Roles of `zeron` as processes of this machine, with the cluster's kubeconfig.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use tempfile::TempDir;

use super::Namespace;
use crate::ports::free_address_of;
use crate::process::{self, Signal};
use crate::response::{self, Response};
use crate::wait::{COLD, PATIENCE, until};
use crate::{Raw, binary};

/// Which processes to run, and with what arguments. By default one of each, all of this namespace alone.
#[derive(Debug)]
pub struct Roles<'n> {
    namespace: &'n Namespace,
    watched: Vec<String>,
    kubeconfig: PathBuf,
    counts: [usize; 3],
    arguments: [Vec<String>; 3],
    environments: HashMap<String, Variables>,
    address: IpAddr,
    activator_port: u16,
    peer_port: Option<u16>,
}

/// Environment variables by name.
type Variables = Vec<(String, String)>;

/// One of the three commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Activator,
    Autoscaler,
    Controller,
}

impl Kind {
    fn command(self) -> &'static str {
        match self {
            Self::Activator => "activator",
            Self::Autoscaler => "autoscaler",
            Self::Controller => "controller",
        }
    }
}

impl<'n> Roles<'n> {
    /// One of each, which act on the objects of `namespace` and keep their leases there.
    pub fn of(namespace: &'n Namespace) -> Self {
        Self {
            namespace,
            watched: vec![namespace.name().to_owned()],
            kubeconfig: namespace.cluster().kubeconfig().to_owned(),
            counts: [1; 3],
            arguments: Default::default(),
            environments: HashMap::new(),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            activator_port: 0,
            peer_port: None,
        }
    }

    /// They act on the objects of this namespace too.
    #[must_use]
    pub fn watch(mut self, other: &Namespace) -> Self {
        self.watched.push(other.name().to_owned());
        self
    }

    /// How many activators.
    #[must_use]
    pub fn activators(mut self, count: usize) -> Self {
        self.counts[Kind::Activator as usize] = count;
        self
    }

    /// How many autoscalers.
    #[must_use]
    pub fn autoscalers(mut self, count: usize) -> Self {
        self.counts[Kind::Autoscaler as usize] = count;
        self
    }

    /// How many controllers.
    #[must_use]
    pub fn controllers(mut self, count: usize) -> Self {
        self.counts[Kind::Controller as usize] = count;
        self
    }

    /// More arguments of every activator.
    #[must_use]
    pub fn activator_args(self, args: &[&str]) -> Self {
        self.args(Kind::Activator, args)
    }

    /// More arguments of every autoscaler.
    #[must_use]
    pub fn autoscaler_args(self, args: &[&str]) -> Self {
        self.args(Kind::Autoscaler, args)
    }

    /// More arguments of every controller.
    #[must_use]
    pub fn controller_args(self, args: &[&str]) -> Self {
        self.args(Kind::Controller, args)
    }

    fn args(mut self, kind: Kind, args: &[&str]) -> Self {
        self.arguments[kind as usize].extend(args.iter().map(|&arg| arg.to_owned()));
        self
    }

    /// Environment variables of one process, such as `autoscaler-0`.
    #[must_use]
    pub fn environment(mut self, role: &str, variables: Vec<(String, String)>) -> Self {
        self.environments.insert(role.to_owned(), variables);
        self
    }

    /// They reach the API server by this kubeconfig: through a proxy of the test, or as a service account.
    #[must_use]
    pub fn kubeconfig(mut self, file: &Path) -> Self {
        file.clone_into(&mut self.kubeconfig);
        self
    }

    /// Activators take requests at an address that pods can reach, instead of on loopback.
    #[must_use]
    pub fn for_pods(mut self) -> Self {
        self.address = self.namespace.cluster().host_address();
        self
    }

    /// The one activator takes requests at this port, instead of at a free one.
    #[must_use]
    pub fn activator_port(mut self, port: u16) -> Self {
        self.activator_port = port;
        self
    }

    /// Activators know each other: each has a pod of its name that stands for it, at a loopback address of its own.
    #[must_use]
    pub fn with_peers(mut self) -> Self {
        self.peer_port = Some(free_address_of(loopback(0)).port());
        for number in 0..self.counts[Kind::Activator as usize] {
            let name = format!("{}-{number}", Kind::Activator.command());
            self.namespace.stand_in(&name, loopback(number));
        }
        self
    }

    /// Starts them and waits until each is ready.
    ///
    /// # Panics
    /// When one does not become ready.
    pub fn start(self) -> Installation {
        let mut installation = self.start_unready();
        for role in installation.all_mut() {
            role.wait_ready();
        }
        installation
    }

    /// Starts them and does not wait.
    ///
    /// # Panics
    /// When a process cannot be started.
    pub fn start_unready(self) -> Installation {
        let folder = tempfile::Builder::new()
            .prefix("zeron-roles-")
            .tempdir()
            .expect("there is a temporary folder");
        let mut installation = Installation {
            activators: Vec::new(),
            autoscalers: Vec::new(),
            controllers: Vec::new(),
            folder,
        };
        for number in 0..self.counts[Kind::Autoscaler as usize] {
            let role = self.role(Kind::Autoscaler, number, &installation);
            installation.autoscalers.push(role);
        }
        for number in 0..self.counts[Kind::Controller as usize] {
            let role = self.role(Kind::Controller, number, &installation);
            installation.controllers.push(role);
        }
        for number in 0..self.counts[Kind::Activator as usize] {
            let role = self.role(Kind::Activator, number, &installation);
            installation.activators.push(role);
        }
        installation
    }

    fn role(&self, kind: Kind, number: usize, installation: &Installation) -> Role {
        let name = format!("{}-{number}", kind.command());
        // The API server asks activators on behalf of commands.
        let health = free_address_of(match kind {
            Kind::Activator => self.address,
            Kind::Autoscaler | Kind::Controller => Ipv4Addr::LOCALHOST.into(),
        });
        let listen = match kind {
            Kind::Activator if self.activator_port > 0 => {
                SocketAddr::new(self.address, self.activator_port)
            }
            Kind::Activator => free_address_of(self.address),
            Kind::Autoscaler | Kind::Controller => free_address_of(Ipv4Addr::LOCALHOST.into()),
        };
        let mut arguments = vec![kind.command().to_owned()];
        // Brokers are processes of this machine too.
        arguments.push("--allow-loopback-triggers".to_owned());
        let mut add = |flag: &str, value: String| arguments.extend([flag.to_owned(), value]);
        add("--kubeconfig", self.kubeconfig.display().to_string());
        add("--watch-namespace", self.watched.join(","));
        add("--pod-namespace", self.namespace.name().to_owned());
        // A KEDA of another test is none of theirs.
        add("--keda-namespace", self.namespace.name().to_owned());
        add("--pod-name", name.clone());
        add("--health-listen", health.to_string());
        match kind {
            Kind::Activator => {
                add("--listen", listen.to_string());
                let peers = match self.peer_port {
                    Some(port) => SocketAddr::new(loopback(number), port),
                    None => free_address_of(self.address),
                };
                add("--peer-listen", peers.to_string());
                let servers = installation
                    .autoscalers
                    .iter()
                    .map(|role| role.listen.to_string());
                let servers: Vec<_> = servers.collect();
                if !servers.is_empty() {
                    add("--autoscaler", servers.join(","));
                }
            }
            Kind::Autoscaler => {
                add("--listen", listen.to_string());
                let api = installation.folder.path().join(format!("{name}.api"));
                add("--api-listen", format!("unix:{}", api.display()));
                arguments.push("--insecure-reports".to_owned());
            }
            Kind::Controller => {}
        }
        arguments.extend(self.arguments[kind as usize].iter().cloned());
        let environment = self.environments.get(&name).cloned().unwrap_or_default();
        let log = installation.folder.path().join(format!("{name}.log"));
        Role {
            child: spawn(&arguments, &environment, &log),
            name,
            arguments,
            environment,
            log,
            health,
            listen,
        }
    }
}

/// The running processes. They are killed when this is dropped.
#[derive(Debug)]
pub struct Installation {
    /// `zeron activator`.
    pub activators: Vec<Role>,
    /// `zeron autoscaler`.
    pub autoscalers: Vec<Role>,
    /// `zeron controller`.
    pub controllers: Vec<Role>,
    folder: TempDir,
}

impl Installation {
    fn all_mut(&mut self) -> impl Iterator<Item = &mut Role> {
        let data = self.activators.iter_mut().chain(&mut self.autoscalers);
        data.chain(&mut self.controllers)
    }

    /// Sends a GET for `host` through the first activator, on a connection of its own.
    ///
    /// # Panics
    /// When there is no activator or it does not answer.
    pub fn get(&self, host: &str, target: &str) -> Response {
        self.activators[0].get(host, target)
    }

    /// Where files of the processes lie: logs, and sockets of autoscalers' APIs as `NAME.api`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// One process. It is killed when this is dropped.
#[derive(Debug)]
pub struct Role {
    child: Child,
    name: String,
    arguments: Vec<String>,
    environment: Variables,
    log: PathBuf,
    health: SocketAddr,
    listen: SocketAddr,
}

impl Role {
    /// Waits until it says that it is ready.
    ///
    /// # Panics
    /// When it ends, or does not get ready.
    pub fn wait_ready(&mut self) {
        until(
            &format!(
                "{} to be ready; its log is {}",
                self.name,
                self.log.display()
            ),
            || {
                let ended = self.child.try_wait().expect("it is our child");
                assert!(
                    ended.is_none(),
                    "{} ended: {ended:?}\n{}",
                    self.name,
                    self.log()
                );
                self.ask("/readyz")
                    .ok()
                    .filter(|answer| answer.status == 200)
            },
        );
    }

    /// Where an activator takes requests, or an autoscaler reports.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Where it answers probes and shows its metrics.
    pub fn health(&self) -> SocketAddr {
        self.health
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Opens a connection for requests.
    pub fn connect(&self) -> Raw {
        Raw::connect(self.listen)
    }

    /// Sends a GET for `host`, on a connection of its own.
    ///
    /// # Panics
    /// When it does not answer for longer than a cold start takes.
    pub fn get(&self, host: &str, target: &str) -> Response {
        let connection = self.connect().patient(COLD);
        let mut connection = connection.expect("it was opened just now");
        connection.get(host, target).response()
    }

    /// Asks its health listener for `/readyz`, `/healthz` or `/metrics`.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn ask(&self, target: &str) -> std::io::Result<Response> {
        let mut stream = TcpStream::connect(self.health)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "GET {target} HTTP/1.1\r\nHost: health\r\nConnection: close\r\n\r\n"
        )?;
        let mut reader = BufReader::new(stream);
        let mut answer = response::read_head(&mut reader)?;
        response::read_body(&mut reader, &mut answer);
        Ok(answer)
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        process::signal(self.pid(), signal);
    }

    /// Kills it (-9) and waits until it is gone.
    ///
    /// # Panics
    /// When it is not our child.
    pub fn kill(&mut self) {
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it is our child");
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// When it does not.
    pub fn wait(&mut self) -> ExitStatus {
        until(&format!("{} to end", self.name), || {
            self.child.try_wait().expect("it is our child")
        })
    }

    /// From its next start on it speaks as the build after this one may, or as this one again.
    pub fn set_next_build(&mut self, is_next: bool) {
        const NEXT: &str = "ZERON_TEST_NEXT_BUILD";
        self.environment.retain(|(name, _)| name != NEXT);
        if is_next {
            self.environment.push((NEXT.to_owned(), "1".to_owned()));
        }
    }

    /// Starts it again, after it ended, with the same arguments and addresses, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn restart(&mut self) {
        self.child = spawn(&self.arguments, &self.environment, &self.log);
        self.wait_ready();
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            const SHOWN: usize = 60;
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(SHOWN)..];
            eprintln!(
                "--- end of the log of {}\n{}\n---",
                self.name,
                last.join("\n")
            );
        }
    }
}

fn spawn(arguments: &[String], environment: &Variables, log: &Path) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(log)
        .expect("the folder is ours");
    Command::new(binary::zeron())
        .args(arguments)
        .envs(environment.iter().cloned())
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file can be shared"))
        .stderr(log)
        .spawn()
        .expect("zeron was built")
}

/// A loopback address for each process.
fn loopback(number: usize) -> IpAddr {
    let last = u8::try_from(number + 1).expect("a handful of processes");
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}
