//! Why a pod does not get ready, in the platform's words, and when waiting for it is in vain.
//!
//! | what the platform says | final (waiting clients are answered) |
//! |---|---|
//! | `ErrImageNeverPull`, `InvalidImageName` | at once: nothing will change by itself |
//! | `ErrImagePull` naming a missing or forbidden image | at once |
//! | `ErrImagePull`, `ImagePullBackOff`, anything else | with the second failed pull |
//! | `CrashLoopBackOff` | at once: it failed twice |
//! | a container that ended for the first time | as if it ran: it is started again at once |
//! | `CreateContainerConfigError`, `CreateContainerError`, `RunContainerError` | after 5 s |
//! | `Unschedulable` | after 5 s, unless a node was nominated |
//! | not ready though it runs | after 60 s and what its probes declare |
//! | `Evicted`, `DeadlineExceeded` and other ends of the pod | never: another pod takes its place |

use std::time::Duration;

use zeron_core::{StartFailure, Timestamp};

use super::raw::{RawContainerStatus, RawPod, RawTerminated};
use crate::target::parse_time;

/// The longest pause between two starts of a container that a kubelet makes.
const LONGEST_RETRY: Duration = Duration::from_secs(300);
/// Bytes of a message that are kept.
const MESSAGE_LIMIT: usize = 1024;

/// When transient troubles become final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a pod that no node takes. Raise it where nodes are added on demand.
    pub unschedulable: Duration,
    /// For containers that cannot be created (a ConfigMap or Secret that is not there yet).
    pub not_created: Duration,
    /// For a pod that runs without becoming ready, over what its probes declare.
    pub not_ready: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            unschedulable: Duration::from_secs(5),
            not_created: Duration::from_secs(5),
            not_ready: Duration::from_secs(60),
        }
    }
}

/// What is wrong with one pod, as its status says now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// One CamelCase word.
    pub(crate) reason: Box<str>,
    pub(crate) message: Box<str>,
    pub(crate) kind: Kind,
    /// When the platform tries again, where it says so.
    pub(crate) retry: Option<Retry>,
}

/// The platform tries again so long after a moment of its own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retry {
    since: Timestamp,
    after: Duration,
}

/// Decides when a trouble is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing will change by itself.
    Hopeless,
    /// A pull that failed for a reason that may pass.
    Pull,
    /// A pull is not tried at the moment.
    PullBackOff,
    /// A container ended; it is started again at once.
    Ended,
    NotCreated,
    Unschedulable,
    /// A node was chosen and room is being made.
    Nominated,
    NotReady,
    /// The pod is over.
    Over,
}

/// A trouble with its history, which the status does not tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) trouble: Trouble,
    /// When it was first seen, by our clock: the cluster's may differ.
    pub(crate) since: Timestamp,
    /// Failed pulls seen.
    pulls: u8,
    /// When the platform tries again, by our clock.
    retry_at: Option<Timestamp>,
}

impl Case {
    /// Continues `previous`, or opens a new case.
    pub(crate) fn follow(previous: Option<&Self>, trouble: Trouble, now: Timestamp) -> Self {
        let is_pull = trouble.kind == Kind::Pull;
        let retry_at = retry_at(previous, &trouble, now);
        let Some(old) = previous else {
            return Self {
                pulls: u8::from(is_pull),
                trouble,
                since: now,
                retry_at,
            };
        };
        let is_new_pull = is_pull && old.trouble.kind != Kind::Pull;
        let is_same = old.trouble.reason == trouble.reason
            || matches!(
                (old.trouble.kind, trouble.kind),
                (
                    Kind::Pull | Kind::PullBackOff,
                    Kind::Pull | Kind::PullBackOff
                )
            );
        Self {
            pulls: old.pulls.saturating_add(u8::from(is_new_pull)),
            since: if is_same { old.since } else { now },
            trouble,
            retry_at,
        }
    }

    /// When it becomes final: now, later, or never.
    pub(crate) fn final_at(&self, patience: &Patience, declared: Duration) -> Option<Timestamp> {
        match self.trouble.kind {
            Kind::Hopeless => Some(self.since),
            Kind::Pull | Kind::PullBackOff => (self.pulls >= 2).then_some(self.since),
            Kind::NotCreated => Some(self.since + patience.not_created),
            Kind::Unschedulable => Some(self.since + patience.unschedulable),
            Kind::NotReady | Kind::Ended => Some(self.since + patience.not_ready + declared),
            Kind::Nominated | Kind::Over => None,
        }
    }

    /// Whether people are told: a pod that is merely not ready yet is on its way.
    pub(crate) fn is_told(&self, final_at: Option<Timestamp>, now: Timestamp) -> bool {
        self.trouble.kind != Kind::NotReady || final_at.is_some_and(|at| at <= now)
    }

    /// As it is told. A failure that has become final is another one than before, so that those
    /// who wait take notice: its time differs.
    pub(crate) fn failure(&self, final_at: Option<Timestamp>, now: Timestamp) -> StartFailure {
        let is_final = final_at.is_some_and(|at| at <= now);
        let nudge = Duration::from_micros(u64::from(self.pulls) * u64::from(is_final));
        StartFailure {
            reason: self.trouble.reason.to_string(),
            message: self.trouble.message.to_string(),
            at: final_at.filter(|_| is_final).unwrap_or(self.since) + nudge,
            retry_at: self.retry_at,
            is_final,
        }
    }
}

/// When the platform tries again, by our clock. A pause that is seen for the first time ends, at the
/// latest, its whole length from now: the node's clock may be far ahead.
fn retry_at(previous: Option<&Case>, trouble: &Trouble, now: Timestamp) -> Option<Timestamp> {
    let retry = trouble.retry?;
    match previous.filter(|old| old.trouble.retry == Some(retry)) {
        Some(old) => old.retry_at,
        None => Some((retry.since + retry.after).min(now + retry.after)),
    }
}

/// What the status of a pod that is not ready says; `None`: it is on its way.
pub(crate) fn trouble_of(pod: &RawPod) -> Option<Trouble> {
    let status = &pod.status;
    if status.phase.as_deref() == Some("Failed") {
        return Some(over(pod));
    }
    let statuses = || {
        let own = status.container_statuses.iter();
        status.init_container_statuses.iter().chain(own)
    };
    statuses()
        .find_map(waiting)
        .or_else(|| statuses().find_map(ended))
        .or_else(|| unschedulable(pod))
        .or_else(|| not_ready(pod))
}

fn over(pod: &RawPod) -> Trouble {
    let status = &pod.status;
    let ended = status.container_statuses.iter().find_map(|container| {
        let end = container.state.terminated.as_ref()?;
        Some(describe(&container.name, end))
    });
    let message = status.message.clone().or(ended);
    Trouble {
        reason: status.reason.as_deref().unwrap_or("PodFailed").into(),
        message: clip(&message.unwrap_or_default()),
        kind: Kind::Over,
        retry: None,
    }
}

fn waiting(container: &RawContainerStatus) -> Option<Trouble> {
    let waiting = container.state.waiting.as_ref()?;
    let said = waiting.message.as_deref().unwrap_or_default();
    let reason = waiting.reason.as_deref()?;
    let kind = match reason {
        "ErrImageNeverPull" | "InvalidImageName" | "CrashLoopBackOff" => Kind::Hopeless,
        "ErrImagePull" | "RegistryUnavailable" | "SignatureValidationFailed"
            if is_missing_image(said) =>
        {
            Kind::Hopeless
        }
        "ErrImagePull" | "RegistryUnavailable" | "SignatureValidationFailed" => Kind::Pull,
        "ImagePullBackOff" if is_missing_image(said) => Kind::Hopeless,
        "ImagePullBackOff" => Kind::PullBackOff,
        "CreateContainerConfigError"
        | "CreateContainerError"
        | "RunContainerError"
        | "PreCreateHookError"
        | "PreStartHookError"
        | "PostStartHookError" => Kind::NotCreated,
        // `ContainerCreating`, `PodInitializing`: it is on its way.
        _ => return None,
    };
    let last = container.last_state.terminated.as_ref();
    let message = match last.filter(|_| reason == "CrashLoopBackOff") {
        Some(end) => format!("{}; {said}", describe(&container.name, end)),
        None => format!("container {}: {said}", container.name),
    };
    Some(Trouble {
        reason: reason.into(),
        message: clip(&message),
        kind,
        retry: last.and_then(|end| retry(end, said)),
    })
}

/// Whether another pull cannot help: in the words of containerd and CRI-O.
fn is_missing_image(message: &str) -> bool {
    const WORDS: &[&str] = &[
        "not found",
        "manifest unknown",
        "name unknown",
        "unauthorized",
        "denied",
        "authorization failed",
        "no match for platform",
    ];
    let message = message.to_ascii_lowercase();
    WORDS.iter().any(|word| message.contains(word))
}

fn ended(container: &RawContainerStatus) -> Option<Trouble> {
    let now = container.state.terminated.as_ref();
    let before = container.last_state.terminated.as_ref();
    let end = now.or(before).filter(|end| end.exit_code != 0)?;
    Some(Trouble {
        reason: match end.reason.as_deref() {
            None | Some("Error") => format!("ExitCode{}", end.exit_code).into(),
            Some(reason) => reason.into(),
        },
        message: clip(&describe(&container.name, end)),
        kind: Kind::Ended,
        retry: None,
    })
}

/// `container app: exit code 1 (Error): the last words`.
fn describe(container: &str, end: &RawTerminated) -> String {
    let reason = end.reason.as_deref().unwrap_or("Error");
    let code = end.exit_code;
    match end.message.as_deref().map(str::trim) {
        None | Some("") => format!("container {container}: exit code {code} ({reason})"),
        Some(words) => format!("container {container}: exit code {code} ({reason}): {words}"),
    }
}

/// `back-off 40s restarting failed container`, counted from the end of the container.
fn retry(end: &RawTerminated, message: &str) -> Option<Retry> {
    let span = message.split("back-off ").nth(1)?.split(' ').next()?;
    Some(Retry {
        since: parse_time(end.finished_at.as_deref()?)?,
        after: go_duration(span)?.min(LONGEST_RETRY),
    })
}

/// Go's notation of a duration in minutes and seconds, such as `2m40s`.
fn go_duration(text: &str) -> Option<Duration> {
    let (minutes, seconds) = match text.split_once('m') {
        Some((minutes, rest)) => (minutes.parse().ok()?, rest),
        None => (0u64, text),
    };
    let seconds: u64 = seconds.strip_suffix('s')?.parse().ok()?;
    Some(Duration::from_secs(
        minutes.checked_mul(60)?.checked_add(seconds)?,
    ))
}

fn unschedulable(pod: &RawPod) -> Option<Trouble> {
    let condition = pod.condition("PodScheduled")?;
    let reason = condition.reason.as_deref()?;
    // `SchedulingGated` is somebody's wish, not a failure.
    if condition.status != "False" || reason != "Unschedulable" {
        return None;
    }
    let nominated = pod.status.nominated_node_name.as_deref();
    Some(Trouble {
        reason: reason.into(),
        message: clip(condition.message.as_deref().unwrap_or_default()),
        kind: match nominated.is_some_and(|node| !node.is_empty()) {
            true => Kind::Nominated,
            false => Kind::Unschedulable,
        },
        retry: None,
    })
}

fn not_ready(pod: &RawPod) -> Option<Trouble> {
    let ready = pod.condition("Ready")?;
    let runs = pod.status.phase.as_deref() == Some("Running");
    let said = ready
        .reason
        .as_deref()
        .filter(|_| runs && ready.status == "False")?;
    Some(Trouble {
        reason: said.into(),
        message: clip(ready.message.as_deref().unwrap_or_default()),
        kind: Kind::NotReady,
        retry: None,
    })
}

fn clip(message: &str) -> Box<str> {
    let message = message.trim();
    let mut end = message.len().min(MESSAGE_LIMIT);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message[..end].into()
}

#[cfg(test)]
mod tests;
