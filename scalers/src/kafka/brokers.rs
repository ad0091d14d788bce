//! The brokers of one cluster: those that were named and those that these named.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::broker::{Broker, Make};
use super::endpoint::Endpoint;
use super::error::ReadError;
use super::protocol::Response;
use super::security::Access;

/// So many brokers are tried for a question that any may answer.
const MAX_TRIED: usize = 5;

/// The brokers of one cluster, each with at most one connection.
#[derive(Debug)]
pub(crate) struct Brokers {
    servers: Arc<str>,
    bootstrap: Vec<Endpoint>,
    access: Arc<Access>,
    known: Mutex<HashMap<Endpoint, Arc<Broker>>>,
}

impl Brokers {
    /// Knows the bootstrap brokers, which errors call `servers`.
    pub(crate) fn new(servers: &Arc<str>, bootstrap: Vec<Endpoint>, access: Access) -> Self {
        Self {
            servers: servers.clone(),
            bootstrap,
            access: Arc::new(access),
            known: Mutex::default(),
        }
    }

    /// The broker at `endpoint`.
    pub(crate) fn at(&self, endpoint: &Endpoint) -> Arc<Broker> {
        let mut known = self.known.lock();
        if let Some(broker) = known.get(endpoint) {
            return broker.clone();
        }
        let broker = Arc::new(Broker::new(endpoint.clone(), self.access.clone()));
        known.insert(endpoint.clone(), broker.clone());
        broker
    }

    /// Closes connections to brokers that are neither of the cluster nor named by the trigger.
    pub(crate) fn keep(&self, members: &[Endpoint]) {
        let mut known = self.known.lock();
        known.retain(|it, _| members.contains(it) || self.bootstrap.contains(it));
    }

    /// Asks one of `members` or a bootstrap broker, those that failed last time last.
    pub(crate) async fn ask_any(
        &self,
        members: &[Endpoint],
        deadline: Instant,
        make: Make<'_>,
    ) -> Result<(Arc<Broker>, Vec<Response>), ReadError> {
        let mut seen = HashSet::new();
        let all = members.iter().chain(&self.bootstrap);
        let distinct = all.filter(|endpoint| seen.insert(*endpoint));
        let mut candidates: Vec<_> = distinct.map(|endpoint| self.at(endpoint)).collect();
        candidates.sort_by_key(|broker| broker.is_failing());
        candidates.truncate(MAX_TRIED);
        let count = candidates.len();
        let mut worst = ReadError::unreachable(&self.servers, &"no broker is named");
        for (index, broker) in candidates.into_iter().enumerate() {
            let deadline = share(deadline, count - index);
            match broker.ask(deadline, make).await {
                Ok(responses) => return Ok((broker, responses)),
                Err(error) => worst = error.about(&self.servers),
            }
        }
        Err(worst)
    }
}

/// A broker that hangs leaves the others a part of the time.
fn share(deadline: Instant, left: usize) -> Instant {
    let now = Instant::now();
    let time: Duration = deadline.saturating_duration_since(now);
    now + time / u32::try_from(left).unwrap_or(u32::MAX).max(1)
}
