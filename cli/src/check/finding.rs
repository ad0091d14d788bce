//! One thing that was looked at.

use serde::Serialize;

use super::reader::ReadError;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// As it should be.
    Ok,
    /// Good to know.
    Note,
    /// It works, but not as well or as surely as it could.
    Warning,
    /// Something will not work.
    Wrong,
}

impl Level {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Wrong => "wrong",
        }
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Finding {
    pub(crate) level: Level,
    /// Such as `rights` or `network`.
    pub(crate) area: &'static str,
    /// What it is about, such as an object or an account.
    pub(crate) subject: String,
    pub(crate) message: String,
    /// What to do about it; may have several lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
}

impl Finding {
    pub(crate) fn new(
        level: Level,
        area: &'static str,
        subject: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            level,
            area,
            subject: subject.into(),
            message: message.into(),
            hint: None,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What could not be read is not judged.
    pub(crate) fn unread(area: &'static str, subject: &str, error: &ReadError) -> Self {
        let message = format!("cannot be checked: {}", zeron_core::Chain(error));
        Self::new(Level::Warning, area, subject, message)
            .hint("run it with an account that may read this, such as the cluster's administrator")
    }
}
