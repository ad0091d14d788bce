//! Which port of a pod requests go to.

use std::num::NonZeroU16;

/// Where the pods of a function listen, as its routes and Services say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodPort {
    /// This one.
    Number(NonZeroU16),
    /// The container port of this name, in each pod by itself.
    Name(String),
    /// The first that the pod declares: no route names one.
    First,
}

impl PodPort {
    /// From the number or name that a Service's `targetPort` or a route gives.
    pub(super) fn of(wanted: Option<&str>) -> Self {
        match wanted {
            None => Self::First,
            Some(text) => match text.parse() {
                Ok(number) => Self::Number(number),
                Err(_) => Self::Name(text.to_owned()),
            },
        }
    }

    /// The number, where it is known without a pod.
    pub(super) fn number(&self) -> Option<NonZeroU16> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Name(_) | Self::First => None,
        }
    }
}
