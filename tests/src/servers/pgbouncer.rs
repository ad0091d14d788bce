//! PgBouncer before a real PostgreSQL server, as a child process: it lends the sessions of that server.
//!
//! It refuses root as PostgreSQL does, and becomes the user `postgres` by itself.

use std::fs;
use std::net::SocketAddr;

use anyhow::Context;

use super::postgresql::{DATABASE, PASSWORD, Postgres, USER, other_user};
use super::{Server, accepts, find};
use crate::broker::Unavailable;
use crate::free_address;

/// For how long a client has a session of the server.
#[derive(Clone, Copy, Debug)]
pub enum Lends {
    /// One transaction.
    Transactions,
    /// Until it goes.
    Sessions,
}

/// A running PgBouncer.
#[derive(Debug)]
pub struct PgBouncer {
    server: Server,
}

impl PgBouncer {
    /// Starts one with at most `sessions` of the server for its database and user.
    ///
    /// # Errors
    /// [`Unavailable::Skip`] where it is not installed, or nobody else than root may run it.
    pub fn before(server: &Postgres, lends: Lends, sessions: u32) -> Result<Self, Unavailable> {
        let program = find("pgbouncer", &["/usr/sbin"])?;
        let user = other_user()?;
        let (folder, address) = (Server::folder(), free_address());
        let (file, users) = (folder.join("pgbouncer.ini"), folder.join("users.txt"));
        let mut text = settings(server.address(), address, lends, sessions);
        text.push_str(&format!("auth_file = {}\n", users.display()));
        fs::write(&file, text)
            .and_then(|()| fs::write(&users, format!("\"{USER}\" \"{PASSWORD}\"\n")))
            .context("cannot write the settings of pgbouncer")
            .map_err(Unavailable::Failed)?;
        let mut command = vec![program.display().to_string()];
        command.extend(user.map(|user| format!("--user={user}")));
        command.push(file.display().to_string());
        let server = Server::start(&folder, address, command, || accepts(address));
        Ok(Self { server })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }
}

fn settings(server: SocketAddr, own: SocketAddr, lends: Lends, sessions: u32) -> String {
    let mode = match lends {
        Lends::Transactions => "transaction",
        Lends::Sessions => "session",
    };
    format!(
        "[databases]
{DATABASE} = host={} port={}
[pgbouncer]
listen_addr = {}
listen_port = {}
unix_socket_dir =
auth_type = scram-sha-256
pool_mode = {mode}
default_pool_size = {sessions}
",
        server.ip(),
        server.port(),
        own.ip(),
        own.port()
    )
}
