//! The kinds of triggers, each with real servers that stand for many sources.

use std::net::SocketAddr;

use anyhow::Result;
use serde_json::{Value, json};
use zeron_tests::broker::Unavailable;
use zeron_tests::servers::api::{Api, Reply};
use zeron_tests::servers::nats::Nats;
use zeron_tests::servers::postgresql::{self, Postgres};
use zeron_tests::servers::redis::Redis;

/// The name of the one authentication.
pub(super) const AUTHENTICATION: &str = "bench";
/// The type of triggers that refer to it.
pub(super) const WITH_PASSWORD: &str = "postgresql";
/// Databases that a Redis server has unless told otherwise.
const REDIS_DATABASES: usize = 16;
/// Servers that the databases are spread over.
const POSTGRES_SERVERS: usize = 2;
/// In the name of what has work, where a server makes its answer up.
const BUSY: &str = "busy";

/// What a trigger reads: a list, a stream, a row, ...
#[derive(Debug)]
pub(super) struct Thing {
    pub(super) name: String,
    pub(super) is_busy: bool,
}

/// Servers of one kind.
pub(super) trait Kind {
    /// What things are called after: a part of a name in DNS.
    fn name(&self) -> &'static str;
    /// KEDA's name of the type.
    fn kind(&self) -> &'static str;
    /// How many sources there are: clients of a server, a database, an account.
    fn sources(&self) -> usize;
    /// Where a source's server listens; none where there is no server.
    fn address(&self, source: usize) -> Option<SocketAddr>;
    /// The metadata of a trigger for `thing`, read at `address`; one unit of work makes it active.
    fn metadata(&self, source: usize, address: Option<SocketAddr>, thing: &Thing) -> Value;
    /// Makes all things of a source, and the work of those that have some.
    fn fill(&mut self, source: usize, things: &[Thing]) -> Result<()>;
}

type Start = fn(bool) -> Result<Box<dyn Kind>, Unavailable>;

/// Percent of all triggers, and how the servers are started: in full number or few.
pub(super) const ALL: [(usize, Start); 6] = [
    (25, |is_full| keys(true, if is_full { 50 } else { 6 })),
    (20, |is_full| keys(false, if is_full { 40 } else { 5 })),
    (20, |is_full| rows(if is_full { 16 } else { 5 })),
    (10, |is_full| consumers(if is_full { 6 } else { 4 })),
    (20, |is_full| numbers(if is_full { 40 } else { 5 })),
    (5, |_| Ok(Box::new(Windows))),
];

/// The authentication that triggers refer to, and its Secret.
pub(super) fn authentication() -> Vec<Value> {
    let target = json!({"parameter": "password", "name": AUTHENTICATION, "key": "password"});
    vec![
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": AUTHENTICATION},
               "stringData": {"password": postgresql::PASSWORD}}),
        json!({"apiVersion": "keda.sh/v1alpha1", "kind": "TriggerAuthentication",
               "metadata": {"name": AUTHENTICATION},
               "spec": {"secretTargetRef": [target]}}),
    ]
}

/// Lists or streams; a source is a database.
struct Keys {
    servers: Vec<Redis>,
    sources: usize,
    are_lists: bool,
}

fn keys(are_lists: bool, sources: usize) -> Result<Box<dyn Kind>, Unavailable> {
    let servers: Result<Vec<_>, _> = (0..sources.div_ceil(REDIS_DATABASES))
        .map(|_| Redis::start())
        .collect();
    Ok(Box::new(Keys {
        servers: servers?,
        sources,
        are_lists,
    }))
}

impl Keys {
    fn server(&self, source: usize) -> &Redis {
        &self.servers[source / REDIS_DATABASES]
    }
}

impl Kind for Keys {
    fn name(&self) -> &'static str {
        if self.are_lists { "list" } else { "stream" }
    }

    fn kind(&self) -> &'static str {
        if self.are_lists {
            "redis"
        } else {
            "redis-streams"
        }
    }

    fn sources(&self) -> usize {
        self.sources
    }

    fn address(&self, source: usize) -> Option<SocketAddr> {
        Some(self.server(source).address())
    }

    fn metadata(&self, source: usize, address: Option<SocketAddr>, thing: &Thing) -> Value {
        let (key, length) = if self.are_lists {
            ("listName", "listLength")
        } else {
            ("stream", "streamLength")
        };
        json!({
            "address": shown(address),
            "databaseIndex": (source % REDIS_DATABASES).to_string(),
            key: thing.name,
            length: "1",
        })
    }

    fn fill(&mut self, source: usize, things: &[Thing]) -> Result<()> {
        let mut lines = format!("SELECT {}\n", source % REDIS_DATABASES);
        for thing in things.iter().filter(|it| it.is_busy) {
            let name = &thing.name;
            lines += &if self.are_lists {
                format!("RPUSH {name} work\n")
            } else {
                format!("XADD {name} * work x\n")
            };
        }
        self.server(source).feed(&lines);
        Ok(())
    }
}

/// Rows of a table; a source is a database.
struct Rows {
    servers: Vec<Postgres>,
    sources: usize,
}

fn rows(sources: usize) -> Result<Box<dyn Kind>, Unavailable> {
    let servers: Result<Vec<_>, _> = (0..POSTGRES_SERVERS).map(|_| Postgres::start()).collect();
    let servers = servers?;
    for server in &servers {
        server.ask("CREATE TABLE work (thing text PRIMARY KEY, value int NOT NULL)");
    }
    Ok(Box::new(Rows { servers, sources }))
}

fn database(source: usize) -> String {
    format!("jobs_{source}")
}

impl Kind for Rows {
    fn name(&self) -> &'static str {
        "row"
    }

    fn kind(&self) -> &'static str {
        WITH_PASSWORD
    }

    fn sources(&self) -> usize {
        self.sources
    }

    fn address(&self, source: usize) -> Option<SocketAddr> {
        Some(self.servers[source % POSTGRES_SERVERS].address())
    }

    fn metadata(&self, source: usize, address: Option<SocketAddr>, thing: &Thing) -> Value {
        json!({
            "host": address.map(|it| it.ip().to_string()),
            "port": address.map(|it| it.port().to_string()),
            "userName": postgresql::USER,
            "dbName": database(source),
            "sslmode": "disable",
            "query": format!("SELECT value FROM work WHERE thing = '{}'", thing.name),
            "targetQueryValue": "1",
        })
    }

    fn fill(&mut self, source: usize, things: &[Thing]) -> Result<()> {
        let row = |it: &Thing| format!("('{}', {})", it.name, u8::from(it.is_busy));
        let rows: Vec<String> = things.iter().map(row).collect();
        let rows = rows.join(",");
        let server = &self.servers[source % POSTGRES_SERVERS];
        server.ask(&format!("INSERT INTO work VALUES {rows}"));
        // With the table and all that is in it by now; in a transaction with others no database is made.
        let (from, to) = (postgresql::DATABASE, database(source));
        server.ask(&format!("CREATE DATABASE {to} TEMPLATE {from}"));
        Ok(())
    }
}

/// Consumers of JetStream; a source is a server, and those that may fail are read at the first one.
struct Consumers {
    servers: Vec<Nats>,
    sources: usize,
}

fn consumers(sources: usize) -> Result<Box<dyn Kind>, Unavailable> {
    let servers: Result<Vec<_>, _> = (0..sources).map(|_| Nats::start()).collect();
    Ok(Box::new(Consumers {
        servers: servers?,
        sources,
    }))
}

impl Kind for Consumers {
    fn name(&self) -> &'static str {
        "consumer"
    }

    fn kind(&self) -> &'static str {
        "nats-jetstream"
    }

    fn sources(&self) -> usize {
        self.sources
    }

    fn address(&self, source: usize) -> Option<SocketAddr> {
        self.servers[source].monitoring().parse().ok()
    }

    fn metadata(&self, _: usize, address: Option<SocketAddr>, thing: &Thing) -> Value {
        json!({
            "natsServerMonitoringEndpoint": shown(address),
            "account": "SHOP",
            "stream": thing.name,
            "consumer": "worker",
            "lagThreshold": "1",
        })
    }

    fn fill(&mut self, source: usize, things: &[Thing]) -> Result<()> {
        let mut connection = self.servers[source].connect_as_shop();
        for thing in things {
            connection.create_stream(&thing.name, 1);
            connection.create_consumer(&thing.name, "worker");
            connection.publish(&thing.name, usize::from(thing.is_busy));
        }
        Ok(())
    }
}

/// Numbers of HTTP services; a source is a service.
struct Numbers {
    servers: Vec<Api>,
}

fn numbers(sources: usize) -> Result<Box<dyn Kind>, Unavailable> {
    let answer = |head: &http::request::Parts, _: &str| {
        let is_busy = head.uri.path().ends_with(BUSY);
        Reply::ok(format!("{{\"work\": {}}}", u8::from(is_busy)))
    };
    let servers = (0..sources).map(|_| Api::start(answer)).collect();
    Ok(Box::new(Numbers { servers }))
}

impl Kind for Numbers {
    fn name(&self) -> &'static str {
        "number"
    }

    fn kind(&self) -> &'static str {
        "metrics-api"
    }

    fn sources(&self) -> usize {
        self.servers.len()
    }

    fn address(&self, source: usize) -> Option<SocketAddr> {
        Some(self.servers[source].address())
    }

    fn metadata(&self, _: usize, address: Option<SocketAddr>, thing: &Thing) -> Value {
        let state = if thing.is_busy { BUSY } else { "idle" };
        let url = format!("http://{}/{}/{state}", shown(address), thing.name);
        json!({"url": url, "valueLocation": "work", "targetValue": "1"})
    }

    fn fill(&mut self, _: usize, _: &[Thing]) -> Result<()> {
        Ok(())
    }
}

/// Windows of time, which no server has: open all year but its last minute, or in this minute alone.
struct Windows;

impl Kind for Windows {
    fn name(&self) -> &'static str {
        "window"
    }

    fn kind(&self) -> &'static str {
        "cron"
    }

    fn sources(&self) -> usize {
        1
    }

    fn address(&self, _: usize) -> Option<SocketAddr> {
        None
    }

    fn metadata(&self, _: usize, _: Option<SocketAddr>, thing: &Thing) -> Value {
        let (opens, closes) = ("0 0 1 1 *", "59 23 31 12 *");
        let (start, end) = if thing.is_busy {
            (opens, closes)
        } else {
            (closes, opens)
        };
        json!({"timezone": "UTC", "start": start, "end": end, "desiredReplicas": "1"})
    }

    fn fill(&mut self, _: usize, _: &[Thing]) -> Result<()> {
        Ok(())
    }
}

fn shown(address: Option<SocketAddr>) -> String {
    address.map(|it| it.to_string()).unwrap_or_default()
}
