//! Knative's pod autoscaler: how many replicas a load needs, to the digit.
//!
//! Source: knative/serving `pkg/autoscaler/scaling`, checked against recorded answers. What lies
//! between its answer and the replica count (bounds, the way to zero) is in
//! `kpa_zero`.

use std::collections::VecDeque;
use std::time::Duration;

use zeron_core::Timestamp;

use crate::collector::Averages;

/// Decisions are this far apart; the delay window has buckets of this length.
pub const GRID: Duration = Duration::from_secs(2);

/// Settings of a [`Decider`]; a change keeps its state.
#[derive(Clone, Debug, PartialEq)]
pub struct DeciderSpec {
    /// What one replica can take.
    pub total: f64,
    /// What one replica should get.
    pub target: f64,
    /// -1, 0 or more: spare capacity below which the activator stays in the path.
    pub target_burst_capacity: f64,
    /// Factor over capacity that starts panic mode.
    pub panic_threshold: f64,
    /// How long panic mode lasts after the last time over the threshold.
    pub stable_window: Duration,
    /// Factor > 1 by which a decision may exceed the ready count.
    pub max_scale_up_rate: f64,
    /// Factor > 1 by which a decision may undercut the ready count.
    pub max_scale_down_rate: f64,
    /// Replicas of a new revision, for the first status only.
    pub initial_scale: u32,
    /// Smallest count above zero; 0 = unset.
    pub activation_scale: u32,
    /// Whether a route leads here.
    pub is_reachable: bool,
}

/// What a decision answers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Status {
    /// Replicas wanted; `None` before the first decision.
    pub desired: Option<u32>,
    /// Requests that the ready replicas could take on top, at a sudden burst.
    pub excess_burst_capacity: f64,
}

/// Which limits shaped a decision: for explanations, without effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Clipped by the scale-up rate to this.
    pub scale_up: Option<u32>,
    /// Raised by the scale-down rate to this.
    pub scale_down: Option<u32>,
    /// Raised to the activation scale.
    pub activation: Option<u32>,
    /// In panic mode, at this count.
    pub panic: Option<u32>,
    /// Raised by the delay window to this.
    pub delay: Option<u32>,
    /// What the stable average alone asks for.
    pub wanted: u32,
}

/// State of the algorithm for one function.
#[derive(Clone, Debug)]
pub struct Decider {
    panic_since: Option<Timestamp>,
    max_panic_pods: u32,
    delay: Option<DelayWindow>,
    status: Status,
    limits: Limits,
}

impl Decider {
    /// A decider that finds `ready` replicas. More than one starts it in panic mode, so that a
    /// restart does not shrink what runs. The delay window is made here and never changes.
    pub fn new(spec: &DeciderSpec, scale_down_delay: Duration, ready: u32, now: Timestamp) -> Self {
        let burst = spec.target_burst_capacity;
        let excess_burst_capacity = if burst > 0.0 {
            (f64::from(spec.initial_scale) * spec.total - burst).trunc()
        } else {
            burst.max(-1.0)
        };
        Self {
            panic_since: (ready > 1).then_some(now),
            max_panic_pods: ready,
            delay: (!scale_down_delay.is_zero()).then(|| DelayWindow::new(scale_down_delay)),
            status: Status {
                desired: None,
                excess_burst_capacity,
            },
            limits: Limits::default(),
        }
    }

    /// What was found was asked for a moment ago, by nobody who had seen any load: nothing of it has
    /// to be kept.
    pub(crate) fn begin_afresh(&mut self) {
        if self.status.desired.is_none() {
            self.panic_since = None;
            self.max_panic_pods = 0;
        }
    }

    /// The newest answer.
    pub fn status(&self) -> Status {
        self.status
    }

    /// What shaped the newest answer.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// When the load was last over the panic threshold; `None` outside panic mode.
    pub fn panic_since(&self) -> Option<Timestamp> {
        self.panic_since
    }

    /// Highest count of this panic.
    pub fn max_panic_pods(&self) -> u32 {
        self.max_panic_pods
    }

    /// Decides for the averages `load` over `ready` replicas.
    pub fn decide(
        &mut self,
        spec: &DeciderSpec,
        load: Averages,
        ready: u32,
        now: Timestamp,
    ) -> Status {
        let replicas = f64::from(ready.max(1));
        let by_panic = (load.panic / spec.target).ceil();
        self.limits = Limits::default();
        let stable = self.clamp(spec, (load.stable / spec.target).ceil(), replicas, true);
        let panic = self.clamp(spec, by_panic, replicas, false);
        self.update_panic(by_panic / replicas >= spec.panic_threshold, spec, now);
        let mut desired = stable;
        if self.panic_since.is_some() {
            self.max_panic_pods = self.max_panic_pods.max(stable).max(panic);
            desired = self.max_panic_pods;
            self.limits.panic = Some(desired);
        }
        desired = self.delayed(desired, spec, now);
        self.status = Status {
            desired: Some(desired),
            excess_burst_capacity: excess_burst_capacity(spec, load.panic, ready),
        };
        self.status
    }

    /// A wish within what the rates allow; the activation scale comes after them.
    fn clamp(&mut self, spec: &DeciderSpec, wanted: f64, replicas: f64, is_stable: bool) -> u32 {
        let most = (spec.max_scale_up_rate * replicas).ceil();
        let least = if spec.is_reachable {
            (replicas / spec.max_scale_down_rate).floor()
        } else {
            0.0
        };
        let clamped = as_count(wanted.max(least).min(most));
        let is_activated =
            spec.activation_scale > 1 && wanted > 0.0 && spec.activation_scale > clamped;
        if is_stable {
            self.limits.wanted = as_count(wanted);
            self.limits.scale_up = (wanted > most).then(|| as_count(most));
            self.limits.scale_down = (wanted < least).then(|| as_count(least));
            self.limits.activation = is_activated.then_some(spec.activation_scale);
        }
        if is_activated {
            spec.activation_scale
        } else {
            clamped
        }
    }

    fn update_panic(&mut self, is_over: bool, spec: &DeciderSpec, now: Timestamp) {
        if is_over {
            self.panic_since = Some(now);
        } else if self
            .panic_since
            .is_some_and(|since| since + spec.stable_window < now)
        {
            self.panic_since = None;
            self.max_panic_pods = 0;
        }
    }

    fn delayed(&mut self, desired: u32, spec: &DeciderSpec, now: Timestamp) -> u32 {
        let Some(delay) = self.delay.as_mut().filter(|_| spec.is_reachable) else {
            return desired;
        };
        let held = delay.record(now, desired);
        self.limits.delay = (held != desired).then_some(held);
        held
    }
}

fn excess_burst_capacity(spec: &DeciderSpec, panic: f64, ready: u32) -> f64 {
    let burst = spec.target_burst_capacity;
    if burst > 0.0 {
        (f64::from(ready) * spec.total - burst - panic).floor()
    } else if burst == 0.0 {
        0.0
    } else {
        -1.0
    }
}

/// A finite wish as a count; below zero is zero.
#[allow(clippy::cast_possible_truncation)]
pub(crate) fn as_count(wanted: f64) -> u32 {
    // `as` saturates at both ends and makes NaN zero.
    wanted as u32
}

/// The largest wish of the last so many buckets of [`GRID`] length.
#[derive(Clone, Debug)]
struct DelayWindow {
    length: u64,
    /// Bucket and wish, both descending in what they can still win.
    largest: VecDeque<(u64, u32)>,
}

impl DelayWindow {
    fn new(delay: Duration) -> Self {
        Self {
            length: u64::try_from(delay.as_nanos().div_ceil(GRID.as_nanos())).unwrap_or(u64::MAX),
            largest: VecDeque::new(),
        }
    }

    /// Remembers a wish and answers the largest one in the window.
    fn record(&mut self, now: Timestamp, wish: u32) -> u32 {
        let bucket = now.as_secs() / GRID.as_secs();
        while let Some(&(oldest, _)) = self.largest.front() {
            if oldest + self.length > bucket {
                break;
            }
            self.largest.pop_front();
        }
        while self.largest.back().is_some_and(|&(_, other)| other <= wish) {
            self.largest.pop_back();
        }
        // A larger wish of the same bucket is still there and outlives this one.
        if self
            .largest
            .back()
            .is_none_or(|&(other, _)| other != bucket)
        {
            self.largest.push_back((bucket, wish));
        }
        self.largest.front().map_or(wish, |&(_, largest)| largest)
    }
}
