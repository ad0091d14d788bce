//! The function as a part of a program that does something else as well.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::options::{self, BadUsage};
use crate::server::{self, Function};

/// A function that serves in threads of its own, in a process that watches for SIGTERM itself.
#[derive(Debug)]
pub struct Beside {
    function: Arc<Function>,
}

/// Why it does not serve.
#[derive(Debug)]
pub enum BesideError {
    /// The arguments or the environment cannot be used.
    Usage(BadUsage),
    /// It cannot listen.
    Listen(io::Error),
}

impl fmt::Display for BesideError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(_) => f.write_str("bad usage"),
            Self::Listen(_) => f.write_str("cannot listen"),
        }
    }
}

impl std::error::Error for BesideError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Usage(problem) => Some(problem),
            Self::Listen(error) => Some(error),
        }
    }
}

impl Beside {
    /// Listens and serves from now on. `args` are those of [`crate::function_main`]; what they say of how to begin and end
    /// is not for a part.
    ///
    /// # Errors
    /// When the arguments cannot be used, or the port not be had.
    pub fn start(args: impl Iterator<Item = OsString>) -> Result<Self, BesideError> {
        let options = options::parse(args).map_err(BesideError::Usage)?;
        let function = server::serve_beside(options).map_err(BesideError::Listen)?;
        Ok(Self { function })
    }

    /// Returns once every answer is written.
    pub fn drain(self) {
        self.function.record.drain();
    }
}
