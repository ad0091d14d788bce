//! A number in a row of a table, of PostgreSQL and of MariaDB.

use std::net::SocketAddr;

use zeron_tests::servers::mariadb::{self, Mariadb};
use zeron_tests::servers::postgresql::{self, Postgres};

use super::Started;
use crate::source::{Poison, Source};

const TABLE: &str =
    "CREATE TABLE work (thing varchar(20) PRIMARY KEY, value double precision NOT NULL);";

struct PostgresRows {
    server: Postgres,
}

struct MysqlRows {
    server: Mariadb,
}

pub(super) fn start_postgresql() -> Started {
    let server = Postgres::start()?;
    server.ask(TABLE);
    server.ask(&format!("GRANT SELECT ON work TO {};", postgresql::USER));
    Ok(Box::new(PostgresRows { server }))
}

pub(super) fn start_mysql() -> Started {
    let server = Mariadb::start()?;
    server.ask(TABLE);
    Ok(Box::new(MysqlRows { server }))
}

fn query(thing: &str) -> String {
    format!("SELECT value FROM work WHERE thing = '{thing}'")
}

/// Both databases take this.
fn write(thing: &str, value: &str) -> String {
    format!(
        "DELETE FROM work WHERE thing = '{thing}'; INSERT INTO work VALUES ('{thing}', {value});"
    )
}

fn password(is_right: bool, right: &str) -> Vec<(&'static str, String)> {
    let password = if is_right { right } else { "canary-wrong" };
    vec![("password", password.to_owned())]
}

impl Source for PostgresRows {
    fn kind(&self) -> &'static str {
        "postgresql"
    }

    fn server(&self) -> SocketAddr {
        self.server.address()
    }

    fn metadata(&self, thing: &str, address: SocketAddr) -> String {
        format!(
            "{{host: {}, port: \"{}\", userName: {}, dbName: {}, sslmode: disable, query: \"{}\", targetQueryValue: \"1\"}}",
            address.ip(),
            address.port(),
            postgresql::USER,
            postgresql::DATABASE,
            query(thing)
        )
    }

    fn credentials(&self, is_right: bool) -> Vec<(&'static str, String)> {
        password(is_right, postgresql::PASSWORD)
    }

    fn set(&mut self, thing: &str, work: u32) {
        self.server.ask(&write(thing, &work.to_string()));
    }

    fn poison(&mut self, thing: &str, poison: Poison) -> bool {
        let number = match poison {
            Poison::NotANumber => "'NaN'",
            Poison::Infinite => "'Infinity'",
            Poison::Negative => "-7",
        };
        self.server.ask(&write(thing, number));
        true
    }

    fn remove(&mut self, thing: &str) -> bool {
        self.server
            .ask(&format!("DELETE FROM work WHERE thing = '{thing}';"));
        true
    }

    fn kill(&mut self) -> bool {
        self.server.kill();
        true
    }

    fn restart(&mut self) {
        self.server.run();
    }
}

impl Source for MysqlRows {
    fn kind(&self) -> &'static str {
        "mysql"
    }

    fn server(&self) -> SocketAddr {
        self.server.address()
    }

    fn metadata(&self, thing: &str, address: SocketAddr) -> String {
        format!(
            "{{host: {}, port: \"{}\", username: {}, dbName: {}, query: \"{}\", queryValue: \"1\"}}",
            address.ip(),
            address.port(),
            mariadb::USER,
            mariadb::DATABASE,
            query(thing)
        )
    }

    fn credentials(&self, is_right: bool) -> Vec<(&'static str, String)> {
        password(is_right, mariadb::PASSWORD)
    }

    fn set(&mut self, thing: &str, work: u32) {
        self.server.ask(&write(thing, &work.to_string()));
    }

    fn poison(&mut self, thing: &str, poison: Poison) -> bool {
        // Its numbers are all finite.
        if poison == Poison::Negative {
            self.server.ask(&write(thing, "-7"));
        }
        poison == Poison::Negative
    }

    fn remove(&mut self, thing: &str) -> bool {
        self.server
            .ask(&format!("DELETE FROM work WHERE thing = '{thing}';"));
        true
    }

    fn kill(&mut self) -> bool {
        self.server.kill();
        true
    }

    fn restart(&mut self) {
        self.server.run();
    }
}
