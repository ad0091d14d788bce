//! A tiny function for the examples, tests and benchmarks. Standard library and threads only, so that it starts at once.
//!
//! A connection meets the modules in this order: `options` (how to behave), `server` (accept, serve, drain),
//! `request` and `body` (what arrived), `paths` (what each path answers), `response` and `websocket` (what leaves). `beside` is
//! the same for a program that does something else too.

mod beside;
mod body;
mod options;
mod paths;
mod record;
mod request;
mod response;
mod server;
mod termination;
mod text;
mod websocket;

use std::ffi::OsString;
use std::process::ExitCode;

pub use beside::{Beside, BesideError};
pub use options::BadUsage;
pub use termination::pause;

/// Runs the HTTP function until SIGTERM. `args` are the arguments after the program's name.
///
/// Listens on `$LISTEN_ADDRESS:$PORT` (127.0.0.1 and 8080 if unset). Ends with 0 after a clean drain, 64 for bad usage, 1 when it cannot listen.
pub fn function_main(args: impl Iterator<Item = OsString>) -> ExitCode {
    match options::parse(args) {
        Ok(options) => server::run(options),
        Err(problem) => {
            eprintln!("zeron-example-function: {problem}");
            ExitCode::from(64)
        }
    }
}
