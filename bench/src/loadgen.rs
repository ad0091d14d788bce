//! The load generator: open loop by a schedule, or closed loop for ceilings. One thread, hyper client connections.
//!
//! Latency counts from the moment at which a request was *intended* to start, so that a stalled subject
//! cannot hide the requests that it delayed (coordinated omission). Every body is compared.

mod exchange;
mod pool;
mod report;
mod schedule;
mod timer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use bytes::Bytes;
use http::HeaderMap;

use exchange::Exchange;
use pool::Pool;
use report::Collector;
use timer::Timer;

pub(crate) use report::{Class, Report, Sample};
pub(crate) use schedule::{Arrival, burst, constant, ramp};

/// What to ask for.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The `Host` header.
    pub(crate) host: String,
    /// Path and query.
    pub(crate) path: String,
    /// Further headers.
    pub(crate) headers: HeaderMap,
    /// The body of a right answer; `None`: any.
    pub(crate) body: Option<Bytes>,
}

/// Where and how to send.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Every request goes here, whatever its host.
    pub(crate) address: SocketAddr,
    /// What an [`Arrival`] chooses from.
    pub(crate) targets: Vec<Target>,
    /// Connections open at once, at most; further requests wait for one, and the wait counts.
    pub(crate) connections: usize,
    /// Open all connections before the clock starts.
    pub(crate) preconnect: bool,
    /// A client leaves so long after the intended start.
    pub(crate) timeout: Duration,
}

/// Sends a request at each arrival's time, whatever became of the earlier ones, and waits for all answers.
///
/// # Errors
/// When the first connections or the timer cannot be made. Failed requests are samples, not errors.
pub(crate) async fn open_loop(load: &Load, arrivals: &[Arrival]) -> Result<Report> {
    open_loop_changing(load, arrivals, None, &mut || None).await
}

/// [`open_loop`] of which `change` may send the rest another way: it is asked before each request. Connections that have
/// been open for `renew_after` are not used again: a Service chooses a pod for each connection.
///
/// # Errors
/// As [`open_loop`].
pub(crate) async fn open_loop_changing(
    load: &Load,
    arrivals: &[Arrival],
    renew_after: Option<Duration>,
    change: &mut dyn FnMut() -> Option<Load>,
) -> Result<Report> {
    let mut way = Way::prepare(load, renew_after).await?;
    let mut timer = Timer::new()?;
    let collector = Arc::new(Collector::new(arrivals.len()));
    let started = Started::now();
    for arrival in arrivals {
        timer.until(started.at + arrival.at).await?;
        if let Some(load) = change() {
            way = Way::prepare(&load, renew_after).await?;
        }
        let request = Request {
            exchange: Arc::clone(&way.exchanges[arrival.target]),
            pool: Arc::clone(&way.pool),
            intended: started.at + arrival.at,
            timeout: way.timeout,
        };
        let (collector, arrival) = (Arc::clone(&collector), *arrival);
        tokio::spawn(async move { collector.push(request.send(arrival).await) });
    }
    collector.finished().await;
    Ok(collector.report(started.wall, started.at.elapsed()))
}

/// A [`Load`] whose requests can be sent.
struct Way {
    pool: Arc<Pool>,
    exchanges: Vec<Arc<Exchange>>,
    timeout: Duration,
}

impl Way {
    async fn prepare(load: &Load, renew_after: Option<Duration>) -> Result<Self> {
        let pool = Pool::new(load.address, load.connections, renew_after);
        if load.preconnect {
            pool.fill().await?;
        }
        Ok(Self {
            pool,
            exchanges: exchanges(load)?,
            timeout: load.timeout,
        })
    }
}

/// Keeps every connection busy for `duration`: a ceiling, not a latency.
///
/// # Errors
/// When the connections cannot be made.
pub(crate) async fn closed_loop(load: &Load, duration: Duration) -> Result<Report> {
    let pool = Pool::new(load.address, load.connections, None);
    pool.fill().await?;
    let exchange = Arc::new(Exchange::new(&load.targets[0])?);
    let collector = Arc::new(Collector::new(load.connections));
    let started = Started::now();
    let end = started.at + duration;
    for _ in 0..load.connections {
        let (pool, exchange, collector) = (
            Arc::clone(&pool),
            Arc::clone(&exchange),
            Arc::clone(&collector),
        );
        let timeout = load.timeout;
        tokio::spawn(async move {
            while Instant::now() < end {
                let intended = Instant::now();
                let request = Request {
                    exchange: Arc::clone(&exchange),
                    pool: Arc::clone(&pool),
                    intended,
                    timeout,
                };
                let arrival = Arrival {
                    at: intended - started.at,
                    target: 0,
                };
                collector.record(request.send(arrival).await);
            }
            collector.done();
        });
    }
    collector.finished().await;
    Ok(collector.report(started.wall, started.at.elapsed()))
}

/// Sends single requests at moments that are known only as the scenario goes.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pool: Arc<Pool>,
    exchanges: Arc<Vec<Arc<Exchange>>>,
    timeout: Duration,
}

impl Client {
    /// Opens nothing yet.
    pub(crate) fn new(load: &Load) -> Result<Self> {
        Ok(Self {
            pool: Pool::new(load.address, load.connections, None),
            exchanges: Arc::new(exchanges(load)?),
            timeout: load.timeout,
        })
    }

    /// Sends a request to `target` now.
    pub(crate) async fn send(&self, target: usize) -> Sample {
        let request = Request {
            exchange: Arc::clone(&self.exchanges[target]),
            pool: Arc::clone(&self.pool),
            intended: Instant::now(),
            timeout: self.timeout,
        };
        request
            .send(Arrival {
                at: Duration::ZERO,
                target,
            })
            .await
    }
}

fn exchanges(load: &Load) -> Result<Vec<Arc<Exchange>>> {
    load.targets
        .iter()
        .map(|target| Exchange::new(target).map(Arc::new))
        .collect()
}

#[derive(Clone, Copy)]
struct Started {
    at: Instant,
    wall: SystemTime,
}

impl Started {
    fn now() -> Self {
        Self {
            at: Instant::now(),
            wall: SystemTime::now(),
        }
    }
}

struct Request {
    exchange: Arc<Exchange>,
    pool: Arc<Pool>,
    intended: Instant,
    timeout: Duration,
}

impl Request {
    async fn send(self, arrival: Arrival) -> Sample {
        let late = self.intended.elapsed();
        let deadline = tokio::time::Instant::from_std(self.intended + self.timeout);
        let reply = tokio::time::timeout_at(deadline, self.exchange.run(&self.pool)).await;
        Sample {
            target: arrival.target,
            intended: arrival.at,
            late,
            latency: self.intended.elapsed(),
            reply: reply.unwrap_or_else(|_| exchange::Reply::failed(Class::Timeout)),
        }
    }
}

#[cfg(test)]
mod tests;
