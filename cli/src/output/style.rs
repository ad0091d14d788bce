//! Colour where it helps and is wanted.

use std::io::IsTerminal;

use crate::args::ColorChoice;

/// Whether and how text is coloured.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Style {
    is_coloured: bool,
}

/// What a text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Busy,
    Bad,
    Faint,
    Strong,
}

impl Style {
    /// Follows the option, `NO_COLOR` and whether standard output is a terminal.
    pub(crate) fn new(choice: ColorChoice) -> Self {
        let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        let is_coloured = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => !is_unwanted && !is_dumb && std::io::stdout().is_terminal(),
        };
        Self { is_coloured }
    }

    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        if !self.is_coloured || text.is_empty() {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Busy => "33",
            Tone::Bad => "31",
            Tone::Faint => "2",
            Tone::Strong => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    pub(crate) fn strong(self, text: &str) -> String {
        self.paint(Tone::Strong, text)
    }
}

/// Text of others on one line, without what could steer a terminal.
pub(crate) fn clean(text: &str) -> String {
    let safe = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().map(safe).collect()
}
