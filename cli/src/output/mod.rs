//! How answers look: tables and sentences for people, JSON and YAML for programs.

mod describe;
mod list;
mod simulation;
mod style;
mod table;
#[cfg(test)]
mod tests;
mod time;

use std::io::{self, Write};

use serde::Serialize;

pub(crate) use describe::describe;
pub(crate) use list::{ListView, list};
pub(crate) use simulation::simulation;
pub(crate) use style::{Style, Tone, clean};
pub(crate) use table::{Cell, Table};
pub(crate) use time::{age, clock, duration, now};

use crate::args::Format;

/// JSON or YAML of `value`; `None` for the formats for people.
///
/// # Errors
/// When the value has no such form.
pub(crate) fn structured<T: Serialize>(
    format: Format,
    value: &T,
) -> anyhow::Result<Option<String>> {
    match format {
        Format::Json => Ok(Some(serde_json::to_string_pretty(value)? + "\n")),
        Format::Yaml => Ok(Some(serde_saphyr::to_string(value)?)),
        Format::Table | Format::Wide => Ok(None),
    }
}

/// Writes to standard output. A reader that has gone (`| head`) is no error.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}
