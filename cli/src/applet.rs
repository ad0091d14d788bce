//! What the binary does under another name: parts of it that must run as programs of their own.

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

/// Hidden first argument under which the process back end's keeper runs.
pub(crate) const KEEPER: &str = "zeron-keeper";
/// Name, or hidden first argument, under which the example function runs.
pub(crate) const EXAMPLE_FUNCTION: &str = "zeron-example-function";

/// Names of the example programs, each of which this binary is under that name.
pub(crate) const NAMES: &[&str] = &[EXAMPLE_FUNCTION];

/// Runs the applet that the program's name or its first argument means, if either means one.
///
/// Comes before everything else in `main`: an applet starts as fast as a program of its own.
pub(crate) fn dispatch() -> Option<ExitCode> {
    let mut args = std::env::args_os();
    let program = args.next().unwrap_or_default();
    let name = Path::new(&program).file_name().unwrap_or_default();
    if let Some(applet) = find(name) {
        return Some(applet(args));
    }
    let applet = find(&args.next()?)?;
    Some(applet(args))
}

type Applet = fn(std::env::ArgsOs) -> ExitCode;

fn find(name: &OsStr) -> Option<Applet> {
    match name.to_str()? {
        KEEPER => Some(|_| zeron_backend_process::keeper_main()),
        EXAMPLE_FUNCTION => Some(zeron_example_function::function_main),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applets_are_found_by_their_exact_names_only() {
        assert!(find(OsStr::new("zeron-keeper")).is_some());
        assert!(find(OsStr::new("zeron-example-function")).is_some());
        assert!(find(OsStr::new("zeron")).is_none());
        assert!(find(OsStr::new("up")).is_none());
    }
}
