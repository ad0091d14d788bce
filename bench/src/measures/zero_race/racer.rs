//! One function's part of the race.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::sync::mpsc;

use super::AROUND;
use crate::loadgen::{Class, Client, Sample};
use crate::measures::rhythm::{Landed, Rhythm};
use crate::stats::Random;

/// From the signal to the next settling request: half of the KPA's two-second grid, so that the idle time that
/// follows is never on the edge between two ticks.
const SETTLE_AFTER: Duration = Duration::from_secs(1);
/// Longest wait for a signal; the window and the grace period are 7 s.
const NEVER: Duration = Duration::from_secs(60);
/// A signal that concerns a probe is told within this after the answer.
const TOLD_WITHIN: Duration = Duration::from_millis(50);
/// A prediction that was off by more is not trusted to have hit when nothing was observed.
const TRUSTED: Duration = Duration::from_millis(10);

/// What a request was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// The first of the function: a cold start with nothing else going on.
    First,
    /// To keep the function up.
    Settle,
    /// Aimed at the signal.
    Probe,
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "first",
            Self::Settle => "settle",
            Self::Probe => "probe",
        })
    }
}

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) function: usize,
    pub(super) sent: Sent,
    /// Aimed at so long after the expected signal; `None`: sent at the sight of it.
    pub(super) planned_us: Option<i64>,
    /// Sent so long after the observed signal; `None`: there was none.
    pub(super) offset_us: Option<i64>,
    pub(super) latency: Duration,
    pub(super) class: Class,
    pub(super) instance: u32,
}

impl Row {
    /// Sent within [`AROUND`] of an observed signal.
    pub(super) fn is_around(&self) -> bool {
        let around = i64::try_from(AROUND.as_micros()).unwrap_or(i64::MAX);
        self.offset_us.is_some_and(|offset| offset.abs() <= around)
    }
}

/// A function's task.
pub(super) struct Racer {
    function: usize,
    client: Client,
    signals: mpsc::Receiver<Instant>,
    landed: Arc<AtomicUsize>,
    rhythm: Rhythm,
    previous: Landed,
    /// How far the newest observed signal was from where it was expected.
    error: Option<Duration>,
    random: Random,
    rows: Vec<Row>,
}

/// A probe and what is known of the signal it was aimed at.
struct Probe {
    planned_us: Option<i64>,
    sent_at: Instant,
    sample: Sample,
    signal: Option<Instant>,
    /// When the signal came, or should have come.
    moment: Instant,
}

impl Racer {
    pub(super) fn new(
        function: usize,
        client: Client,
        signals: mpsc::Receiver<Instant>,
        landed: Arc<AtomicUsize>,
    ) -> Self {
        Self {
            function,
            client,
            signals,
            landed,
            rhythm: Rhythm::default(),
            previous: Landed::After,
            error: None,
            random: Random::new(function as u64),
            rows: Vec::new(),
        }
    }

    /// Races until all racers together have landed `goal` requests, or `end`.
    pub(super) async fn run(mut self, goal: usize, end: Instant) -> Result<Vec<Row>> {
        // The first request comes at no particular phase of any clock: nothing is learned from it.
        self.settle(Sent::First).await;
        let probe = self.follow().await?;
        self.take(&probe, None);
        let mut settled = self.settle_after(&probe).await;
        while self.landed.load(Ordering::Relaxed) < goal && Instant::now() < end {
            let probe = match self.rhythm.predict(self.previous) {
                Some(idle) => self.aim(settled + idle).await,
                None => self.follow().await?,
            };
            self.take(&probe, Some(settled));
            settled = self.settle_after(&probe).await;
        }
        Ok(self.rows)
    }

    /// Sends a request; the function is idle from the returned moment on.
    async fn settle(&mut self, sent: Sent) -> Instant {
        while self.signals.try_recv().is_ok() {} // of a probe whose answer came long before
        let sample = self.client.send(self.function).await;
        self.note(sent, None, None, &sample);
        Instant::now()
    }

    /// Settles at a known phase after a probe.
    async fn settle_after(&mut self, probe: &Probe) -> Instant {
        tokio::time::sleep_until((probe.moment + SETTLE_AFTER).into()).await;
        self.settle(Sent::Settle).await
    }

    /// Sends a request at the sight of the signal.
    async fn follow(&mut self) -> Result<Probe> {
        let signal = tokio::time::timeout(NEVER, self.signals.recv()).await;
        let signal = signal.with_context(|| {
            format!(
                "race-{} was not told to stop within {NEVER:?}",
                self.function
            )
        })?;
        let signal = signal.context("no more signals")?;
        let sent_at = Instant::now();
        let sample = self.client.send(self.function).await;
        Ok(Probe {
            planned_us: None,
            sent_at,
            sample,
            signal: Some(signal),
            moment: signal,
        })
    }

    /// Sends a request somewhere around `expected`, blindly.
    async fn aim(&mut self, expected: Instant) -> Probe {
        let offset = AROUND.mul_f64(2.0 * self.random.unit());
        tokio::time::sleep_until((expected + offset - AROUND).into()).await;
        let sent_at = Instant::now();
        let sample = self.client.send(self.function).await;
        let signal = tokio::time::timeout(TOLD_WITHIN, self.signals.recv())
            .await
            .ok()
            .flatten();
        let planned_us = Some(signed_us(sent_at, expected));
        Probe {
            planned_us,
            sent_at,
            sample,
            signal,
            moment: signal.unwrap_or(expected),
        }
    }

    /// Records a probe, and learns from it when the function had settled before.
    fn take(&mut self, probe: &Probe, settled: Option<Instant>) {
        let predicted = self.rhythm.predict(self.previous);
        match probe.signal {
            Some(signal) => {
                if let Some(settled) = settled {
                    let idle = signal.saturating_duration_since(settled);
                    self.error = predicted.map(|predicted| predicted.abs_diff(idle));
                    self.rhythm.learn(self.previous, idle);
                }
                self.previous = Landed::After;
            }
            None => {
                self.rhythm.miss();
                self.previous = Landed::Before;
            }
        }
        let offset_us = probe.signal.map(|signal| signed_us(probe.sent_at, signal));
        self.note(Sent::Probe, probe.planned_us, offset_us, &probe.sample);
        let has_prevented =
            probe.signal.is_none() && self.error.is_some_and(|error| error <= TRUSTED);
        let is_around = self.rows.last().is_some_and(Row::is_around);
        if is_around || has_prevented {
            self.landed.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn note(
        &mut self,
        sent: Sent,
        planned_us: Option<i64>,
        offset_us: Option<i64>,
        sample: &Sample,
    ) {
        self.rows.push(Row {
            function: self.function,
            sent,
            planned_us,
            offset_us,
            latency: sample.latency,
            class: sample.reply.class,
            instance: sample.reply.instance,
        });
    }
}

/// Microseconds from `reference` to `at`; negative when `at` is earlier.
fn signed_us(at: Instant, reference: Instant) -> i64 {
    let us = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    us(at.saturating_duration_since(reference)) - us(reference.saturating_duration_since(at))
}
