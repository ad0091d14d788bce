//! The route table: compiled from a snapshot, immutable, swapped whole.

mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use zeron_core::Function;
use zeron_core::function::Timeouts;
use zeron_core::route::StaticResponse;

use crate::function::FunctionState;

pub(crate) use table::RouteTable;

/// What happens to a request that matches.
#[derive(Debug)]
pub(crate) enum Action {
    Forward(Split),
    Respond(Arc<StaticResponse>),
}

/// Weighted destinations.
#[derive(Debug)]
pub(crate) struct Split {
    /// Each with the sum of the weights up to and including its own.
    destinations: Vec<(u64, Arc<Destination>)>,
}

impl Split {
    /// The destination for `draw`, any number. `None` when no destination has a weight.
    pub(crate) fn choose(&self, draw: u64) -> Option<&Arc<Destination>> {
        let (total, last) = self.destinations.last()?;
        if self.destinations.len() == 1 {
            return Some(last);
        }
        let draw = draw % total;
        let place = self.destinations.partition_point(|(upto, _)| *upto <= draw);
        self.destinations.get(place).map(|(_, to)| to)
    }
}

/// A function as one route leads to it.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) state: Arc<FunctionState>,
    pub(crate) function: Arc<Function>,
    /// Until the answer has begun, and how long it may be silent.
    pub(crate) timeouts: Timeouts,
    /// Until the answer has ended, from when the request arrived.
    pub(crate) total: Option<Duration>,
    /// The host that leads to its replicas through a mesh.
    pub(crate) passthrough: Option<HeaderValue>,
    pub(crate) placeholder: Option<Arc<StaticResponse>>,
    /// The placeholder wakes nothing.
    pub(crate) is_placeholder_silent: bool,
    pub(crate) fallback: Option<Arc<Destination>>,
    /// Answers say whether they found no replica.
    pub(crate) says_cold_start: bool,
}

impl Destination {
    /// The function by itself, as no route changes it.
    pub(crate) fn plain(state: Arc<FunctionState>, function: Arc<Function>) -> Self {
        Self {
            state,
            timeouts: function.timeouts,
            function,
            total: None,
            passthrough: None,
            placeholder: None,
            is_placeholder_silent: false,
            fallback: None,
            says_cold_start: false,
        }
    }
}

/// One rule of one host.
#[derive(Debug)]
struct Rule {
    /// Without a slash at the end; empty matches every path.
    prefix: Box<str>,
    headers: Vec<(http::HeaderName, Option<Box<[u8]>>)>,
    action: Arc<Action>,
}

impl Rule {
    fn matches(&self, path: &str, headers: &HeaderMap) -> bool {
        has_prefix(path, &self.prefix)
            && self.headers.iter().all(|(name, wanted)| {
                let mut values = headers.get_all(name).iter();
                match wanted {
                    None => values.next().is_some(),
                    Some(wanted) => values.any(|value| value.as_bytes() == wanted.as_ref()),
                }
            })
    }
}

/// Whether `path` begins with the segments of `prefix`.
fn has_prefix(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
