//! Servers, and triggers on them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use zeron_core::policy::TriggerSpec;
use zeron_tests::broker::{self, Unavailable};
use zeron_tests::servers::postgresql::{DATABASE, PASSWORD, Postgres, USER};
use zeron_tests::servers::triggers::spec;

/// A query that gives 4 after a second.
pub(crate) const SECOND_LONG: &str = "SELECT 4 FROM pg_sleep(1)";

/// The server that the tests share, or `None` once the skip was reported.
pub(crate) fn shared(test: &str) -> Option<&'static Postgres> {
    match Postgres::shared() {
        Ok(server) => Some(server),
        Err(Unavailable::Skip(reason)) => {
            broker::skip(&format!("scaler_postgresql::{test}"), reason);
            None
        }
        Err(Unavailable::Failed(error)) => panic!("{error:#}"),
    }
}

/// A server of the test's own, to be broken.
pub(crate) fn own(test: &str) -> Option<Postgres> {
    match Postgres::start() {
        Ok(server) => Some(server),
        Err(Unavailable::Skip(reason)) => {
            broker::skip(&format!("scaler_postgresql::{test}"), &reason);
            None
        }
        Err(Unavailable::Failed(error)) => panic!("{error:#}"),
    }
}

/// A name that no other test uses.
pub(crate) fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{name}_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A table of jobs, `count` of them pending.
pub(crate) fn table(server: &Postgres, count: u32) -> String {
    let name = unique("queue");
    server.ask(&format!(
        "CREATE TABLE {name} (id serial PRIMARY KEY, state text NOT NULL DEFAULT 'pending'); \
         INSERT INTO {name} (state) SELECT 'pending' FROM generate_series(1, {count});"
    ));
    name
}

/// Counts the jobs that wait.
pub(crate) fn pending(table: &str) -> String {
    format!("SELECT count(*) FROM {table} WHERE state = 'pending'")
}

/// A trigger by fields, without TLS, whose target is five.
pub(crate) fn by_fields(address: SocketAddr, query: &str) -> TriggerSpec {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let metadata = [
        ("host", host.as_str()),
        ("port", port.as_str()),
        ("userName", USER),
        ("dbName", DATABASE),
        ("sslmode", "disable"),
        ("query", query),
        ("targetQueryValue", "5"),
    ];
    spec("postgresql", &metadata, &[("password", PASSWORD)])
}

/// A trigger by connection string, whose target is five; `auth` is what else a TriggerAuthentication gives.
pub(crate) fn by_string(connection: &str, query: &str, auth: &[(&str, &str)]) -> TriggerSpec {
    let metadata = [("query", query), ("targetQueryValue", "5")];
    let auth: Vec<_> = [("connection", connection)]
        .iter()
        .chain(auth)
        .copied()
        .collect();
    spec("postgresql", &metadata, &auth)
}

/// The same trigger with one more parameter.
pub(crate) fn with(mut trigger: TriggerSpec, name: &str, value: &str) -> TriggerSpec {
    trigger.metadata.insert(name.to_owned(), value.to_owned());
    trigger
}
