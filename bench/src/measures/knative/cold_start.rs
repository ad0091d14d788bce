//! One function at zero: both sides' own shares of its start, and the whole.
//!
//! Own share, before: from sending the request until the write of the count. Own share, after: from the moment at which
//! the pod could be used by somebody who knows where it is (its address was stored, and its queue-proxy said that the
//! function is ready) to the first byte of the answer. Functions are used once; the sides take turns in blocks.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::net::TcpStream;

use super::MEASURE;
use super::installation::{Installation, Side};
use super::revisions::{QUEUE_PORT, Revision};
use crate::bench::{Bench, Csv, note};
use crate::figure::{Aim, Figure};
use crate::measures::cluster::api::Api;
use crate::measures::cluster::audit::Events;
use crate::measures::cluster::namespace::{Kind, Namespace};
use crate::measures::cluster::pods::{self, Pod};
use crate::measures::cluster::request::{Answered, between, millis, probe_queue};
use crate::measures::cluster::watch::Watch;
use crate::measures::{PATIENCE, rest};
use crate::stats::{Random, bootstrap_ratio, quantile};

/// Starts of one side in a row.
const BLOCK: usize = 10;
/// Of each block: they fill caches, and are dropped.
const WARM_UP: usize = 1;
/// Between two starts: nothing of one may run during the next.
const REST: Duration = Duration::from_millis(500);
/// And up to so much more: the kubelet looks at its containers once a second.
const PHASE: Duration = Duration::from_secs(1);

/// What was seen of one start.
#[derive(Clone, Debug)]
struct Seen {
    revision: String,
    answered: Answered,
    pod: Pod,
    /// When the queue-proxy first said ready, where it had not before.
    ready: Option<SystemTime>,
    /// When our watch told the count.
    counted: SystemTime,
    /// When our watch told the address among the private Service's.
    told: SystemTime,
}

/// Milliseconds of one start.
#[derive(Clone, Copy, Debug)]
struct Start {
    /// Until the API server received the count; not a number where its audit log does not tell.
    received: f64,
    /// Until our watch told the count.
    watched: f64,
    after: f64,
    /// From the stored address until a watch of ours told it: the part of `after` that Kubernetes takes.
    told: f64,
    whole: f64,
}

/// What tells of the starts of a block.
#[derive(Debug)]
struct Watches {
    pods: Watch<Pod>,
    counts: Watch<SystemTime>,
    endpoints: Watch<SystemTime>,
}

impl Watches {
    fn start(api: &Api, namespace: &Namespace) -> Result<Self> {
        let when = |object: &Value| {
            let name = object["metadata"]["name"].as_str()?;
            Some((name.to_owned(), SystemTime::now()))
        };
        let counts = Watch::start(api, namespace, Kind::Deployment, move |object| {
            let count = object["spec"]["replicas"].as_u64()?;
            when(object).filter(|_| count > 0)
        });
        let endpoints = Watch::start(api, namespace, Kind::Endpoints, move |object| {
            // Ready or not: both sides ask pods themselves.
            let is_any = object["subsets"]
                .as_array()
                .is_some_and(|all| !all.is_empty());
            when(object).filter(|_| is_any)
        });
        Ok(Self {
            pods: pods::watch(api, namespace, QUEUE_PORT)?,
            counts: counts?,
            endpoints: endpoints?,
        })
    }
}

pub(super) fn run(bench: &mut Bench, installation: &Installation) -> Result<()> {
    let _setting = installation.hurry()?;
    let (rounds, block) = (bench.rounds(4, 1), bench.size(BLOCK, 2));
    let mut csv = Csv::create(
        MEASURE,
        "cold-start",
        "round,side,received_ms,watched_ms,after_ms,told_ms,whole_ms",
    )?;
    let mut starts: [Vec<Start>; 2] = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        for side in Side::in_turn(round) {
            for start in self::block(installation, side, round, block + WARM_UP)? {
                let Start {
                    received,
                    watched,
                    after,
                    told,
                    whole,
                } = &start;
                csv.row(&[&round, &side.name(), received, watched, after, told, whole])?;
                starts[side as usize].push(start);
            }
        }
    }
    csv.close()?;
    figures(bench, &starts);
    Ok(())
}

/// One side's turn: functions made, used once each, and deleted.
fn block(
    installation: &Installation,
    side: Side,
    round: usize,
    count: usize,
) -> Result<Vec<Start>> {
    let cluster = &installation.cluster;
    installation.swap(side)?;
    let namespace = Namespace::create(&cluster.api, "kn-cold")?;
    let names: Vec<String> = (0..count).map(|number| format!("fn-{number}")).collect();
    let revisions = namespace.at_zero(cluster, &names)?;
    let watches = Watches::start(&cluster.api, &namespace)?;
    let audit = cluster.audit()?;
    let mut random = Random::new(round as u64);
    let mut seen = Vec::new();
    for revision in &revisions {
        seen.push(cluster.api.block_on(start(revision, &watches))?);
        rest(REST + PHASE.mul_f64(random.unit()));
    }
    let events = audit.events(&namespace.name)?;
    namespace.clear_revisions(cluster)?;
    seen.iter()
        .skip(WARM_UP)
        .map(|seen| judge(&events, seen))
        .collect()
}

/// Asks a function at zero, while others look when its pod can be used.
async fn start(revision: &Revision, watches: &Watches) -> Result<Seen> {
    let stream = TcpStream::connect(revision.service).await?;
    let deployment = format!("{}-deployment", revision.name);
    let prober = async {
        let pod = watches.pods.first(&revision.name, PATIENCE).await?;
        let ready = probe_queue(pod.address, PATIENCE).await?;
        anyhow::Ok((pod, ready))
    };
    let private = format!("{}-private", revision.name);
    let (answered, (pod, ready), counted, told) = tokio::try_join!(
        revision.ask(stream, PATIENCE),
        prober,
        watches.counts.first(&deployment, PATIENCE),
        watches.endpoints.first(&private, PATIENCE)
    )?;
    Ok(Seen {
        revision: revision.name.clone(),
        answered,
        pod,
        ready,
        counted,
        told,
    })
}

/// Compares what the client saw with what the API server saw.
fn judge(events: &Events, seen: &Seen) -> Result<Start> {
    let deployment = format!("{}-deployment", seen.revision);
    let Answered { sent, first_byte } = seen.answered;
    let stored = events
        .address_of(&seen.pod.name)
        .with_context(|| format!("{}: no address in the audit log", seen.pod.name))?;
    let usable = seen.ready.map_or(stored, |ready| ready.max(stored));
    let received = events
        .wake(&deployment)
        .map(|write| millis(between(sent, write.received)));
    Ok(Start {
        received: received.unwrap_or(f64::NAN),
        watched: millis(between(sent, seen.counted)),
        after: millis(between(usable, first_byte)),
        told: millis(between(stored, seen.told)),
        whole: millis(seen.answered.took()),
    })
}

/// One number of a start.
type Of<'a> = &'a dyn Fn(&Start) -> f64;

fn figures(bench: &mut Bench, starts: &[Vec<Start>; 2]) {
    // Where the audit policy does not tell Knative's writes, both sides are judged by the same watch.
    let is_logged = starts.iter().flatten().all(|it| it.received.is_finite());
    if !is_logged {
        note("the audit log lacks writes of counts: our watch of Deployments tells for both sides");
    }
    let before = |it: &Start| if is_logged { it.received } else { it.watched };
    let column =
        |side: Side, of: Of<'_>| -> Vec<f64> { starts[side as usize].iter().map(of).collect() };
    let shares: [(&str, Of<'_>, Option<f64>); 5] = [
        ("until-count", &before, Some(0.5)),
        ("usable-to-first-byte", &|it| it.after, Some(0.5)),
        ("stored-to-endpoints", &|it| it.told, None),
        ("own-share", &|it| before(it) + it.after, Some(0.5)),
        ("whole", &|it| it.whole, None),
    ];
    for (name, of, most) in shares {
        let (knative, zeron) = (column(Side::Knative, of), column(Side::Zeron, of));
        for (percentile, q) in [("p50", 0.5), ("p95", 0.95)] {
            let figure = Figure::new(
                format!("{MEASURE}/cold-start/{name}/{percentile}"),
                "ms",
                quantile(&zeron, q),
                zeron.len(),
            )
            .with_floor(quantile(&knative, q))
            .with_spread(bootstrap_ratio(&zeron, &knative, q));
            // The aims are about medians.
            bench.figure(match most.filter(|_| percentile == "p50") {
                Some(most) => figure.with_aim(Aim::RatioAtMost(most)),
                None => figure,
            });
        }
    }
}
