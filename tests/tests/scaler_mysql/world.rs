//! Servers, and triggers on them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use zeron_core::policy::TriggerSpec;
use zeron_tests::broker::{self, Unavailable};
use zeron_tests::servers::mariadb::{DATABASE, Mariadb, PASSWORD, USER};
use zeron_tests::servers::triggers::spec;

/// A query that gives 4 after a second.
pub(crate) const SECOND_LONG: &str = "SELECT 4 + sleep(1)";

/// The server that the tests share, or `None` once the skip was reported.
pub(crate) fn shared(test: &str) -> Option<&'static Mariadb> {
    match Mariadb::shared() {
        Ok(server) => Some(server),
        Err(Unavailable::Skip(reason)) => {
            broker::skip(&format!("scaler_mysql::{test}"), reason);
            None
        }
        Err(Unavailable::Failed(error)) => panic!("{error:#}"),
    }
}

/// A server of the test's own, to be broken.
pub(crate) fn own(test: &str) -> Option<Mariadb> {
    match Mariadb::start() {
        Ok(server) => Some(server),
        Err(Unavailable::Skip(reason)) => {
            broker::skip(&format!("scaler_mysql::{test}"), &reason);
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
pub(crate) fn table(server: &Mariadb, count: u32) -> String {
    let name = unique("queue");
    server.ask(&format!(
        "CREATE TABLE {name} (id int AUTO_INCREMENT PRIMARY KEY, state varchar(9) NOT NULL DEFAULT 'pending'); \
         INSERT INTO {name} (state) SELECT 'pending' FROM seq_1_to_1000 WHERE seq <= {count};"
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
        ("username", USER),
        ("dbName", DATABASE),
        ("query", query),
        ("queryValue", "5"),
    ];
    spec("mysql", &metadata, &[("password", PASSWORD)])
}

/// A trigger by connection string, whose target is five; `auth` is what else a TriggerAuthentication gives.
pub(crate) fn by_string(connection: &str, query: &str, auth: &[(&str, &str)]) -> TriggerSpec {
    let metadata = [("query", query), ("queryValue", "5")];
    let connection = [("connectionString", connection)];
    let auth: Vec<_> = connection.iter().chain(auth).copied().collect();
    spec("mysql", &metadata, &auth)
}

/// The same trigger with one more parameter.
pub(crate) fn with(mut trigger: TriggerSpec, name: &str, value: &str) -> TriggerSpec {
    trigger.metadata.insert(name.to_owned(), value.to_owned());
    trigger
}

/// Connections of [`USER`] that are open.
pub(crate) fn connections(server: &Mariadb) -> u32 {
    let query =
        format!("SELECT count(*) FROM information_schema.processlist WHERE user = '{USER}'");
    server.ask(&query).parse().unwrap()
}
