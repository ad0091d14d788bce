//! One function's load of one second: from its replicas, or from whoever answers for them.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use zeron_core::{FunctionId, Sample, Timestamp};
use zeron_wire::knative::proto::Stat;

use super::fetch::{FetchError, Fetcher};
use super::sampling::{Shuffle, candidates, extrapolate, sample_size};
use super::state::Errand;
use super::{MeshCompatibility, ScrapeOutcome};
use crate::collector::LoadSample;

/// Who a sample is by.
pub(crate) const REPORTER: &str = "service-scraper";
/// How often one of several is looked for behind a Service.
const TRIES: usize = 10;
/// Answers waited for at once, of all functions.
const MAX_ASKED: usize = 512;

/// What rounds of all functions share.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) fetcher: Fetcher,
    pub(super) port: u16,
    limit: Semaphore,
}

/// What came of an errand.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) function: FunctionId,
    pub(super) load: Option<LoadSample>,
    pub(super) outcome: ScrapeOutcome,
    /// Replicas cannot be addressed, and the Service answered in their place.
    pub(super) is_meshed: bool,
}

/// Why replicas did not say enough.
enum Missed {
    /// Each answered as a mesh does.
    Mesh(Arc<str>),
    NoStat,
    Failed(Arc<str>),
}

impl Asking {
    pub(super) fn new(port: u16) -> Self {
        Self {
            fetcher: Fetcher::default(),
            port,
            limit: Semaphore::new(MAX_ASKED),
        }
    }

    async fn replica(&self, address: IpAddr) -> Result<Stat, FetchError> {
        let _permit = self.limit.acquire().await;
        let address = SocketAddr::new(address, self.port);
        self.fetcher.replica(address).await
    }

    async fn service(&self, service: &str) -> Result<Stat, FetchError> {
        let _permit = self.limit.acquire().await;
        self.fetcher.service(service, self.port).await
    }
}

impl Round {
    pub(super) async fn run(errand: Errand, asking: Arc<Asking>) -> Self {
        let function = errand.function.clone();
        let (result, is_meshed) = match errand.mode {
            MeshCompatibility::Enabled => (service(&errand, &asking).await, false),
            MeshCompatibility::Disabled => (replicas(&errand, &asking).await, false),
            MeshCompatibility::Auto if errand.is_meshed => (service(&errand, &asking).await, true),
            MeshCompatibility::Auto => match replicas(&errand, &asking).await {
                Err(Missed::Mesh(_)) => {
                    let answer = service(&errand, &asking).await;
                    let is_meshed = answer.is_ok();
                    (answer, is_meshed)
                }
                answer => (answer, false),
            },
        };
        let (load, outcome) = match result {
            Ok(load) => (Some(load), ScrapeOutcome::Collected),
            Err(Missed::NoStat) => (None, ScrapeOutcome::NoStat),
            Err(Missed::Mesh(why) | Missed::Failed(why)) => (None, ScrapeOutcome::Failed(why)),
        };
        Self {
            function,
            load,
            outcome,
            is_meshed,
        }
    }

    /// What the engine is told.
    pub(super) fn sample(&self, at: Timestamp) -> Option<Sample> {
        let load = self.load?;
        Some(Sample {
            function: self.function.clone(),
            at,
            average_concurrency: load.concurrency,
            average_proxied_concurrency: load.proxied_concurrency,
            request_count: load.requests,
            proxied_request_count: load.proxied_requests,
            pod: REPORTER.into(),
        })
    }
}

impl Errand {
    fn ready(&self) -> u32 {
        u32::try_from(self.old.len() + self.young.len()).unwrap_or(u32::MAX)
    }

    fn sample_size(&self) -> usize {
        usize::try_from(sample_size(self.ready())).unwrap_or(usize::MAX)
    }

    /// What a replica said, if it makes sense.
    fn understand(&self, stat: Stat) -> Option<Sample> {
        stat.sample(self.function.clone(), Timestamp::EPOCH)
    }
}

/// Asks replicas; where one does not answer, the next one in its place.
async fn replicas(errand: &Errand, asking: &Asking) -> Result<LoadSample, Missed> {
    let sample = errand.sample_size();
    let (old, young) = (errand.old.clone(), errand.young.clone());
    let mut next = candidates(old, young, sample, &mut Shuffle::new()).into_iter();
    let ask = |address| asking.replica(address);
    let mut asked: FuturesUnordered<_> = next.by_ref().take(sample).map(ask).collect();
    let mut answers = Vec::with_capacity(sample);
    let mut missed = None;
    while let Some(answer) = asked.next().await {
        match answer.map(|stat| errand.understand(stat)) {
            Ok(Some(answer)) => {
                answers.push(LoadSample::from(&answer));
                continue;
            }
            Ok(None) => missed = Some(Missed::Failed("not a number".into())),
            Err(error) if error.is_mesh_like() && !matches!(missed, Some(Missed::Failed(_))) => {
                missed = Some(Missed::Mesh(said(&error)));
            }
            Err(error) => missed = Some(Missed::Failed(said(&error))),
        }
        asked.extend(next.next().map(ask));
    }
    match missed {
        _ if answers.len() >= sample => Ok(extrapolate(&answers, errand.ready())),
        Some(Missed::Mesh(why)) if !answers.is_empty() => Err(Missed::Failed(why)),
        missed => Err(missed.unwrap_or(Missed::NoStat)),
    }
}

/// Asks the Service until as many different replicas answered as are to be asked.
async fn service(errand: &Errand, asking: &Asking) -> Result<LoadSample, Missed> {
    let sample = errand.sample_size();
    let mut tries = sample * TRIES;
    let ask = |()| asking.service(&errand.service);
    let mut asked: FuturesUnordered<_> = (0..sample).map(|_| ask(())).collect();
    let mut seen = HashSet::new();
    let mut answers = Vec::with_capacity(sample);
    let mut missed = Missed::NoStat;
    while let Some(answer) = asked.next().await {
        tries -= 1;
        match answer.map(|stat| errand.understand(stat)) {
            Ok(Some(answer)) if seen.insert(answer.pod.clone()) => {
                answers.push(LoadSample::from(&answer));
                continue;
            }
            Ok(_) => missed = Missed::NoStat,
            Err(error) => missed = Missed::Failed(said(&error)),
        }
        if tries > asked.len() {
            asked.push(ask(()));
        }
    }
    if answers.len() >= sample {
        Ok(extrapolate(&answers, errand.ready()))
    } else {
        Err(missed)
    }
}

/// An error with what caused it.
fn said(error: &FetchError) -> Arc<str> {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}").into(),
        None => error.to_string().into(),
    }
}
