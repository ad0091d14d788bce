//! PostgreSQL (`postgresql` triggers): the number that a query selects.
//!
//! One connection per server, database and credentials, and up to three more while queries are slow (`crate::sql`).
//! Each query runs in a transaction of its own that writes nothing and is cut off by the server (`statement_timeout`); begin,
//! query and end go out together, up to 16 queries at a time. That works through poolers that lend a session per transaction.
//!
//! With `push`, one further connection per server LISTENs on the channels of all its triggers: a NOTIFY counts as
//! work at once, and the query is asked. Nothing is consumed.
//!
//! Differences to KEDA:
//! - NULL and no row are unknown, as there; NaN, infinity and negative numbers are unknown too.
//! - Triggers of one server, database and credentials share connections whatever their other parameters.
//! - `connection` and `password` in the manifest itself are refused; there they are silently ignored.
//! - `sslrootcert`, `sslcert` and `sslkey` name files of the machine that asks, and are refused: `ca`, `cert` and `key` of the
//!   authentication are taken instead. `allow` encrypts where the server can.
//! - Azure workload identity is not supported (the TriggerAuthentication says so).

mod client;
mod connection_string;
mod error;
mod frames;
mod listener;
mod login;
mod number;
mod table;
mod tls;
mod transport;
mod trigger;

use std::sync::Arc;

use zeron_core::metric::Unknown;
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::{BoundTrigger, TriggerProblem};

use crate::AddressPolicy;
use crate::registry::{SourceType, TriggerType, configuration};
use crate::source::Sources;
use crate::sql::SqlClient;
use client::Postgres;
use listener::Listener;
use login::Login;
use trigger::PostgresTrigger;

/// PostgreSQL as a source: one client per server, database and credentials.
#[derive(Debug)]
pub(crate) struct Postgresql {
    sources: Sources<Login, SqlClient<Postgres>>,
    addresses: AddressPolicy,
}

impl Postgresql {
    /// No client yet.
    pub(crate) fn new(addresses: AddressPolicy) -> Self {
        Self {
            sources: Sources::default(),
            addresses,
        }
    }
}

impl SourceType for Postgresql {
    fn types(&self) -> Vec<TriggerType> {
        vec![TriggerType {
            name: "postgresql",
            about: "a number that a query selects from PostgreSQL",
            parameters: table::POSTGRESQL,
        }]
    }

    fn validate(&self, trigger: &TriggerSpec) -> Vec<TriggerProblem> {
        PostgresTrigger::parse(trigger).1
    }

    fn bind(&self, trigger: &TriggerSpec) -> Result<BoundTrigger, Unknown> {
        let (parsed, problems) = PostgresTrigger::parse(trigger);
        let PostgresTrigger { login, query } = parsed.ok_or_else(|| configuration(&problems))?;
        let shown = login.shown();
        let make = || {
            let database = Arc::new(Postgres::new(login.clone(), self.addresses.clone()));
            let listener = Listener::new(Arc::clone(&database));
            SqlClient::new(database, &*shown, Some(Box::new(listener)))
        };
        let name = format!("postgresql/{shown}");
        Ok(self.sources.bind(&login, &name, make, query))
    }
}
