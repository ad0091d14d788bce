//! What the matrix asks of a source.

use std::net::SocketAddr;

use zeron_tests::servers::proxy::{FaultProxy, Mode};

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Between Zeron and the server.
    Way(Mode),
    /// The way goes down and comes back, again and again.
    Flapping,
    /// The server refuses the credentials.
    WrongCredentials,
    /// The value counts nothing.
    Poison(Poison),
    /// What is measured is deleted, and made again.
    Removed,
    /// The server is killed, and started again with its data.
    Killed,
}

/// A value that counts nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Poison {
    NotANumber,
    Infinite,
    Negative,
}

impl Fault {
    /// Whether the source's value must become unknown; else it may.
    pub(crate) fn makes_unknown(self) -> bool {
        !matches!(self, Self::Flapping | Self::Way(Mode::Slow(_)))
    }
}

/// One trigger type with its real server.
pub(crate) trait Source {
    /// KEDA's name of the type.
    fn kind(&self) -> &'static str;

    /// What the matrix calls it.
    fn name(&self) -> &'static str {
        self.kind()
    }

    /// The address of its server.
    fn server(&self) -> SocketAddr;

    /// The way to the server, asked for once: also for clients that the server tells where it is.
    fn way(&mut self) -> FaultProxy {
        FaultProxy::before(self.server())
    }

    /// The trigger's metadata, as YAML in one line: each unit of work in `thing` asks for one replica, read at
    /// `address`.
    fn metadata(&self, thing: &str, address: SocketAddr) -> String;

    /// Parameters of its authentication, right or wrong ones; none: it has no credentials.
    fn credentials(&self, is_right: bool) -> Vec<(&'static str, String)> {
        let _ = is_right;
        Vec::new()
    }

    /// Makes the work in `thing` exactly this much. Works while the way is broken.
    fn set(&mut self, thing: &str, work: u32);

    /// Makes `thing` give a value that counts nothing; false: it cannot.
    fn poison(&mut self, thing: &str, poison: Poison) -> bool {
        let _ = (thing, poison);
        false
    }

    /// Deletes `thing`, so that its value is unknown; false: that is a documented zero here, or nothing to delete.
    fn remove(&mut self, thing: &str) -> bool {
        let _ = thing;
        false
    }

    /// Ends the server as a power failure would; false: it is not to be killed.
    fn kill(&mut self) -> bool {
        false
    }

    /// Starts it again, with its data.
    fn restart(&mut self) {}
}
