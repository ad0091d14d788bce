//! The sources that are fed: real servers, each with a connection of its own that is open before it counts.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use zeron_tests::broker::Unavailable;
use zeron_tests::servers::api::{Api, Reply};
use zeron_tests::servers::nats::{Connection, Nats};
use zeron_tests::servers::postgresql::{self, Postgres};
use zeron_tests::servers::redis::{Options, Redis};

/// A source of one type.
pub(super) trait Feed {
    /// What figures call it.
    fn name(&self) -> &'static str;
    /// KEDA's name of the type.
    fn kind(&self) -> &'static str;
    /// A trigger's metadata: one event in `thing` makes it active.
    fn metadata(&self, thing: &str, is_pushed: bool) -> Value;
    /// The authentication `bench` and what it needs.
    fn authentication(&self) -> Vec<Value> {
        Vec::new()
    }
    /// Whether it can push.
    fn can_push(&self) -> bool {
        false
    }
    /// Makes `thing`, without an event.
    fn make(&mut self, thing: &str) -> Result<()> {
        let _ = thing;
        Ok(())
    }
    /// Puts one event into it.
    fn emit(&mut self, thing: &str) -> Result<()>;
}

type Start = fn() -> Result<Box<dyn Feed>, Unavailable>;

/// How each is started.
pub(super) const ALL: [Start; 5] = [lists, streams, rows, consumers, numbers];

struct RedisFeed {
    server: Redis,
    stream: TcpStream,
    is_list: bool,
}

fn lists() -> Result<Box<dyn Feed>, Unavailable> {
    redis(true)
}

fn streams() -> Result<Box<dyn Feed>, Unavailable> {
    redis(false)
}

fn redis(is_list: bool) -> Result<Box<dyn Feed>, Unavailable> {
    let server = Redis::start_with(&Options::with(&[("notify-keyspace-events", "KA")]))?;
    let stream = connect(server.address()).map_err(Unavailable::Failed)?;
    Ok(Box::new(RedisFeed {
        server,
        stream,
        is_list,
    }))
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Feed for RedisFeed {
    fn name(&self) -> &'static str {
        self.kind()
    }

    fn kind(&self) -> &'static str {
        if self.is_list {
            "redis"
        } else {
            "redis-streams"
        }
    }

    fn metadata(&self, thing: &str, is_pushed: bool) -> Value {
        let (key, length) = if self.is_list {
            ("listName", "listLength")
        } else {
            ("stream", "streamLength")
        };
        json!({
            "address": self.server.address().to_string(),
            key: thing,
            length: "1",
            "push": is_pushed.to_string(),
        })
    }

    fn can_push(&self) -> bool {
        true
    }

    fn emit(&mut self, thing: &str) -> Result<()> {
        let command = if self.is_list {
            format!("RPUSH {thing} x\r\n")
        } else {
            format!("XADD {thing} * a b\r\n")
        };
        self.stream.write_all(command.as_bytes())?;
        let mut answer = String::new();
        BufReader::new(&self.stream).read_line(&mut answer)?;
        ensure!(!answer.starts_with('-'), "redis: {answer}");
        Ok(())
    }
}

struct RowFeed {
    server: Postgres,
    runtime: tokio::runtime::Runtime,
    client: tokio_postgres::Client,
}

fn rows() -> Result<Box<dyn Feed>, Unavailable> {
    let server = Postgres::start()?;
    server.ask("CREATE TABLE work (thing text PRIMARY KEY, value int NOT NULL);");
    server.ask(&format!(
        "GRANT SELECT, UPDATE ON work TO {};",
        postgresql::USER
    ));
    let feed = row_feed(server).map_err(Unavailable::Failed)?;
    Ok(Box::new(feed))
}

fn row_feed(server: Postgres) -> Result<RowFeed> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let mut config = tokio_postgres::Config::new();
    config
        .host(server.address().ip().to_string())
        .port(server.address().port())
        .user(postgresql::USER)
        .password(postgresql::PASSWORD)
        .dbname(postgresql::DATABASE);
    let (client, connection) = runtime.block_on(config.connect(tokio_postgres::NoTls))?;
    // It ends with its client.
    drop(runtime.spawn(connection));
    Ok(RowFeed {
        server,
        runtime,
        client,
    })
}

impl Feed for RowFeed {
    fn name(&self) -> &'static str {
        "postgresql"
    }

    fn kind(&self) -> &'static str {
        "postgresql"
    }

    fn metadata(&self, thing: &str, is_pushed: bool) -> Value {
        let mut metadata = json!({
            "host": self.server.address().ip().to_string(),
            "port": self.server.address().port().to_string(),
            "userName": postgresql::USER,
            "dbName": postgresql::DATABASE,
            "sslmode": "disable",
            "query": format!("SELECT value FROM work WHERE thing = '{thing}'"),
            "targetQueryValue": "1",
        });
        if is_pushed {
            metadata["push"] = "true".into();
            metadata["channel"] = thing.replace('-', "_").into();
        }
        metadata
    }

    fn authentication(&self) -> Vec<Value> {
        vec![
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bench"},
                   "stringData": {"password": postgresql::PASSWORD}}),
            json!({"apiVersion": "keda.sh/v1alpha1", "kind": "TriggerAuthentication",
                   "metadata": {"name": "bench"},
                   "spec": {"secretTargetRef": [{"parameter": "password", "name": "bench", "key": "password"}]}}),
        ]
    }

    fn can_push(&self) -> bool {
        true
    }

    fn make(&mut self, thing: &str) -> Result<()> {
        self.server
            .ask(&format!("INSERT INTO work VALUES ('{thing}', 0);"));
        Ok(())
    }

    fn emit(&mut self, thing: &str) -> Result<()> {
        let channel = thing.replace('-', "_");
        let statements =
            format!("UPDATE work SET value = 1 WHERE thing = '{thing}'; NOTIFY {channel};");
        self.runtime
            .block_on(self.client.batch_execute(&statements))?;
        Ok(())
    }
}

struct ConsumerFeed {
    server: Nats,
    connection: Connection,
}

fn consumers() -> Result<Box<dyn Feed>, Unavailable> {
    let server = Nats::start()?;
    let connection = server.connect_as_shop();
    Ok(Box::new(ConsumerFeed { server, connection }))
}

impl Feed for ConsumerFeed {
    fn name(&self) -> &'static str {
        "nats-jetstream"
    }

    fn kind(&self) -> &'static str {
        "nats-jetstream"
    }

    fn metadata(&self, thing: &str, _: bool) -> Value {
        json!({
            "natsServerMonitoringEndpoint": self.server.monitoring(),
            "account": "SHOP",
            "stream": thing,
            "consumer": "worker",
            "lagThreshold": "1",
        })
    }

    fn make(&mut self, thing: &str) -> Result<()> {
        self.connection.create_stream(thing, 1);
        self.connection.create_consumer(thing, "worker");
        Ok(())
    }

    fn emit(&mut self, thing: &str) -> Result<()> {
        self.connection.publish(thing, 1);
        Ok(())
    }
}

struct NumberFeed {
    server: Api,
    numbers: Arc<Mutex<BTreeMap<String, u32>>>,
}

fn numbers() -> Result<Box<dyn Feed>, Unavailable> {
    let numbers: Arc<Mutex<BTreeMap<String, u32>>> = Arc::default();
    let shown = Arc::clone(&numbers);
    let server = Api::start(move |head, _| {
        let numbers = shown.lock().unwrap_or_else(PoisonError::into_inner);
        let number = numbers.get(&head.uri.path()[1..]).copied().unwrap_or(0);
        Reply::ok(format!("{{\"work\": {number}}}"))
    });
    Ok(Box::new(NumberFeed { server, numbers }))
}

impl Feed for NumberFeed {
    fn name(&self) -> &'static str {
        "metrics-api"
    }

    fn kind(&self) -> &'static str {
        "metrics-api"
    }

    fn metadata(&self, thing: &str, _: bool) -> Value {
        let url = self.server.url(&format!("/{thing}"));
        json!({"url": url, "valueLocation": "work", "targetValue": "1"})
    }

    fn emit(&mut self, thing: &str) -> Result<()> {
        let numbers = self
            .numbers
            .lock()
            .ok()
            .context("a thread of the server panicked");
        numbers?.insert(thing.to_owned(), 1);
        Ok(())
    }
}
