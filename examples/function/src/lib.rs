//! A tiny function for the examples, tests and benchmarks. Standard library and threads only, so that it starts at once.
//!
//! A connection meets the modules in this order: `options` (how to behave), `server` (accept, serve, drain),
//! `request` and `body` (what arrived), `paths` (what each path answers), `response` and `websocket` (what leaves).

mod body;
#[cfg(feature = "consumer")]
mod consumer;
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

/// Consumes a Kafka topic until SIGTERM. `args` are the arguments after the program's name: none, or those of
/// [`function_main`], such as `--port N`, to answer HTTP as well.
///
/// Reads `BROKERS`, `TOPIC`, `GROUP` and `WORK_MS` from the environment. Ends with 0 after a clean leave of the group, 64 for
/// a missing variable, 1 when the broker's client cannot be made.
#[cfg(feature = "consumer")]
pub fn consumer_main(args: impl Iterator<Item = OsString>) -> ExitCode {
    consumer::main(args)
}
