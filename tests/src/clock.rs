//! Wall clocks that are wrong: libfaketime in front of one process. Monotonic clocks stay right, as they do on a machine
//! whose time was set wrong.

use std::path::PathBuf;

use crate::broker::Unavailable;

/// The library, below the folder of libraries of the machine's kind.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// Environment variables of a process whose wall clock is wrong by so many seconds; it runs as fast as any other.
///
/// # Errors
/// [`Unavailable::Skip`] where the library is not installed.
pub fn wrong_by(seconds: i64) -> Result<Vec<(String, String)>, Unavailable> {
    let library = library()
        .ok_or_else(|| Unavailable::Skip("libfaketime is not installed".to_owned()))?
        .display()
        .to_string();
    let variables = [
        ("LD_PRELOAD", library),
        ("FAKETIME", format!("{seconds:+}s")),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        // Times of files are not the process's.
        ("NO_FAKE_STAT", "1".to_owned()),
        // Each process by itself: nothing is left behind by one that is killed.
        ("FAKETIME_DISABLE_SHM", "1".to_owned()),
    ];
    Ok(variables
        .map(|(name, value)| (name.to_owned(), value))
        .into())
}

fn library() -> Option<PathBuf> {
    let kinds = std::fs::read_dir("/usr/lib").ok()?.flatten();
    kinds
        .map(|kind| kind.path().join(LIBRARY))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    /// Otherwise tests with wrong clocks would show nothing.
    #[test]
    fn a_process_sees_the_wrong_time() {
        let Ok(variables) = wrong_by(-600) else {
            return crate::broker::skip(
                "clock::a_process_sees_the_wrong_time",
                "libfaketime is not installed",
            );
        };
        let output = Command::new("date").arg("+%s").envs(variables).output();
        let seen: u64 = String::from_utf8_lossy(&output.expect("there is a date").stdout)
            .trim()
            .parse()
            .expect("seconds");
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let behind = now.expect("it is later than 1970").as_secs() - seen;
        assert!((600..660).contains(&behind), "{behind} s");
    }
}
