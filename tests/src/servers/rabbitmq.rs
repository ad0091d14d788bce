//! A real RabbitMQ with its management plugin, as a child process.
//!
//! It is told its ports, its node's name and its own epmd, so that it runs beside any other and needs no host
//! name but `localhost`. epmd dies with it: the kernel kills it when its parent, which becomes the server, is gone.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use super::{Server, accepts, find};
use crate::broker::{Certificates, Unavailable};
use crate::free_address;

/// A user who may do everything; the password is as easily found in an output as any secret should not be.
pub const USER: &str = "tester";
/// The password of [`USER`].
pub const PASSWORD: &str = "rabbit-canary-word";

/// Starts epmd as a child that does not outlive the server, then becomes the server.
const SCRIPT: &str = r#"setpriv --pdeathsig KILL "$1" & exec "$2""#;

/// Longest wait for one answer of the management API.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A running server.
#[derive(Debug)]
pub struct RabbitMq {
    server: Server,
    ports: Ports,
    certificates: Certificates,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    amqp: SocketAddr,
    amqps: SocketAddr,
    http: SocketAddr,
    https: SocketAddr,
}

impl RabbitMq {
    /// Starts a server, which takes some seconds.
    ///
    /// # Errors
    /// Where it is not installed.
    pub fn start() -> Result<Self, Unavailable> {
        let program = program()?;
        let epmd = find("epmd", &["/usr/lib/erlang/bin"])?;
        find("setpriv", &[])?;
        let ports = Ports {
            amqp: free_address(),
            amqps: free_address(),
            http: free_address(),
            https: free_address(),
        };
        let folder = Server::folder();
        let certificates = Certificates::make(&folder).map_err(Unavailable::Failed)?;
        write_settings(&folder, ports).map_err(|it| Unavailable::Failed(it.into()))?;
        let mut command = vec!["env".to_owned()];
        command.extend(environment(&folder));
        command.extend(["sh", "-c", SCRIPT, "rabbitmq"].map(str::to_owned));
        command.extend([epmd, program].map(|it| it.display().to_string()));
        let server = Server::start(&folder, ports.amqp, command, || ports.are_served());
        let rabbit = Self {
            server,
            ports,
            certificates,
        };
        Ok(rabbit)
    }

    /// Where it speaks AMQP.
    pub fn amqp(&self) -> SocketAddr {
        self.ports.amqp
    }

    /// Where it speaks AMQP within TLS.
    pub fn amqps(&self) -> SocketAddr {
        self.ports.amqps
    }

    /// Where its management API is.
    pub fn http(&self) -> SocketAddr {
        self.ports.http
    }

    /// Where its management API is within TLS.
    pub fn https(&self) -> SocketAddr {
        self.ports.https
    }

    /// Who signed its certificate, and a certificate for the user `client`.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Ends it at once.
    ///
    /// # Panics
    /// When it is gone already.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Runs it again after [`RabbitMq::kill`], with the same queues.
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn run(&mut self) {
        let ports = self.ports;
        self.server.run(|| ports.are_served());
    }

    /// Freezes it.
    ///
    /// # Panics
    /// When it is gone.
    pub fn freeze(&mut self) {
        self.server.freeze();
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// When it is gone.
    pub fn thaw(&mut self) {
        self.server.thaw();
    }

    /// Asks the management API: `path` is what follows `/api/`. Gives back the status and the body.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let answer = ask(self.ports.http, method, path, body);
        answer
            .unwrap_or_else(|error| panic!("{method} {path}: {error}: {}", self.server.log_tail()))
    }

    /// As [`RabbitMq::ask`], for what must succeed.
    ///
    /// # Panics
    /// When it does not.
    pub fn must(&self, method: &str, path: &str, body: &str) -> String {
        let (status, answer) = self.ask(method, path, body);
        assert!(
            (200..300).contains(&status),
            "{method} {path}: {status} {answer}"
        );
        answer
    }

    /// Makes a durable queue. Both names are percent-encoded.
    pub fn declare(&self, vhost: &str, queue: &str) {
        self.must(
            "PUT",
            &format!("queues/{vhost}/{queue}"),
            r#"{"durable":true}"#,
        );
    }

    /// Deletes a queue. Both names are percent-encoded.
    pub fn delete(&self, vhost: &str, queue: &str) {
        self.must("DELETE", &format!("queues/{vhost}/{queue}"), "");
    }

    /// Makes a virtual host that [`USER`] may use. Its name is percent-encoded.
    pub fn make_vhost(&self, vhost: &str) {
        self.must("PUT", &format!("vhosts/{vhost}"), "");
        let all = r#"{"configure":".*","write":".*","read":".*"}"#;
        self.must("PUT", &format!("permissions/{vhost}/{USER}"), all);
    }

    /// Publishes messages into a queue, and waits until they are there. `vhost` is percent-encoded, `queue` is not.
    ///
    /// # Panics
    /// When one is not routed.
    pub fn publish(&self, vhost: &str, queue: &str, count: u32) {
        let message = format!(
            r#"{{"properties":{{"delivery_mode":2}},"routing_key":"{queue}","payload":"x","payload_encoding":"string"}}"#
        );
        for _ in 0..count {
            let answer = self.must(
                "POST",
                &format!("exchanges/{vhost}/amq.default/publish"),
                &message,
            );
            assert_eq!(answer, r#"{"routed":true}"#, "{queue}");
        }
    }

    /// Takes up to so many messages out of a queue. Both names are percent-encoded.
    pub fn take(&self, vhost: &str, queue: &str, count: u32) {
        let body =
            format!(r#"{{"count":{count},"ackmode":"ack_requeue_false","encoding":"auto"}}"#);
        self.must("POST", &format!("queues/{vhost}/{queue}/get"), &body);
    }
}

impl Ports {
    fn are_served(&self) -> bool {
        accepts(self.amqp)
            && accepts(self.amqps)
            && ask(self.http, "GET", "overview", "").is_ok_and(|(status, _)| status == 200)
    }
}

/// The server that the tests of one process share; it ends with the process.
///
/// # Errors
/// As [`RabbitMq::start`].
pub fn shared() -> Result<&'static RabbitMq, &'static Unavailable> {
    static SHARED: OnceLock<Result<RabbitMq, Unavailable>> = OnceLock::new();
    SHARED.get_or_init(RabbitMq::start).as_ref()
}

/// Debian's wrapper on the `PATH` changes the user and the folder; what it wraps does not.
fn program() -> Result<PathBuf, Unavailable> {
    let wrapped = PathBuf::from("/usr/lib/rabbitmq/bin/rabbitmq-server");
    if wrapped.is_file() {
        return Ok(wrapped);
    }
    find(
        "rabbitmq-server",
        &["/usr/local/sbin", "/usr/sbin", "/sbin"],
    )
}

/// `NAME=VALUE` of every setting that is no setting of the configuration file.
fn environment(folder: &Path) -> Vec<String> {
    let within = |name: &str| folder.join(name).display().to_string();
    let (distribution, epmd) = (free_address().port(), free_address().port());
    [
        ("HOME", within("")),
        ("ERL_CRASH_DUMP", within("erl_crash.dump")),
        // The script becomes the server then, with its process id.
        ("RUNNING_UNDER_SYSTEMD", "true".to_owned()),
        (
            "RABBITMQ_NODENAME",
            format!("zeron-{distribution}@localhost"),
        ),
        ("RABBITMQ_DIST_PORT", distribution.to_string()),
        ("ERL_EPMD_PORT", epmd.to_string()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
        (
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "-kernel inet_dist_use_interface {127,0,0,1}".to_owned(),
        ),
        ("RABBITMQ_CONF_ENV_FILE", within("env.conf")),
        ("RABBITMQ_CONFIG_FILE", within("rabbitmq.conf")),
        ("RABBITMQ_ADVANCED_CONFIG_FILE", within("advanced.config")),
        ("RABBITMQ_GENERATED_CONFIG_DIR", within("generated")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", within("enabled_plugins")),
        ("RABBITMQ_PLUGINS_EXPAND_DIR", within("plugins")),
        ("RABBITMQ_MNESIA_BASE", within("mnesia")),
        ("RABBITMQ_LOG_BASE", within("log")),
        ("RABBITMQ_LOGS", "-".to_owned()),
        ("RABBITMQ_PID_FILE", within("pid")),
    ]
    .map(|(name, value)| format!("{name}={value}"))
    .into()
}

fn write_settings(folder: &Path, ports: Ports) -> io::Result<()> {
    let Ports {
        amqp,
        amqps,
        http,
        https,
    } = ports;
    let folder_name = folder.display();
    let (http, https) = (http.port(), https.port());
    let settings = format!(
        "listeners.tcp.1 = {amqp}
listeners.ssl.1 = {amqps}
ssl_options.cacertfile = {folder_name}/ca.pem
ssl_options.certfile = {folder_name}/broker.pem
ssl_options.keyfile = {folder_name}/broker.pem
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = false
ssl_cert_login_from = common_name
auth_mechanisms.1 = PLAIN
auth_mechanisms.2 = EXTERNAL
default_user = {USER}
default_pass = {PASSWORD}
default_user_tags.administrator = true
loopback_users = none
management.tcp.ip = 127.0.0.1
management.tcp.port = {http}
management.ssl.ip = 127.0.0.1
management.ssl.port = {https}
management.ssl.cacertfile = {folder_name}/ca.pem
management.ssl.certfile = {folder_name}/broker.pem
management.ssl.keyfile = {folder_name}/broker.pem
collect_statistics_interval = 500
disk_free_limit.absolute = 1MB
log.console = true
log.file = false
"
    );
    fs::write(folder.join("rabbitmq.conf"), settings)?;
    fs::write(folder.join("env.conf"), "")?;
    fs::write(folder.join("advanced.config"), "[].\n")?;
    fs::write(
        folder.join("enabled_plugins"),
        "[rabbitmq_management,rabbitmq_auth_mechanism_ssl].\n",
    )
}

/// One request on a connection of its own, in HTTP/1.0: the answer ends with the connection.
fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    let credentials = base64(format!("{USER}:{PASSWORD}").as_bytes());
    let length = body.len();
    write!(
        stream,
        "{method} /api/{path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Basic {credentials}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|it| it.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no answer of HTTP: {head:?}")))?;
    Ok((status, body.to_owned()))
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for index in 0..4_usize {
            let digit = (bits >> (18 - 6 * index)) & 63;
            let is_padding = index > group.len();
            let digit = DIGITS[usize::try_from(digit).unwrap_or(0)];
            encoded.push(if is_padding { '=' } else { char::from(digit) });
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_encoded_as_in_the_rfc() {
        for (text, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
    }
}
