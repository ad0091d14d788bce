//! One function's load of one second: from its replicas, or from whoever answers for them.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use tokio::time::Instant;
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
/// Of them, for functions that hang.
const MAX_HANGING: usize = MAX_ASKED / 2;

/// What rounds of all functions share.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) fetcher: Fetcher,
    pub(super) port: u16,
    limit: Semaphore,
    hanging: Semaphore,
}

/// What came of an errand.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) function: FunctionId,
    pub(super) load: Option<LoadSample>,
    pub(super) outcome: ScrapeOutcome,
    /// Replicas cannot be addressed, and the Service answered in their place.
    pub(super) is_meshed: bool,
    /// Nobody answered anything in time.
    pub(super) is_hanging: bool,
    /// It was so before, and the round counted among those.
    pub(super) was_hanging: bool,
    /// From the first question to the last answer.
    pub(super) took: Duration,
}

/// Why replicas did not say enough.
enum Missed {
    /// Each answered as a mesh does.
    Mesh(Arc<str>),
    NoStat,
    Failed(Arc<str>),
    /// None answered anything in time.
    Hanging(Arc<str>),
}

impl Asking {
    pub(super) fn new(port: u16) -> Self {
        Self {
            fetcher: Fetcher::default(),
            port,
            limit: Semaphore::new(MAX_ASKED),
            hanging: Semaphore::new(MAX_HANGING),
        }
    }

    async fn replica(&self, errand: &Errand, address: IpAddr) -> Result<Stat, FetchError> {
        let _permits = self.permits(errand).await;
        let address = SocketAddr::new(address, self.port);
        self.fetcher.replica(address).await
    }

    async fn service(&self, errand: &Errand) -> Result<Stat, FetchError> {
        let _permits = self.permits(errand).await;
        self.fetcher.service(&errand.service, self.port).await
    }

    /// Who hangs waits for others who hang, and never for more than half of the places.
    async fn permits(&self, errand: &Errand) -> impl Sized + '_ {
        let hanging = match errand.is_hanging {
            true => self.hanging.acquire().await.ok(),
            false => None,
        };
        (hanging, self.limit.acquire().await)
    }
}

impl Round {
    pub(super) async fn run(errand: Errand, asking: Arc<Asking>) -> Self {
        let (function, was_hanging) = (errand.function.clone(), errand.is_hanging);
        let begun = Instant::now();
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
        let is_hanging = matches!(result, Err(Missed::Hanging(_)));
        let (load, outcome) = match result {
            Ok(load) => (Some(load), ScrapeOutcome::Collected),
            Err(Missed::NoStat) => (None, ScrapeOutcome::NoStat),
            Err(Missed::Mesh(why) | Missed::Failed(why) | Missed::Hanging(why)) => {
                (None, ScrapeOutcome::Failed(why))
            }
        };
        Self {
            function,
            load,
            outcome,
            is_meshed,
            is_hanging,
            was_hanging,
            took: begun.elapsed(),
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

    /// The load of all replicas, if enough of them answered.
    fn sum_up(&self, answers: &[LoadSample], missed: Option<Missed>) -> Result<LoadSample, Missed> {
        match missed {
            _ if answers.len() >= self.sample_size() => Ok(extrapolate(answers, self.ready())),
            Some(Missed::Mesh(why) | Missed::Hanging(why)) if !answers.is_empty() => {
                Err(Missed::Failed(why))
            }
            missed => Err(missed.unwrap_or(Missed::NoStat)),
        }
    }

    /// What a replica said, if it makes sense.
    fn understand(&self, stat: Stat) -> Option<Sample> {
        stat.sample(self.function.clone(), Timestamp::EPOCH)
    }
}

/// Asks replicas; where one does not answer, the next one in its place. Where none answered last
/// time, the first that does not again is enough.
async fn replicas(errand: &Errand, asking: &Asking) -> Result<LoadSample, Missed> {
    let sample = errand.sample_size();
    let (old, young) = (errand.old.clone(), errand.young.clone());
    let mut next = candidates(old, young, sample, &mut Shuffle::new()).into_iter();
    let ask = |address| asking.replica(errand, address);
    let mut asked: FuturesUnordered<_> = next.by_ref().take(sample).map(ask).collect();
    let mut answers = Vec::with_capacity(sample);
    let mut missed = None;
    while let Some(answer) = asked.next().await {
        match answer.map(|stat| errand.understand(stat)) {
            Err(error @ FetchError::Timeout)
                if is_silent(missed.as_ref()) && answers.is_empty() =>
            {
                missed = Some(Missed::Hanging(said(&error)));
                if errand.is_hanging {
                    break;
                }
            }
            Ok(Some(answer)) => {
                answers.push(LoadSample::from(&answer));
                continue;
            }
            Ok(None) => missed = Some(Missed::Failed("not a number".into())),
            Err(error)
                if error.is_mesh_like() && matches!(missed, None | Some(Missed::Mesh(_))) =>
            {
                missed = Some(Missed::Mesh(said(&error)));
            }
            Err(error) => missed = Some(Missed::Failed(said(&error))),
        }
        asked.extend(next.next().map(ask));
    }
    errand.sum_up(&answers, missed)
}

/// Whether nobody said anything.
fn is_silent(missed: Option<&Missed>) -> bool {
    matches!(missed, None | Some(Missed::Hanging(_)))
}

/// Asks the Service until as many different replicas answered as are to be asked.
async fn service(errand: &Errand, asking: &Asking) -> Result<LoadSample, Missed> {
    let sample = errand.sample_size();
    let mut tries = sample * TRIES;
    let ask = |()| asking.service(errand);
    let mut asked: FuturesUnordered<_> = (0..sample).map(|_| ask(())).collect();
    let mut seen = HashSet::new();
    let mut answers = Vec::with_capacity(sample);
    let mut missed = None;
    while let Some(answer) = asked.next().await {
        tries -= 1;
        match answer.map(|stat| errand.understand(stat)) {
            Ok(Some(answer)) if seen.insert(answer.pod.clone()) => {
                answers.push(LoadSample::from(&answer));
                continue;
            }
            Ok(_) => missed = Some(Missed::NoStat),
            Err(error @ FetchError::Timeout) if is_silent(missed.as_ref()) && seen.is_empty() => {
                missed = Some(Missed::Hanging(said(&error)));
                if errand.is_hanging {
                    break;
                }
            }
            Err(error) => missed = Some(Missed::Failed(said(&error))),
        }
        if tries > asked.len() {
            asked.push(ask(()));
        }
    }
    errand.sum_up(&answers, missed)
}

/// An error with what caused it.
fn said(error: &FetchError) -> Arc<str> {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}").into(),
        None => error.to_string().into(),
    }
}
