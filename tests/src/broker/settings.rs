//! The broker's ports, settings and commands.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::ports::free_address;

/// The user that the listeners with SASL know.
pub const USER: &str = "alice";

/// That user's password.
pub const PASSWORD: &str = "wonderland";

/// Any value will do: clusters do not meet.
const CLUSTER_ID: &str = "4L6g3nShT-eMCtK--X86sw";

/// Where a broker listens, on loopback.
#[derive(Clone, Debug)]
pub struct Ports {
    /// Neither encryption nor credentials.
    pub plaintext: SocketAddr,
    /// SASL (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512) without encryption.
    pub sasl: SocketAddr,
    /// TLS.
    pub tls: SocketAddr,
    /// TLS that asks for a client's certificate.
    pub mutual_tls: SocketAddr,
    /// SASL over TLS.
    pub sasl_tls: SocketAddr,
    /// Where clients of `sasl` are sent, unless there: a proxy before it.
    pub sasl_way: Option<SocketAddr>,
    controller: SocketAddr,
}

impl Ports {
    /// Ports where nobody listens.
    pub fn choose() -> Self {
        Self {
            plaintext: free_address(),
            sasl: free_address(),
            tls: free_address(),
            mutual_tls: free_address(),
            sasl_tls: free_address(),
            sasl_way: None,
            controller: free_address(),
        }
    }

    /// Free ports, but clients without credentials come to `plaintext`.
    pub fn with_plaintext(plaintext: SocketAddr) -> Self {
        Self {
            plaintext,
            ..Self::choose()
        }
    }

    fn listeners(&self) -> String {
        self.with_sasl(self.sasl)
    }

    fn advertised(&self) -> String {
        self.with_sasl(self.sasl_way.unwrap_or(self.sasl))
    }

    fn with_sasl(&self, sasl: SocketAddr) -> String {
        [
            ("PLAIN", self.plaintext),
            ("SASL", sasl),
            ("TLS", self.tls),
            ("MTLS", self.mutual_tls),
            ("SASLTLS", self.sasl_tls),
        ]
        .map(|(name, address)| format!("{name}://{address}"))
        .join(",")
    }
}

/// Writes `server.properties` of the broker of `all[index]` into `folder`.
pub(super) fn write(folder: &Path, all: &[Ports], index: usize) -> anyhow::Result<PathBuf> {
    let file = folder.join("server.properties");
    let text = [
        cluster(folder, all, index),
        sasl("sasl"),
        sasl("sasltls"),
        tls(folder),
    ]
    .concat();
    fs::write(&file, text)?;
    Ok(file)
}

/// A broker that was killed may only come back once its session has ended: soon. Then it leads again what it led.
fn cluster(folder: &Path, all: &[Ports], index: usize) -> String {
    let ports = &all[index];
    let (listeners, advertised) = (ports.listeners(), ports.advertised());
    let (node, controller) = (index + 1, ports.controller);
    let voters = (1..)
        .zip(all)
        .map(|(node, it)| format!("{node}@{}", it.controller));
    let voters = voters.collect::<Vec<_>>().join(",");
    // Each keeps the offsets of some groups, and a copy of those of the others.
    let count = all.len();
    // Several together are slower; one whose session ends leads nothing for a while.
    let session_millis = if count > 1 { 6000 } else { 3000 };
    let data = folder.join("data");
    format!(
        "process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
listeners={listeners},CONTROLLER://{controller}
advertised.listeners={advertised}
inter.broker.listener.name=PLAIN
listener.security.protocol.map=PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT,\
TLS:SSL,MTLS:SSL,SASLTLS:SASL_SSL
log.dirs={}
offsets.topic.num.partitions={count}
offsets.topic.replication.factor={count}
leader.imbalance.check.interval.seconds=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms={session_millis}
auto.create.topics.enable=true
num.network.threads=2
num.io.threads=2
background.threads=2
log.cleaner.enable=false
",
        data.display()
    )
}

/// Settings of a listener that asks for a user.
fn sasl(listener: &str) -> String {
    let modules = "org.apache.kafka.common.security";
    let scram = format!("{modules}.scram.ScramLoginModule required;");
    format!(
        "listener.name.{listener}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.{listener}.plain.sasl.jaas.config={modules}.plain.PlainLoginModule required \
user_{USER}=\"{PASSWORD}\";
listener.name.{listener}.scram-sha-256.sasl.jaas.config={scram}
listener.name.{listener}.scram-sha-512.sasl.jaas.config={scram}
"
    )
}

fn tls(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.mtls.ssl.client.auth=required
"
    )
}

/// The command that runs one of `brokers` of a cluster.
pub(super) fn run_command(jars: &str, settings: &Path, brokers: usize) -> Vec<OsString> {
    let mut command: Vec<OsString> = [
        "java",
        if brokers > 1 { "-Xmx256m" } else { "-Xmx512m" },
        "-XX:+UseSerialGC",
        // Starts sooner; a broker of a test does not live long enough for more.
        "-XX:TieredStopAtLevel=1",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-cp",
        jars,
        "kafka.Kafka",
    ]
    .map(OsString::from)
    .to_vec();
    command.push(settings.into());
    command
}

/// Prepares the broker's folder and makes its SCRAM users.
pub(super) fn format(jars: &str, settings: &Path) -> anyhow::Result<()> {
    let user = |mechanism: &str| format!("{mechanism}=[name={USER},password={PASSWORD}]");
    let output = Command::new("java")
        .args([
            "-XX:TieredStopAtLevel=1",
            "-cp",
            jars,
            "kafka.tools.StorageTool",
            "format",
        ])
        .args(["--cluster-id", CLUSTER_ID, "--config"])
        .arg(settings)
        .args([
            "--add-scram",
            &user("SCRAM-SHA-256"),
            "--add-scram",
            &user("SCRAM-SHA-512"),
        ])
        .output()
        .context("cannot run java")?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "cannot format the broker's storage: {text}"
    );
    Ok(())
}
