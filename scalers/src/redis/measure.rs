//! What is measured of a key: which command is asked, and what its answer means. Pure.
//!
//! Lists are asked for as if they were lists, or whatever they were last time: a missing key has length 0 whichever
//! command asks, and only the wrong command makes a `TYPE` necessary. So lists, and everything the second time, cost one
//! command, and there is no moment between a type and its length.

use redis::{Cmd, ServerError, Value};
use thiserror::Error;
use zeron_core::metric::UnknownKind;

/// What is measured of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Measure {
    /// Elements of a list, sorted set, set or hash.
    Elements {
        /// The key.
        key: String,
    },
    /// Entries of a stream.
    StreamLength {
        /// The key.
        stream: String,
    },
    /// Entries that a group's consumers got and did not acknowledge.
    Pending {
        /// The key.
        stream: String,
        /// The group.
        group: String,
    },
    /// Entries that the group's consumers did not get yet.
    Lag {
        /// The key.
        stream: String,
        /// The group.
        group: String,
    },
}

/// What a key with elements is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    List,
    SortedSet,
    Set,
    Hash,
}

impl Kind {
    /// By the answer of `TYPE`.
    fn of(name: &str) -> Option<Self> {
        match name {
            "list" => Some(Self::List),
            "zset" => Some(Self::SortedSet),
            "set" => Some(Self::Set),
            "hash" => Some(Self::Hash),
            _ => None,
        }
    }

    fn command(self) -> &'static str {
        match self {
            Self::List => "LLEN",
            Self::SortedSet => "ZCARD",
            Self::Set => "SCARD",
            Self::Hash => "HLEN",
        }
    }
}

/// One command about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Length, if it is what it was last time.
    Guess(Kind),
    /// Its type.
    Type,
    /// Length, now that its type is known.
    Length(Kind),
    /// `XLEN`.
    StreamLength,
    /// `XPENDING`.
    Pending,
    /// `XINFO GROUPS`.
    Groups,
}

/// What follows from an answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Another command is needed.
    Ask(Command),
    /// That is it.
    Done(Result<u64, Failure>),
}

/// Why an answer is no number.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum Failure {
    /// A key of another type.
    #[error("{key} is of {found}, which does not fit the trigger")]
    WrongType {
        /// The key.
        key: String,
        /// Its type, in words.
        found: String,
    },
    /// The group was not created, or the stream was not.
    #[error("stream {stream} or its consumer group {group} does not exist")]
    NoGroup {
        /// The key.
        stream: String,
        /// The group.
        group: String,
    },
    /// Redis itself cannot tell.
    #[error(
        "redis cannot tell the lag of group {group} of stream {stream}: entries that it has not read were deleted, or its position was set by hand"
    )]
    NoLag {
        /// The key.
        stream: String,
        /// The group.
        group: String,
    },
    /// Before Redis 7.
    #[error("the server does not know lags of groups: lagCount needs redis 7")]
    LagUnsupported,
    /// An answer that no Redis gives.
    #[error("{command} of {key} was answered with something else")]
    NotUnderstood {
        /// The command.
        command: &'static str,
        /// The key.
        key: String,
    },
    /// Its type changes faster than it can be asked for.
    #[error("{key} changes its type while it is read")]
    Unsettled {
        /// The key.
        key: String,
    },
}

impl Failure {
    /// Its kind for labels.
    pub(super) fn kind(&self) -> UnknownKind {
        match self {
            Self::WrongType { .. } | Self::LagUnsupported => UnknownKind::Configuration,
            Self::NoGroup { .. } => UnknownKind::Missing,
            Self::NoLag { .. } | Self::NotUnderstood { .. } | Self::Unsettled { .. } => {
                UnknownKind::Parse
            }
        }
    }
}

impl Measure {
    /// The key.
    pub(super) fn key(&self) -> &str {
        match self {
            Self::Elements { key } => key,
            Self::StreamLength { stream }
            | Self::Pending { stream, .. }
            | Self::Lag { stream, .. } => stream,
        }
    }

    fn group(&self) -> &str {
        match self {
            Self::Elements { .. } | Self::StreamLength { .. } => "",
            Self::Pending { group, .. } | Self::Lag { group, .. } => group,
        }
    }

    /// The command to begin with; `last`: what the key was last time.
    pub(super) fn first(&self, last: Kind) -> Command {
        match self {
            Self::Elements { .. } => Command::Guess(last),
            Self::StreamLength { .. } => Command::StreamLength,
            Self::Pending { .. } => Command::Pending,
            Self::Lag { .. } => Command::Groups,
        }
    }

    /// The command as Redis takes it.
    pub(super) fn request(&self, command: Command) -> Cmd {
        let mut request = redis::cmd(command.name());
        match command {
            Command::Groups => request.arg("GROUPS").arg(self.key()),
            Command::Pending => request.arg(self.key()).arg(self.group()),
            Command::Guess(_) | Command::Type | Command::Length(_) | Command::StreamLength => {
                request.arg(self.key())
            }
        };
        request
    }

    /// What follows from the answer to `command`; `None`: a refusal that is not about the key.
    pub(super) fn next(&self, command: Command, answer: &Value) -> Option<Step> {
        if let Value::ServerError(error) = answer {
            return self.refused(command, error);
        }
        let not_understood = || Step::Done(Err(self.not_understood(command)));
        let step = match (command, answer) {
            (Command::Guess(_) | Command::Length(_) | Command::StreamLength, Value::Int(_)) => {
                count(answer).map(|count| Step::Done(Ok(count)))
            }
            (Command::Type, Value::SimpleString(name)) => Some(self.typed(name)),
            // Count, smallest id, greatest id, consumers.
            (Command::Pending, Value::Array(parts)) => {
                let count = parts.first().and_then(count);
                count.map(|count| Step::Done(Ok(count)))
            }
            (Command::Groups, Value::Array(groups)) => self.lag(groups),
            _ => None,
        };
        Some(step.unwrap_or_else(not_understood))
    }

    fn refused(&self, command: Command, error: &ServerError) -> Option<Step> {
        let detail = error.details().unwrap_or_default();
        match (command, error.code()) {
            (Command::Guess(_), "WRONGTYPE" | "NOPERM") | (Command::Length(_), "WRONGTYPE") => {
                Some(Step::Ask(Command::Type))
            }
            (_, "WRONGTYPE") => Some(self.wrong_type("another type")),
            (Command::Pending, "NOGROUP") => Some(Step::Done(Err(Failure::NoGroup {
                stream: self.key().to_owned(),
                group: self.group().to_owned(),
            }))),
            (Command::Groups, "ERR") if detail.eq_ignore_ascii_case("no such key") => {
                Some(Step::Done(Ok(0)))
            }
            _ => None,
        }
    }

    fn typed(&self, name: &str) -> Step {
        match (name, Kind::of(name)) {
            ("none", _) => Step::Done(Ok(0)),
            (_, Some(kind)) => Step::Ask(Command::Length(kind)),
            (_, None) => self.wrong_type(&format!("type {name}")),
        }
    }

    /// A group that does not exist yet has read nothing: all entries count, as in KEDA.
    fn lag(&self, groups: &[Value]) -> Option<Step> {
        let fields: Option<Vec<_>> = groups.iter().map(fields).collect();
        let wanted = self.group().as_bytes();
        let is_wanted = |group: &Vec<(&[u8], &Value)>| {
            let mut group = group.iter();
            group.any(|(name, value)| {
                *name == b"name" && matches!(value, Value::BulkString(it) if it == wanted)
            })
        };
        let Some(group) = fields?.into_iter().find(is_wanted) else {
            return Some(Step::Ask(Command::StreamLength));
        };
        let lag = group.iter().find(|(name, _)| *name == b"lag");
        match lag {
            None => Some(Step::Done(Err(Failure::LagUnsupported))),
            Some((_, Value::Nil)) => Some(Step::Done(Err(Failure::NoLag {
                stream: self.key().to_owned(),
                group: self.group().to_owned(),
            }))),
            Some((_, lag)) => count(lag).map(|lag| Step::Done(Ok(lag))),
        }
    }

    fn wrong_type(&self, found: &str) -> Step {
        Step::Done(Err(Failure::WrongType {
            key: self.key().to_owned(),
            found: found.to_owned(),
        }))
    }

    fn not_understood(&self, command: Command) -> Failure {
        Failure::NotUnderstood {
            command: command.name(),
            key: self.key().to_owned(),
        }
    }
}

impl Command {
    /// Its name at Redis.
    fn name(self) -> &'static str {
        match self {
            Self::Guess(kind) | Self::Length(kind) => kind.command(),
            Self::Type => "TYPE",
            Self::StreamLength => "XLEN",
            Self::Pending => "XPENDING",
            Self::Groups => "XINFO",
        }
    }
}

/// A number that is not negative.
fn count(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

fn name(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(name) => Some(name),
        _ => None,
    }
}

/// The fields of a group: names and values by turns, or a map.
fn fields(group: &Value) -> Option<Vec<(&[u8], &Value)>> {
    match group {
        Value::Array(parts) => {
            let pairs = parts.chunks_exact(2);
            pairs
                .map(|pair| Some((name(&pair[0])?, &pair[1])))
                .collect()
        }
        Value::Map(pairs) => pairs
            .iter()
            .map(|(key, value)| Some((name(key)?, value)))
            .collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
