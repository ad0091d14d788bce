//! How the function shall behave: flags and environment, read once.

use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// What was asked for on the command line and in the environment.
#[derive(Debug)]
pub(crate) struct Options {
    /// Where to listen: loopback, unless the platform says otherwise (a pod has an address of its own).
    pub(crate) address: IpAddr,
    /// On which port.
    pub(crate) port: u16,
    /// What `/` says.
    pub(crate) message: String,
    /// Which revision this is, if the platform said.
    pub(crate) revision: Option<String>,
    /// What to write to standard error first of all.
    pub(crate) stderr: Option<String>,
    /// How to begin.
    pub(crate) start: Start,
    /// Wait before listening.
    pub(crate) ready_after: Duration,
    /// Go on after SIGTERM as if nothing had been said.
    pub(crate) ignores_sigterm: bool,
}

/// How to begin, well or badly.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Listen and serve.
    Serve,
    /// Run, but never listen.
    NeverListen,
    /// Take one connection, then close the listener and go on running.
    ListenThenRefuse,
    /// End at once.
    Exit { code: u8 },
}

/// Why the command line cannot be used.
#[derive(Debug)]
pub enum BadUsage {
    /// No such argument.
    UnknownFlag(String),
    /// The argument ends where its value should be.
    MissingValue(&'static str),
    /// The value of an argument or a variable is no number in its range.
    BadNumber {
        /// Which of them.
        what: &'static str,
        /// What it says.
        value: String,
    },
    /// `LISTEN_ADDRESS` is none.
    BadAddress(String),
}

impl std::error::Error for BadUsage {}

impl fmt::Display for BadUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownFlag(flag) => write!(
                f,
                "unknown argument `{flag}`; known: --port N --never-listen --listen-then-refuse --ignore-sigterm \
                 --ready-after MS --exit-at-once CODE --stderr TEXT"
            ),
            Self::MissingValue(flag) => write!(f, "`{flag}` needs a value"),
            Self::BadNumber { what, value } => {
                write!(
                    f,
                    "`{what}` is `{value}`, which is not a number in its range"
                )
            }
            Self::BadAddress(value) => {
                write!(
                    f,
                    "`LISTEN_ADDRESS` is `{value}`, which is not an IP address"
                )
            }
        }
    }
}

/// Reads the arguments after the program's name, and the environment.
pub(crate) fn parse(args: impl Iterator<Item = OsString>) -> Result<Options, BadUsage> {
    let mut options = from_environment()?;
    let mut args = args.map(|arg| arg.to_string_lossy().into_owned());
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--never-listen" => options.start = Start::NeverListen,
            "--listen-then-refuse" => options.start = Start::ListenThenRefuse,
            "--ignore-sigterm" => options.ignores_sigterm = true,
            "--port" => options.port = number("--port", args.next())?,
            "--ready-after" => {
                options.ready_after = Duration::from_millis(number("--ready-after", args.next())?);
            }
            "--exit-at-once" => {
                let code = number("--exit-at-once", args.next())?;
                options.start = Start::Exit { code };
            }
            "--stderr" => {
                let text = args.next().ok_or(BadUsage::MissingValue("--stderr"))?;
                options.stderr = Some(text);
            }
            _ => return Err(BadUsage::UnknownFlag(arg)),
        }
    }
    Ok(options)
}

fn from_environment() -> Result<Options, BadUsage> {
    let port = match std::env::var("PORT") {
        Ok(text) => number("PORT", Some(text))?,
        Err(_) => 8080,
    };
    let address = match std::env::var("LISTEN_ADDRESS") {
        Ok(text) => text.parse().map_err(|_| BadUsage::BadAddress(text))?,
        Err(_) => Ipv4Addr::LOCALHOST.into(),
    };
    Ok(Options {
        address,
        port,
        message: std::env::var("MESSAGE").unwrap_or_else(|_| "Hello".to_owned()),
        revision: std::env::var("K_REVISION").ok(),
        stderr: None,
        start: Start::Serve,
        ready_after: Duration::ZERO,
        ignores_sigterm: false,
    })
}

fn number<N: std::str::FromStr>(what: &'static str, value: Option<String>) -> Result<N, BadUsage> {
    let value = value.ok_or(BadUsage::MissingValue(what))?;
    value
        .parse()
        .map_err(|_| BadUsage::BadNumber { what, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Options, BadUsage> {
        parse(args.iter().map(OsString::from))
    }

    #[test]
    fn no_arguments_mean_serve() {
        assert_eq!(parsed(&[]).unwrap().start, Start::Serve);
    }

    #[test]
    fn a_port_given_as_an_argument_wins() {
        assert_eq!(parsed(&["--port", "4711"]).unwrap().port, 4711);
    }

    #[test]
    fn exit_takes_its_code_and_last_words() {
        let options = parsed(&["--stderr", "no database", "--exit-at-once", "3"]).unwrap();
        assert_eq!(options.start, Start::Exit { code: 3 });
        assert_eq!(options.stderr.as_deref(), Some("no database"));
    }

    #[test]
    fn an_unknown_flag_is_named() {
        let problem = parsed(&["--fast"]).unwrap_err().to_string();
        assert!(problem.contains("`--fast`"), "{problem}");
    }

    #[test]
    fn a_bad_number_is_named_with_its_flag() {
        let problem = parsed(&["--ready-after", "soon"]).unwrap_err().to_string();
        assert!(
            problem.contains("--ready-after") && problem.contains("soon"),
            "{problem}"
        );
    }
}
