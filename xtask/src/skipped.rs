//! The report of skipped tests: a file to which a test that cannot run appends a line.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The environment variable that names the file to the tests.
pub(crate) const VARIABLE: &str = "ZERON_SKIP_REPORT";

/// The report of one test run.
#[derive(Debug)]
pub(crate) struct Report {
    file: PathBuf,
}

impl Report {
    /// Begins an empty report in `folder`.
    pub(crate) fn begin(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let file = fs::canonicalize(folder)?.join("skipped.txt");
        fs::write(&file, "")?;
        Ok(Self { file })
    }

    /// The file to which tests append.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Enters something that cannot be had here, as tests do.
    pub(crate) fn add(&self, what: &str, why: &str) -> io::Result<()> {
        let mut file = fs::File::options().append(true).open(&self.file)?;
        writeln!(file, "SKIPPED: {what}: {why}")
    }

    /// Every test that was skipped, by name, and how many.
    pub(crate) fn summary(&self) -> io::Result<String> {
        Ok(summary(&fs::read_to_string(&self.file)?))
    }
}

fn summary(report: &str) -> String {
    let mut lines: Vec<_> = report.lines().filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    lines.dedup();
    if lines.is_empty() {
        return "no test was skipped".to_owned();
    }
    let tests = if lines.len() == 1 {
        "test was"
    } else {
        "tests were"
    };
    format!("{}\n{} {tests} skipped", lines.join("\n"), lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_skipped_is_said() {
        assert_eq!(summary(""), "no test was skipped");
    }

    #[test]
    fn skipped_tests_are_listed_once_and_counted() {
        let report = "SKIPPED: b: no java\nSKIPPED: a: no java\nSKIPPED: b: no java\n";
        assert_eq!(
            summary(report),
            "SKIPPED: a: no java\nSKIPPED: b: no java\n2 tests were skipped"
        );
    }
}
