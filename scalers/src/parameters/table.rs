//! What a source's parameters are: one table drives reading, validation, `zeron scalers` and the docs.

use serde::Serialize;

/// Where a parameter may come from. Metadata wins where both are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// `metadata` alone.
    Metadata,
    /// A TriggerAuthentication alone.
    Auth,
    /// Either, but not both.
    Either,
}

/// What a parameter's text may be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Kind {
    /// Any text.
    Text,
    /// Texts separated by commas.
    List,
    /// Texts `name=value` separated by commas.
    Pairs,
    /// Whole numbers and ranges of them, such as `1-4,7`.
    Ranges,
    /// True or false, in the words of Go's `strconv.ParseBool`.
    Flag,
    /// A whole number.
    Integer {
        /// Not below this.
        min: i64,
    },
    /// A finite number.
    Number {
        /// Not below this; `None`: any.
        min: Option<f64>,
        /// Not `min` itself.
        is_above: bool,
    },
    /// A Go duration such as `1m30s`, or whole milliseconds.
    Duration,
    /// One of these words.
    Choice {
        /// The words.
        words: &'static [&'static str],
    },
}

/// One parameter of a trigger type.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Parameter {
    /// Its name in `metadata`, or in the authentication.
    pub name: &'static str,
    /// Its values.
    #[serde(flatten)]
    pub kind: Kind,
    /// Where it may come from.
    pub place: Place,
    /// What counts where it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<&'static str>,
    /// Whether a trigger without it is refused.
    pub is_required: bool,
    /// Understood, and without effect here.
    pub is_ignored: bool,
    /// What it means, in one line.
    pub about: &'static str,
}

impl Parameter {
    const fn new(name: &'static str, kind: Kind, about: &'static str) -> Self {
        Self {
            name,
            kind,
            place: Place::Metadata,
            default: None,
            is_required: false,
            is_ignored: false,
            about,
        }
    }

    /// Any text.
    pub const fn text(name: &'static str, about: &'static str) -> Self {
        Self::new(name, Kind::Text, about)
    }

    /// A text that only a TriggerAuthentication may give.
    pub const fn secret(name: &'static str, about: &'static str) -> Self {
        Self::new(name, Kind::Text, about).from(Place::Auth)
    }

    /// Texts separated by commas.
    pub const fn list(name: &'static str, about: &'static str) -> Self {
        Self::new(name, Kind::List, about)
    }

    /// Texts `name=value` separated by commas.
    pub const fn pairs(name: &'static str, about: &'static str) -> Self {
        Self::new(name, Kind::Pairs, about)
    }

    /// Numbers and ranges such as `1-4,7`.
    pub const fn ranges(name: &'static str, about: &'static str) -> Self {
        Self::new(name, Kind::Ranges, about)
    }

    /// A switch; false unless a default says otherwise.
    pub const fn flag(name: &'static str, about: &'static str) -> Self {
        Self::new(name, Kind::Flag, about).default("false")
    }

    /// A whole number not below `min`.
    pub const fn integer(name: &'static str, min: i64, about: &'static str) -> Self {
        Self::new(name, Kind::Integer { min }, about)
    }

    /// A finite number.
    pub const fn number(name: &'static str, about: &'static str) -> Self {
        let kind = Kind::Number {
            min: None,
            is_above: false,
        };
        Self::new(name, kind, about)
    }

    /// A finite number not below `min`.
    pub const fn number_from(name: &'static str, min: f64, about: &'static str) -> Self {
        let kind = Kind::Number {
            min: Some(min),
            is_above: false,
        };
        Self::new(name, kind, about)
    }

    /// A finite number above `min`.
    pub const fn number_above(name: &'static str, min: f64, about: &'static str) -> Self {
        let kind = Kind::Number {
            min: Some(min),
            is_above: true,
        };
        Self::new(name, kind, about)
    }

    /// A Go duration, or whole milliseconds.
    pub const fn duration(name: &'static str, about: &'static str) -> Self {
        Self::new(name, Kind::Duration, about)
    }

    /// One of `words`.
    pub const fn choice(
        name: &'static str,
        words: &'static [&'static str],
        about: &'static str,
    ) -> Self {
        Self::new(name, Kind::Choice { words }, about)
    }

    /// The same, from elsewhere than `metadata` alone.
    pub const fn from(mut self, place: Place) -> Self {
        self.place = place;
        self
    }

    /// The same, with a default.
    pub const fn default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    /// The same, and it must be given.
    pub const fn required(mut self) -> Self {
        self.is_required = true;
        self
    }

    /// The same, understood and without effect here.
    pub const fn ignored(mut self) -> Self {
        self.is_ignored = true;
        self
    }

    /// Whether the default, if any, is one of its values.
    #[cfg(test)]
    pub(crate) fn is_default_allowed(&self) -> bool {
        let Some(default) = self.default else {
            return true;
        };
        match self.kind {
            Kind::Text | Kind::List => true,
            Kind::Pairs | Kind::Ranges => false,
            Kind::Flag => matches!(default, "true" | "false"),
            Kind::Integer { min } => default.parse::<i64>().is_ok_and(|it| it >= min),
            Kind::Number { min, .. } => default
                .parse::<f64>()
                .is_ok_and(|it| min.is_none_or(|min| it >= min)),
            Kind::Duration => super::go_duration::parse(default).is_some(),
            Kind::Choice { words } => words.contains(&default),
        }
    }

    /// What is allowed, in words.
    pub(super) fn allowed(&self) -> String {
        match self.kind {
            Kind::Text => "a text".to_owned(),
            Kind::List => "texts separated by commas".to_owned(),
            Kind::Pairs => "name=value pairs separated by commas".to_owned(),
            Kind::Ranges => "numbers and ranges such as 1,2,5-9".to_owned(),
            Kind::Flag => "true or false".to_owned(),
            Kind::Integer { min } => format!("a whole number from {min}"),
            Kind::Number { min: None, .. } => "a number".to_owned(),
            Kind::Number {
                min: Some(min),
                is_above,
            } => format!("a number {} {min}", if is_above { "above" } else { "from" }),
            Kind::Duration => "a duration such as 1m30s, or whole milliseconds".to_owned(),
            Kind::Choice { words } => format!("one of {}", words.join(", ")),
        }
    }
}
