//! PostgreSQL: a row for each function.

use std::time::SystemTime;

use anyhow::Result;
use serde_json::{Value, json};
use zeron_tests::broker::Unavailable;
use zeron_tests::servers::postgresql::{self, Postgres};

use super::{Feed, password};

struct RowFeed {
    server: Postgres,
    runtime: tokio::runtime::Runtime,
    client: tokio_postgres::Client,
}

pub(super) fn rows() -> Result<Box<dyn Feed>, Unavailable> {
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
    fn kind(&self, _: bool) -> &'static str {
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
        password(postgresql::PASSWORD)
    }

    fn can_push(&self) -> bool {
        true
    }

    fn make(&mut self, thing: &str) -> Result<()> {
        self.server
            .ask(&format!("INSERT INTO work VALUES ('{thing}', 0);"));
        Ok(())
    }

    fn emit(&mut self, thing: &str) -> Result<SystemTime> {
        let began = SystemTime::now();
        let channel = thing.replace('-', "_");
        let statements =
            format!("UPDATE work SET value = 1 WHERE thing = '{thing}'; NOTIFY {channel};");
        self.runtime
            .block_on(self.client.batch_execute(&statements))?;
        Ok(began)
    }
}
