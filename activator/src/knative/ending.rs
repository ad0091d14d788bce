//! What is counted and logged of a request for a Revision once its answer has ended.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use http::StatusCode;
use http::request::Parts;
use tokio::time::Instant;

use super::measures::Stopwatch;
use super::request_log::Line;
use crate::peer::Peer;
use crate::route::Destination;
use crate::worker::Shared;

/// Goes with the answer's body, and does its work when it is dropped.
#[derive(Debug)]
pub(crate) struct Ending {
    watch: Stopwatch,
    line: Option<Line>,
}

impl Ending {
    /// `received`: bytes of the request's body, counted as they come; `None` where it has none.
    pub(super) fn begin(
        shared: &Shared,
        peer: &Peer,
        revision: &Arc<Destination>,
        begun: Instant,
        parts: &Parts,
        received: Option<Arc<AtomicU64>>,
    ) -> Box<Self> {
        let log = shared.request_log();
        Box::new(Self {
            watch: Stopwatch::start(revision, begun, parts, received, peer.is_tls),
            line: log.map(|log| Line::begin(log, revision, begun, peer.address, parts)),
        })
    }

    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.watch.answered(status);
        if let Some(line) = &mut self.line {
            line.answered(status);
        }
    }

    /// So many bytes of the answer's body went out.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.watch.sent(bytes);
        if let Some(line) = &mut self.line {
            line.sent(bytes);
        }
    }
}
