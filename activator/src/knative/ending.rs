//! What is counted and logged of a request for a Revision once its answer has ended.

use std::sync::Arc;

use http::StatusCode;
use http::request::Parts;
use tokio::time::Instant;

use super::durations::Stopwatch;
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
    pub(super) fn begin(
        shared: &Shared,
        peer: &Peer,
        revision: &Arc<Destination>,
        begun: Instant,
        parts: &Parts,
    ) -> Box<Self> {
        let log = shared.request_log();
        Box::new(Self {
            watch: Stopwatch::start(revision, begun, parts, peer.is_tls),
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
        if let Some(line) = &mut self.line {
            line.sent(bytes);
        }
    }
}
