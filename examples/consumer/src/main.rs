//! Consumes a Kafka topic until SIGTERM; with arguments of the example function, such as `--port N`, it answers HTTP as well.
//!
//! Reads `BROKERS`, `TOPIC`, `GROUP` and `WORK_MS` from the environment. Ends with 0 after a clean leave of the group, 64 for
//! bad usage or a missing variable, 1 when the broker's client cannot be made or it cannot listen.

mod consume;

use std::ffi::OsString;
use std::process::ExitCode;

use zeron_example_function::{Beside, BesideError};

use crate::consume::Settings;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let settings = match Settings::from_environment() {
        Ok(settings) => settings,
        Err(missing) => {
            return bad_usage(&format!("the environment has no usable `{missing}`"));
        }
    };
    let http = (!args.is_empty()).then(|| Beside::start(args.into_iter()));
    let http = match http.transpose() {
        Ok(http) => http,
        Err(BesideError::Usage(problem)) => return bad_usage(&problem.to_string()),
        Err(BesideError::Listen(error)) => return failed(&error.to_string()),
    };
    if let Err(error) = consume::until_sigterm(&settings) {
        return failed(&error.to_string());
    }
    if let Some(http) = http {
        http.drain();
    }
    ExitCode::SUCCESS
}

fn bad_usage(problem: &str) -> ExitCode {
    eprintln!("zeron-example-consumer: {problem}");
    ExitCode::from(64)
}

fn failed(error: &str) -> ExitCode {
    eprintln!("zeron-example-consumer: {error}");
    ExitCode::FAILURE
}
