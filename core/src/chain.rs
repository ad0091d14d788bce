//! An error with its causes on one line.

use std::error::Error;
use std::fmt;

/// Shows an error and all its causes, separated by colons; words that already stand at the end are
/// not said again.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'a));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.0.to_string();
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let words = error.to_string();
            if !text.ends_with(&words) {
                text = format!("{text}: {words}");
            }
            cause = error.source();
        }
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::Chain;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read the file")]
    struct Reading(#[source] Error);

    #[derive(Debug, thiserror::Error)]
    #[error("no manifests: {0}")]
    struct Manifests(#[source] Reading);

    #[test]
    fn causes_follow_each_other_and_are_said_once() {
        let error = Manifests(Reading(Error::new(ErrorKind::NotFound, "no such file")));
        let said = Chain(&error).to_string();
        assert_eq!(said, "no manifests: cannot read the file: no such file");
    }
}
