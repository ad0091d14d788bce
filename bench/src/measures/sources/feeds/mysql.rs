//! MariaDB: a row for each function.

use std::time::SystemTime;

use anyhow::Result;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use serde_json::{Value, json};
use zeron_tests::broker::Unavailable;
use zeron_tests::servers::mariadb::{DATABASE, Mariadb, PASSWORD, USER};

use super::{Feed, password};

struct RowFeed {
    server: Mariadb,
    runtime: tokio::runtime::Runtime,
    client: Conn,
}

pub(super) fn rows() -> Result<Box<dyn Feed>, Unavailable> {
    let server = Mariadb::start()?;
    server.ask(&format!(
        "CREATE TABLE work (thing VARCHAR(64) PRIMARY KEY, value INT NOT NULL); \
         GRANT UPDATE ON {DATABASE}.work TO {USER}@'%';"
    ));
    let feed = connected(server).map_err(Unavailable::Failed)?;
    Ok(Box::new(feed))
}

fn connected(server: Mariadb) -> Result<RowFeed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let options = OptsBuilder::default()
        .ip_or_hostname(server.address().ip().to_string())
        .tcp_port(server.address().port())
        .user(Some(USER))
        .pass(Some(PASSWORD))
        .db_name(Some(DATABASE))
        .prefer_socket(false);
    let client = runtime.block_on(Conn::new(options))?;
    Ok(RowFeed {
        server,
        runtime,
        client,
    })
}

impl Feed for RowFeed {
    fn kind(&self, _: bool) -> &'static str {
        "mysql"
    }

    fn metadata(&self, thing: &str, _: bool) -> Value {
        json!({
            "host": self.server.address().ip().to_string(),
            "port": self.server.address().port().to_string(),
            "username": USER,
            "dbName": DATABASE,
            "query": format!("SELECT value FROM work WHERE thing = '{thing}'"),
            "queryValue": "1",
        })
    }

    fn authentication(&self) -> Vec<Value> {
        password(PASSWORD)
    }

    fn make(&mut self, thing: &str) -> Result<()> {
        self.server
            .ask(&format!("INSERT INTO work VALUES ('{thing}', 0);"));
        Ok(())
    }

    fn emit(&mut self, thing: &str) -> Result<SystemTime> {
        let statement = format!("UPDATE work SET value = 1 WHERE thing = '{thing}'");
        let began = SystemTime::now();
        self.runtime.block_on(self.client.query_drop(statement))?;
        Ok(began)
    }
}
