//! NATS servers with JetStream, alone or as a cluster, and the other side: streams, consumers, messages.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Server, accepts, find};
use crate::broker::{Certificates, Unavailable};
use crate::wait::{PATIENCE, until};
use crate::{Raw, free_address};

/// Two accounts, and whose everybody is who says nothing.
const ACCOUNTS: &str = "accounts { SHOP { jetstream: enabled, users: [{ user: shop, password: shop }] }, \
                        OTHER { jetstream: enabled, users: [{ user: other, password: other }] } }\n\
                        no_auth_user: other\n";

/// Longest silence of a server that is asked.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A running server.
#[derive(Debug)]
pub struct Nats {
    server: Server,
    monitoring: SocketAddr,
    certificates: Option<Certificates>,
}

/// The three ports of a server.
#[derive(Clone, Copy, Debug)]
struct Ports {
    clients: u16,
    monitoring: u16,
    routes: u16,
}

impl Nats {
    /// A server alone. Its user `shop` (password `shop`) is of the account `SHOP`, everybody else of `OTHER`.
    ///
    /// # Errors
    /// [`Unavailable::Skip`] where it is not installed.
    pub fn start() -> Result<Self, Unavailable> {
        let ports = Ports {
            clients: free_address().port(),
            monitoring: free_address().port(),
            routes: 0,
        };
        Self::run("alone", loopback(0), ports, ACCOUNTS, false)
    }

    /// The same, where clients may use TLS.
    ///
    /// # Errors
    /// [`Unavailable::Skip`] where it is not installed.
    pub fn start_with_tls() -> Result<Self, Unavailable> {
        let ports = Ports {
            clients: free_address().port(),
            monitoring: free_address().port(),
            routes: 0,
        };
        Self::run("alone", loopback(0), ports, ACCOUNTS, true)
    }

    /// A cluster of three, at loopback addresses of their own with the same ports, as in a cluster of pods.
    ///
    /// # Errors
    /// [`Unavailable::Skip`] where it is not installed.
    pub fn cluster() -> Result<Vec<Self>, Unavailable> {
        let ports = Ports {
            clients: common_port(),
            monitoring: common_port(),
            routes: common_port(),
        };
        let routes: Vec<_> = (0..3)
            .map(|it| format!("nats://{}:{}", loopback(it), ports.routes))
            .collect();
        let routes = routes.join(", ");
        let run = |number: u8| {
            let listen = loopback(number);
            let settings = format!(
                "cluster {{ name: tests, listen: \"{listen}:{}\", routes: [{routes}] }}\n",
                ports.routes
            );
            Self::run(&format!("node-{number}"), listen, ports, &settings, false)
        };
        (0..3).map(run).collect()
    }

    fn run(
        name: &str,
        listen: IpAddr,
        ports: Ports,
        further: &str,
        is_secure: bool,
    ) -> Result<Self, Unavailable> {
        let program = find("nats-server", &["/usr/sbin"])?;
        let folder = Server::folder();
        let (mut tls, mut certificates) = (String::new(), None);
        if is_secure {
            certificates = Some(Certificates::make(&folder).map_err(Unavailable::Failed)?);
            let pem = folder.join("broker.pem").display().to_string();
            tls = format!(
                "tls {{ cert_file: \"{pem}\", key_file: \"{pem}\" }}\nallow_non_tls: true\n"
            );
        }
        let settings = format!(
            "server_name: {name}\n\
             listen: \"{listen}:{}\"\n\
             http: \"{listen}:{}\"\n\
             jetstream {{ store_dir: \"{}\" }}\n\
             {further}{tls}",
            ports.clients,
            ports.monitoring,
            folder.join("store").display()
        );
        let file = folder.join("nats.conf");
        fs::write(&file, settings).expect("the folder is ours");
        let address = SocketAddr::new(listen, ports.clients);
        let monitoring = SocketAddr::new(listen, ports.monitoring);
        let command = vec![
            program.display().to_string(),
            "--config".to_owned(),
            file.display().to_string(),
        ];
        let ready = || accepts(address) && accepts(monitoring);
        Ok(Self {
            server: Server::start(&folder, address, command, ready),
            monitoring,
            certificates,
        })
    }

    /// Host and port of the monitoring endpoint.
    pub fn monitoring(&self) -> String {
        self.monitoring.to_string()
    }

    /// Where clients come to.
    pub fn clients(&self) -> SocketAddr {
        self.server.address()
    }

    /// Who signed its certificate, PEM.
    ///
    /// # Panics
    /// When it was not started with TLS.
    pub fn authority(&self) -> String {
        let certificates = self.certificates.as_ref().expect("it was started with TLS");
        certificates.ca.clone()
    }

    /// What it says about the connections of clients that call themselves so.
    ///
    /// # Panics
    /// When it does not say.
    pub fn connections_of(&self, name: &str) -> Vec<Value> {
        let answer = Raw::connect(self.monitoring)
            .get("nats", "/connz")
            .response();
        let answer = answer.json();
        let connections = answer["connections"].as_array().expect("a list");
        let named = connections.iter().filter(|it| it["name"] == name);
        named.cloned().collect()
    }

    /// A connection of a client.
    ///
    /// # Panics
    /// When the server takes none.
    pub fn connect(&self) -> Connection {
        Connection::open(self.server.address(), "{\"verbose\":false}")
    }

    /// A connection of the user `shop`.
    ///
    /// # Panics
    /// When the server takes none.
    pub fn connect_as_shop(&self) -> Connection {
        let options = "{\"verbose\":false,\"user\":\"shop\",\"pass\":\"shop\"}";
        Connection::open(self.server.address(), options)
    }

    /// How often a path of the monitoring endpoint was asked for, by the server's own count.
    ///
    /// # Panics
    /// When it does not say.
    pub fn asked(&self, path: &str) -> u64 {
        let answer = Raw::connect(self.monitoring)
            .get("nats", "/varz")
            .response();
        answer.json()["http_req_stats"][path].as_u64().unwrap_or(0)
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Runs it again, with what it stored.
    pub fn restart(&mut self) {
        let (address, monitoring) = (self.server.address(), self.monitoring);
        self.server.run(|| accepts(address) && accepts(monitoring));
    }

    /// It answers nobody any more.
    pub fn freeze(&mut self) {
        self.server.freeze();
    }

    /// It goes on.
    pub fn thaw(&mut self) {
        self.server.thaw();
    }
}

fn loopback(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, number + 1))
}

/// A port that is free at all three addresses.
fn common_port() -> u16 {
    let is_free = |port: u16| {
        let mut addresses = (1..3).map(|it| SocketAddr::new(loopback(it), port));
        addresses.all(|address| TcpListener::bind(address).is_ok())
    };
    let mut ports = std::iter::repeat_with(|| free_address().port());
    ports
        .find(|port| is_free(*port))
        .expect("there are many ports")
}

/// A client's connection, in NATS's own text protocol.
#[derive(Debug)]
pub struct Connection {
    reader: BufReader<TcpStream>,
    inboxes: u64,
}

/// A message, and where its acknowledgement goes.
#[derive(Clone, Debug)]
struct Message {
    reply: String,
    payload: Vec<u8>,
}

impl Connection {
    fn open(address: SocketAddr, options: &str) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("the server listens");
        stream
            .set_read_timeout(Some(ANSWER_WITHIN))
            .expect("a bound");
        let mut connection = Self {
            reader: BufReader::new(stream),
            inboxes: 0,
        };
        connection.send(&format!("CONNECT {options}\r\nSUB inbox.> 1\r\nPING\r\n"));
        while connection.line().expect("the server answers") != "PONG" {}
        connection
    }

    fn send(&mut self, text: &str) {
        let sent = self.reader.get_mut().write_all(text.as_bytes());
        sent.expect("the server listens");
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end().to_owned();
        assert!(!line.starts_with("-ERR"), "{line}");
        Ok(line)
    }

    /// A subject for answers that no other question has, so that late answers are told apart.
    fn inbox(&mut self) -> String {
        self.inboxes += 1;
        format!("inbox.{}", self.inboxes)
    }

    /// The answer to an inbox.
    fn message(&mut self, inbox: &str) -> io::Result<Message> {
        self.next(|subject, _| subject == inbox)
    }

    /// The next message that is meant, by its subject and where its acknowledgement goes.
    fn next(&mut self, is_meant: impl Fn(&str, &str) -> bool) -> io::Result<Message> {
        loop {
            let line = self.line()?;
            if line == "PING" {
                self.send("PONG\r\n");
                continue;
            }
            let words: Vec<_> = line.split_ascii_whitespace().collect();
            let (subject, reply, length) = match words.as_slice() {
                ["MSG", subject, _, length] => (*subject, String::new(), *length),
                ["MSG", subject, _, reply, length] => (*subject, (*reply).to_owned(), *length),
                _ => continue,
            };
            let is_meant = is_meant(subject, &reply);
            let length: usize = length.parse().expect("a length");
            let mut payload = vec![0; length + 2];
            self.reader.read_exact(&mut payload)?;
            payload.truncate(length);
            if is_meant {
                return Ok(Message { reply, payload });
            }
        }
    }

    fn publish_with(&mut self, subject: &str, reply: &str, payload: &str) {
        let length = payload.len();
        self.send(&format!("PUB {subject} {reply} {length}\r\n{payload}\r\n"));
    }

    /// Asks the JetStream API until it answers without an error: a cluster may be without a leader for a while.
    fn ask(&mut self, subject: &str, request: &Value) -> Value {
        until(subject, || {
            let inbox = self.inbox();
            self.publish_with(subject, &inbox, &request.to_string());
            let answer = self.message(&inbox).ok()?;
            let answer: Value = serde_json::from_slice(&answer.payload).ok()?;
            if answer["error"].is_null() {
                return Some(answer);
            }
            eprintln!("{subject}: {}", answer["error"]);
            None
        })
    }

    /// Makes a stream of the subject of its name.
    ///
    /// # Panics
    /// When the server refuses it.
    pub fn create_stream(&mut self, name: &str, replicas: u32) {
        let config = json!({
            "name": name,
            "subjects": [name],
            "retention": "limits",
            "storage": "file",
            "num_replicas": replicas,
        });
        self.ask(&format!("$JS.API.STREAM.CREATE.{name}"), &config);
    }

    /// Removes a stream with its consumers.
    ///
    /// # Panics
    /// When the server refuses it.
    pub fn delete_stream(&mut self, name: &str) {
        self.ask(&format!("$JS.API.STREAM.DELETE.{name}"), &json!({}));
    }

    /// Makes a durable consumer that is asked for messages.
    ///
    /// # Panics
    /// When the server refuses it.
    pub fn create_consumer(&mut self, stream: &str, name: &str) {
        let config = json!({
            "stream_name": stream,
            "config": { "durable_name": name, "ack_policy": "explicit", "deliver_policy": "all" },
        });
        let subject = format!("$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{name}");
        self.ask(&subject, &config);
    }

    /// The server that leads a consumer of a cluster.
    ///
    /// # Panics
    /// When the server does not say.
    pub fn leader(&mut self, stream: &str, consumer: &str) -> String {
        let subject = format!("$JS.API.CONSUMER.INFO.{stream}.{consumer}");
        until("the consumer to have a leader", || {
            let answer = self.ask(&subject, &json!({}));
            let leader = answer["cluster"]["leader"].as_str()?;
            (!leader.is_empty()).then(|| leader.to_owned())
        })
    }

    /// Publishes so many messages to a stream, each acknowledged by the server.
    ///
    /// # Panics
    /// When one is not.
    pub fn publish(&mut self, stream: &str, count: usize) {
        for _ in 0..count {
            let inbox = self.inbox();
            self.publish_with(stream, &inbox, "hello");
            let answer = self.message(&inbox).expect("the server answers");
            let answer: Value = serde_json::from_slice(&answer.payload).expect("it is JSON");
            assert!(answer["error"].is_null(), "{answer}");
        }
    }

    /// Publishes so many messages to a subject, whether anybody keeps them or not.
    pub fn publish_plain(&mut self, subject: &str, count: usize) {
        let message = format!("PUB {subject} 5\r\nhello\r\n");
        self.send(&message.repeat(count));
        self.send("PING\r\n");
        while self.line().expect("the server answers") != "PONG" {}
    }

    /// Takes so many messages for a consumer, and says where they are acknowledged.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn take(&mut self, stream: &str, consumer: &str, count: usize) -> Vec<String> {
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
        let inbox = self.inbox();
        self.publish_with(&subject, &inbox, &count.to_string());
        // Messages keep the subjects that they were published to.
        let is_message = |_: &str, reply: &str| reply.starts_with("$JS.ACK.");
        let mut next = || self.next(is_message).expect("there is a message").reply;
        (0..count).map(|_| next()).collect()
    }

    /// Acknowledges messages, and waits until the server knows.
    ///
    /// # Panics
    /// When it does not say so.
    pub fn acknowledge(&mut self, replies: &[String]) {
        for reply in replies {
            let inbox = self.inbox();
            self.publish_with(reply, &inbox, "+ACK");
            self.message(&inbox).expect("the server confirms");
        }
    }
}
