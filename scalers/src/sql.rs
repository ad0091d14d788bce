//! What databases share: one number per query, few connections, and slow queries out of the way of quick ones.
//!
//! A server with one set of credentials has one connection for quick queries; equal queries are asked once.
//! A query that does not answer there within its patience is cut off by the server, and goes on on one of
//! few further connections, where it has all the time that is left. It is remembered as slow, and goes there at once the next time. So a slow query
//! delays the quick ones once, by the patience at most, and their answers never beyond its own time limit.

mod back_off;
mod lane;
pub(crate) mod percent;
mod query;
mod reading;

pub(crate) use back_off::BackOff;
pub(crate) use query::{QueryTrigger, secret_text};
pub(crate) use reading::{Listen, SqlClient};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use zeron_core::metric::Unknown;
use zeron_core::roles::BoxFuture;

/// A database as its client reaches it.
pub(crate) trait Database: Send + Sync + fmt::Debug + 'static {
    /// A connection that is ready for queries. Dropping it closes it at once.
    type Session: Send + 'static;

    /// Connects and signs in; whoever calls bounds its time.
    fn connect(&self) -> BoxFuture<'_, Result<Self::Session, Unknown>>;

    /// Asks `queries` in their order and pushes one answer for each, as they come. The server is told to
    /// cut each off after `limit`. Whoever calls may drop this at any time, and the session then.
    ///
    /// # Errors
    /// Why the connection is of no use any more; queries without an answer were not answered.
    fn ask<'a>(
        &'a self,
        session: &'a mut Self::Session,
        queries: &'a [Arc<str>],
        limit: Duration,
        answers: &'a mut Vec<Answer>,
    ) -> BoxFuture<'a, Result<(), Unknown>>;
}

/// What a query came to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// The number that it selects.
    Number(f64),
    /// The server cut it off after its limit.
    Slow,
    /// It failed, and the connection is as good as before.
    Failed(Unknown),
    /// It was the one under way when the connection broke.
    Broke(Unknown),
}
