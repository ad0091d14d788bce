//! The probes of the supervisor's replicas.

use std::time::Instant;

use zeron_core::EndpointId;

use super::live::Live;
use super::{PROBE, Supervisor, Timer};
use crate::clock::Now;
use crate::probe::{Attempt, Outcome, Progress, Verdict};

impl Supervisor {
    pub(super) fn begin_probing(&mut self, id: EndpointId) {
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        live.is_in_crowd = true;
        self.crowd += 1;
        let delay = live.function.workload.readiness.initial_delay;
        if delay.is_zero() {
            self.probe(id, 0);
        } else {
            self.timers.set(live.begun + delay, Timer::Probe(id, 0));
        }
    }

    pub(super) fn end_probing(&mut self, id: EndpointId) {
        if let Some(live) = self.live.get_mut(&id) {
            // A timer that is still set has another number.
            live.attempt += 1;
            live.probing = None;
            leave_crowd(live, &mut self.crowd);
        }
    }

    pub(super) fn probe(&mut self, id: EndpointId, attempt: u32) {
        let Some(live) = self.live.get_mut(&id).filter(|l| l.attempt == attempt) else {
            return;
        };
        self.shared.metrics.probes.inc();
        let readiness = &live.function.workload.readiness;
        let progress = Attempt::begin(&readiness.check, live.address);
        if matches!(progress, Progress::Pending(_)) {
            let at = Instant::now() + readiness.timeout;
            self.timers.set(at, Timer::ProbeTimeout(id, attempt));
        }
        self.take_progress(id, progress, true);
    }

    pub(super) fn advance_probe(&mut self, id: EndpointId) {
        let pending = self.live.get_mut(&id).and_then(|live| live.probing.take());
        if let Some(attempt) = pending {
            self.take_progress(id, attempt.advance(), false);
        }
    }

    pub(super) fn probe_timed_out(&mut self, id: EndpointId, attempt: u32) {
        let is_it = |live: &&mut Live| live.attempt == attempt && live.probing.is_some();
        if let Some(live) = self.live.get_mut(&id).filter(is_it) {
            live.probing = None;
            self.judged(id, Outcome::No);
        }
    }

    fn take_progress(&mut self, id: EndpointId, progress: Progress, is_new: bool) {
        let attempt = match progress {
            Progress::Done(outcome) => return self.judged(id, outcome),
            Progress::Pending(attempt) => attempt,
        };
        let token = (id.0 << 2) | PROBE;
        let watched = match (attempt.is_reading(), is_new) {
            (true, _) => self.poller.rewatch_readable(&attempt, token),
            (false, true) => self.poller.watch_writable(&attempt, token),
            (false, false) => Ok(()),
        };
        match (watched, self.live.get_mut(&id)) {
            (Ok(()), Some(live)) => live.probing = Some(attempt),
            (Err(_), Some(_)) => self.judged(id, Outcome::Refused),
            (_, None) => {}
        }
    }

    fn judged(&mut self, id: EndpointId, outcome: Outcome) {
        let now = Now::read();
        let Some(live) = self.live.get_mut(&id) else {
            return;
        };
        if outcome == Outcome::Yes && live.has_ended() {
            // Whoever answered took the port before our replica could. Its exit is next.
            return;
        }
        let probe = &live.function.workload.readiness;
        let verdict = live.schedule.record(outcome, probe);
        let wait = live.schedule.next(outcome, probe, now.instant, self.crowd);
        live.attempt += 1;
        if let Some(wait) = wait {
            let timer = Timer::Probe(id, live.attempt);
            self.timers.set(now.instant + wait, timer);
        }
        let effects = match verdict {
            Verdict::Unchanged => return,
            Verdict::BecameUnready => self.shared.fleet.lock().unready(id, now),
            Verdict::BecameReady => {
                live.was_ready = true;
                if leave_crowd(live, &mut self.crowd) {
                    let took = now.instant.saturating_duration_since(live.begun);
                    let metric = &self.shared.metrics.start_seconds;
                    metric.observe(took.as_secs_f64());
                }
                self.shared.fleet.lock().ready(id, now)
            }
        };
        // At once, not when this round is over: requests wait for exactly this.
        for function in &effects.publish {
            self.publish(function);
        }
        self.apply(super::Effects {
            publish: Vec::new(),
            ..effects
        });
    }
}

/// `true`: it was in the crowd.
fn leave_crowd(live: &mut Live, crowd: &mut u32) -> bool {
    if live.is_in_crowd {
        live.is_in_crowd = false;
        *crowd = crowd.saturating_sub(1);
        return true;
    }
    false
}
