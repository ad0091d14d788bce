//! Where the master is, by the sentinels.

use std::sync::Arc;

use futures_util::future::select_ok;
use redis::Value;
use tokio::time::Instant;

use super::connection::Access;
use super::error::ReadError;
use super::key::{Host, MAX_HOSTS};

/// The sentinels of one master.
#[derive(Debug)]
pub(super) struct Sentinels {
    pub(super) hosts: Vec<Host>,
    /// The master's name at the sentinels.
    pub(super) master: String,
    pub(super) access: Arc<Access>,
}

impl Sentinels {
    /// Asks all sentinels at once: the first that knows is believed. Their connections are not kept.
    pub(super) async fn find(&self, deadline: Instant) -> Result<Host, ReadError> {
        let asked = self.hosts.iter().take(MAX_HOSTS);
        let asked = asked.map(|host| Box::pin(self.ask(host, deadline)));
        let (master, _) = select_ok(asked).await?;
        Ok(master)
    }

    async fn ask(&self, host: &Host, deadline: Instant) -> Result<Host, ReadError> {
        let connection = self.access.connect(host, deadline).await?;
        let mut question = redis::cmd("SENTINEL");
        question
            .arg("get-master-addr-by-name")
            .arg(self.master.as_str());
        let server = Arc::clone(&connection.server);
        match connection.ask_one(&question, deadline).await? {
            Value::Nil => Err(ReadError::NoMaster {
                server,
                master: self.master.clone(),
            }),
            Value::ServerError(error) => Err(ReadError::from_server(&server, &error)),
            answer => master(&answer).ok_or(ReadError::Garbled { server }),
        }
    }
}

/// Address and port.
fn master(answer: &Value) -> Option<Host> {
    let Value::Array(parts) = answer else {
        return None;
    };
    let [Value::BulkString(name), Value::BulkString(port)] = parts.as_slice() else {
        return None;
    };
    let name = std::str::from_utf8(name).ok().filter(|it| !it.is_empty())?;
    let port = std::str::from_utf8(port).ok()?.parse().ok()?;
    Some(Host {
        name: name.into(),
        port,
    })
}
