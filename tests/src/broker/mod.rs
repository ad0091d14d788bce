//! Real Kafka brokers (KRaft; one, or a cluster of several) as child processes, on free loopback ports.
//!
//! `jars` fetches what it needs through Maven, `settings` writes its configuration. Where it cannot run, [`Unavailable::Skip`] says why: a test
//! passes that to [`skip`] and returns.

mod certificates;
mod jars;
mod settings;

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};

pub use certificates::Certificates;
pub use jars::prepare;
pub use settings::{PASSWORD, Ports, USER};

use crate::keeper::{self, Keeper, Signal};

/// Longest time from start to the first answer; about three seconds on an idle machine.
const READY_WITHIN: Duration = Duration::from_secs(90);

/// Pause between two looks whether the broker answers.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Why there is no broker.
#[derive(Debug)]
pub enum Unavailable {
    /// This machine cannot run one: the test is to be skipped, loudly.
    Skip(String),
    /// It should have run: the test fails.
    Failed(anyhow::Error),
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skip(reason) => f.write_str(reason),
            Self::Failed(error) => write!(f, "{error:#}"),
        }
    }
}

impl std::error::Error for Unavailable {}

/// A running broker. It is killed, and its folder removed, when this is dropped or the process dies.
#[derive(Debug)]
pub struct Broker {
    keeper: Keeper,
    ports: Ports,
    certificates: Certificates,
}

impl Broker {
    /// Starts a broker with every listener of [`Ports`] and waits until it answers.
    ///
    /// # Errors
    /// [`Unavailable::Skip`] where there is no Java or no way to get the jars.
    pub fn start() -> Result<Self, Unavailable> {
        let ports = Ports::choose();
        Self::start_on(ports)
    }

    /// Starts a broker on given ports.
    ///
    /// # Errors
    /// As [`Broker::start`].
    pub fn start_on(ports: Ports) -> Result<Self, Unavailable> {
        let mut one = Self::start_cluster(&[ports])?;
        Ok(one.remove(0))
    }

    /// Starts a cluster: one broker for each of `ports`, which keep topics together. Answers once each of them does.
    ///
    /// # Errors
    /// As [`Broker::start`].
    pub fn start_cluster(ports: &[Ports]) -> Result<Vec<Self>, Unavailable> {
        check_java()?;
        let jars = prepare()?;
        Self::launch(&jars, ports).map_err(Unavailable::Failed)
    }

    fn launch(jars: &str, ports: &[Ports]) -> anyhow::Result<Vec<Self>> {
        // Each runs Java for seconds.
        let mut brokers = thread::scope(|scope| {
            let set_up = |index| scope.spawn(move || Self::set_up(jars, ports, index));
            let all: Vec<_> = (0..ports.len()).map(set_up).collect();
            let set_up = all.into_iter().map(|it| it.join().expect("it returns"));
            set_up.collect::<anyhow::Result<Vec<_>>>()
        })?;
        // None answers before most of them run.
        for broker in &mut brokers {
            broker.keeper.run()?;
        }
        for broker in &brokers {
            broker.wait()?;
        }
        Ok(brokers)
    }

    /// Prepares the broker of `all[index]`, which does not run yet.
    fn set_up(jars: &str, all: &[Ports], index: usize) -> anyhow::Result<Self> {
        let folder = keeper::new_folder()?;
        let certificates = Certificates::make(&folder)?;
        let file = settings::write(&folder, all, index)?;
        let command = settings::run_command(jars, &file, all.len());
        let keeper = Keeper::start(&folder, &command)?;
        settings::format(jars, &file)?;
        Ok(Self {
            keeper,
            ports: all[index].clone(),
            certificates,
        })
    }

    /// The address without encryption or credentials, `HOST:PORT`.
    pub fn address(&self) -> String {
        self.ports.plaintext.to_string()
    }

    /// All its addresses.
    pub fn ports(&self) -> &Ports {
        &self.ports
    }

    /// Who signed its certificate, and a certificate for clients.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Ends the process at once, as a crash would.
    ///
    /// # Errors
    /// When the keeper is gone.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.keeper.signal(Signal::Kill)?;
        self.keeper.wait()
    }

    /// Freezes the process: connections stay open, nothing answers.
    ///
    /// # Errors
    /// When the keeper is gone.
    pub fn freeze(&mut self) -> anyhow::Result<()> {
        self.keeper.signal(Signal::Stop)
    }

    /// Lets a frozen process go on.
    ///
    /// # Errors
    /// When the keeper is gone.
    pub fn thaw(&mut self) -> anyhow::Result<()> {
        self.keeper.signal(Signal::Continue)
    }

    /// Starts a broker that was killed again, on the same ports with the same data, and waits until
    /// it answers.
    ///
    /// # Errors
    /// With the end of its log when it does not answer in time.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.keeper.run()?;
        self.wait()
    }

    fn wait(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while !answers(self.ports.plaintext) {
            if Instant::now() > deadline {
                return Err(anyhow!(
                    "no answer from the broker: {}",
                    self.keeper.log_tail()
                ));
            }
            thread::park_timeout(LOOK_EVERY);
        }
        Ok(())
    }
}

/// The broker that the tests of one process share; it ends with the process.
///
/// # Errors
/// As [`Broker::start`].
pub fn shared() -> Result<&'static Broker, &'static Unavailable> {
    static SHARED: OnceLock<Result<Broker, Unavailable>> = OnceLock::new();
    SHARED.get_or_init(Broker::start).as_ref()
}

/// Says loudly that `test` was skipped: on stderr, and as a line of the file that
/// `ZERON_SKIP_REPORT` names, which `cargo xtask test` counts.
///
/// # Panics
/// When the report cannot be written: a skipped test must not look like a passed one.
pub fn skip(test: &str, reason: &str) {
    let line = format!("SKIPPED: {test}: {}\n", reason.replace('\n', " "));
    io::stderr()
        .write_all(line.as_bytes())
        .expect("stderr can be written");
    let Some(file) = std::env::var_os("ZERON_SKIP_REPORT") else {
        return;
    };
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .and_then(|mut file| file.write_all(line.as_bytes()))
        .expect("the skip report can be written");
}

/// Kafka 4 needs this Java.
const MIN_JAVA: u32 = 17;

fn check_java() -> Result<(), Unavailable> {
    let output = Command::new("java")
        .arg("-version")
        .output()
        .map_err(|_| Unavailable::Skip("java not found".to_owned()))?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    match java_major(&text) {
        Some(major) if major >= MIN_JAVA => Ok(()),
        Some(major) => Err(Unavailable::Skip(format!(
            "java {major} is too old, {MIN_JAVA} is needed"
        ))),
        None => Err(Unavailable::Skip(format!(
            "java does not say its version: {}",
            text.trim()
        ))),
    }
}

/// `17` of `openjdk version "17.0.15" 2025-04-15`.
fn java_major(version: &str) -> Option<u32> {
    let quoted = version.split('"').nth(1)?;
    quoted
        .split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

/// Whether a Kafka broker answers there: asks for the protocol versions that it speaks.
fn answers(address: SocketAddr) -> bool {
    ask_versions(address).is_ok()
}

fn ask_versions(address: SocketAddr) -> anyhow::Result<()> {
    // Length, ApiVersions (18) version 0, correlation id, no client id.
    const REQUEST: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];
    let limit = Duration::from_secs(1);
    let mut stream = TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(&REQUEST)?;
    let mut answer = [0; 8];
    stream.read_exact(&mut answer).context("no answer")?;
    anyhow::ensure!(answer[4..] == [0, 0, 0, 7], "not a Kafka broker");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_versions_are_read() {
        assert_eq!(
            java_major("openjdk version \"17.0.15\" 2025-04-15"),
            Some(17)
        );
        assert_eq!(java_major("openjdk version \"21\" 2023-09-19"), Some(21));
        assert_eq!(java_major("java version \"1.8.0_392\""), Some(1));
        assert_eq!(java_major("no java"), None);
    }
}
