//! How a replica ended, in the platform's words.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// One CamelCase word: `ExitCode1`, `Signal9`.
pub(crate) fn reason(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ExitCode{code}"),
        (None, Some(signal)) => format!("Signal{signal}"),
        (None, None) => "Exited".to_owned(),
    }
}

/// The same in words.
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}{}", name(signal)),
        (None, None) => "ended".to_owned(),
    }
}

fn name(signal: i32) -> &'static str {
    match signal {
        1 => " (SIGHUP)",
        2 => " (SIGINT)",
        3 => " (SIGQUIT)",
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        7 => " (SIGBUS)",
        8 => " (SIGFPE)",
        9 => " (SIGKILL)",
        11 => " (SIGSEGV)",
        13 => " (SIGPIPE)",
        15 => " (SIGTERM)",
        _ => "",
    }
}
