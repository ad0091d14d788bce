//! MySQL and MariaDB (`mysql` triggers): the number that a query selects.
//!
//! One connection per server, database and credentials, and up to three more while queries are slow (`crate::sql`). The session
//! is read-only, the server cuts queries off (`max_execution_time`, MariaDB's `max_statement_time`; MySQL before 5.7.8 cannot: there
//! the connection of a query that is late is given up), and each is sent as a prepared statement: never more than one.
//!
//! Differences to KEDA:
//! - NULL and no row are unknown, as there; NaN, infinity and negative numbers are unknown too.
//! - The metric of a connection string is named after its database alone, without the parameters that follow it.
//! - `connectionString` and `password` in the manifest itself are refused; there they are silently ignored.
//! - TLS without a connection string: `tls`, and `ca`, `cert`, `key` of the authentication, which also stand for a
//!   configuration that a program would register. With `tls: true` the roots of Mozilla and `ca` are trusted.

mod client;
mod dsn;
mod error;
mod login;
mod table;
mod trigger;

use std::sync::Arc;

use zeron_core::metric::Unknown;
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::{BoundTrigger, TriggerProblem};

use crate::AddressPolicy;
use crate::registry::{SourceType, TriggerType, configuration};
use crate::source::Sources;
use crate::sql::SqlClient;
use login::Login;
use trigger::MysqlTrigger;

/// MySQL as a source: one client per server, database and credentials.
#[derive(Debug)]
pub(crate) struct Mysql {
    sources: Sources<Login, SqlClient<client::Mysql>>,
    addresses: AddressPolicy,
}

impl Mysql {
    /// No client yet.
    pub(crate) fn new(addresses: AddressPolicy) -> Self {
        Self {
            sources: Sources::default(),
            addresses,
        }
    }
}

impl SourceType for Mysql {
    fn types(&self) -> Vec<TriggerType> {
        vec![TriggerType {
            name: "mysql",
            about: "a number that a query selects from MySQL or MariaDB",
            parameters: table::MYSQL,
        }]
    }

    fn validate(&self, trigger: &TriggerSpec) -> Vec<TriggerProblem> {
        MysqlTrigger::parse(trigger).1
    }

    fn bind(&self, trigger: &TriggerSpec) -> Result<BoundTrigger, Unknown> {
        let (parsed, problems) = MysqlTrigger::parse(trigger);
        let MysqlTrigger { login, query } = parsed.ok_or_else(|| configuration(&problems))?;
        let shown = login.to_string();
        let make = || {
            let database = Arc::new(client::Mysql::new(login.clone(), self.addresses.clone()));
            SqlClient::new(database, &*shown, None)
        };
        let name = format!("mysql/{shown}");
        Ok(self.sources.bind(&login, &name, make, query))
    }
}
