//! Lists, makes and deletes Jobs: bounded in parallel, in turns over all ScaledJobs, each made exactly once.

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, warn};
use zeron_core::FunctionId;

use super::event::JobEvent;
use super::job::Job;
use super::object::{JobObject, NAME};
use super::raw::RawJob;
use super::set::Deletion;
use super::{Shared, State};
use crate::api::{CallError, Content, JSON};
use crate::back_off::{BackOff, random};
use crate::counters::Verb;
use crate::scale::WriteFailure;

/// Requests under way.
const CONCURRENCY: usize = 16;
/// Names tried for one Job.
const NAMES: usize = 3;

/// What is to be done next.
enum Step {
    List(FunctionId, Arc<JobObject>),
    Make(FunctionId, Arc<JobObject>),
    Delete(FunctionId, Arc<JobObject>, Deletion),
}

/// All Jobs of a ScaledJob.
#[derive(Deserialize)]
struct JobList {
    #[serde(default)]
    items: Vec<RawJob>,
}

/// How a step ended.
enum Ended {
    Listed(FunctionId, Result<JobList, CallError>),
    Made(FunctionId, Result<Box<RawJob>, CallError>),
    /// It was dropped before it was made.
    Dropped(FunctionId),
    Deleted(FunctionId, Deletion, Result<(), CallError>),
}

/// Works until it is dropped.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut under_way = FuturesUnordered::new();
    loop {
        while under_way.len() < CONCURRENCY {
            let Some(step) = shared.next_step() else {
                break;
            };
            under_way.push(carry_out(Arc::clone(&shared), step));
        }
        let next = match under_way.len() < CONCURRENCY {
            true => shared.next_due(),
            false => None,
        };
        tokio::select! {
            Some(ended) = under_way.next() => shared.end(ended),
            () = shared.changed.notified() => {}
            () = until(next) => {}
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn carry_out(shared: Arc<Shared>, step: Step) -> Ended {
    match step {
        Step::List(id, object) => {
            let selector = format!("{NAME}={}", object.name)
                .replace('/', "%2F")
                .replace('=', "%3D");
            let path = format!("{}?labelSelector={selector}", object.path(None));
            Ended::Listed(id, shared.caller.get(&path).await)
        }
        Step::Make(id, object) => match make(&shared, &id, &object).await {
            Some(made) => Ended::Made(id, made.map(Box::new)),
            None => Ended::Dropped(id),
        },
        Step::Delete(id, object, deletion) => {
            let deleted = delete(&shared, &object, &deletion).await;
            Ended::Deleted(id, deletion, deleted)
        }
    }
}

/// Makes one Job; `None`: it is not wanted any more.
///
/// Whether a request that was not answered made one is not known: it is asked for by the same name
/// until an answer comes, and counts as being made meanwhile.
async fn make(
    shared: &Shared,
    id: &FunctionId,
    object: &JobObject,
) -> Option<Result<RawJob, CallError>> {
    let mut back_off = BackOff::new(Duration::from_millis(200), Duration::from_secs(5));
    let mut name = object.new_name(random);
    let (mut is_doubtful, mut names) = (false, 1);
    loop {
        let content = Content::new(JSON, &object.manifest(&name));
        let path = object.path(None);
        let error = match shared.caller.call(Verb::create, &path, Some(content)).await {
            Ok(job) => return Some(Ok(job)),
            Err(error) => error,
        };
        let is_taken = matches!(
            &error,
            CallError::Refused { status: 409, reason, .. } if reason == "AlreadyExists"
        );
        match error.status() {
            Some(409) if is_taken && is_doubtful => {
                let made = shared.caller.get::<RawJob>(&object.path(Some(&name))).await;
                if let Ok(made) = made {
                    return Some(Ok(made));
                }
            }
            Some(409) if is_taken && names < NAMES => {
                names += 1;
                name = object.new_name(random);
                continue;
            }
            Some(429 | 500..=599) | None => is_doubtful = true,
            Some(_) => return Some(Err(error)),
        }
        if !shared.is_ours(id) && !is_doubtful {
            return None;
        }
        let pause = error.retry_after().unwrap_or_else(|| back_off.next());
        debug!(function = %id, name, ?pause, %error, "it is not known whether a Job was made");
        sleep(pause.min(Duration::from_secs(30))).await;
        if !shared.is_ours(id) {
            return None;
        }
    }
}

async fn delete(shared: &Shared, object: &JobObject, deletion: &Deletion) -> Result<(), CallError> {
    let is_foreground = deletion.is_rollout && object.is_deleted_in_foreground;
    let options = json!({
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": if is_foreground { "Foreground" } else { "Background" },
        "preconditions": { "uid": deletion.uid },
    });
    let path = object.path(Some(&deletion.name));
    let content = Content::new(JSON, &options);
    let caller = &shared.caller;
    match caller.call_bytes(Verb::delete, &path, Some(content)).await {
        Ok(_) => Ok(()),
        // Gone, or another one has its name.
        Err(CallError::Refused {
            status: 404 | 409, ..
        }) => Ok(()),
        Err(error) => Err(error),
    }
}

impl Shared {
    /// The next step, beginning after the ScaledJob that had the last one.
    fn next_step(&self) -> Option<Step> {
        let now = Instant::now();
        self.change_any(|state| {
            let id = state.next_busy(now)?;
            let set = state.sets.get_mut(&id)?;
            state.last = Some(id.clone());
            if let Some(object) = set.begin_list(now) {
                return Some((id.clone(), Step::List(id, object)));
            }
            if let Some(object) = set.begin(now) {
                return Some((id.clone(), Step::Make(id, object)));
            }
            let object = set.object.clone()?;
            let deletion = set.begin_deletion(now)?;
            Some((id.clone(), Step::Delete(id, object, deletion)))
        })
    }

    fn next_due(&self) -> Option<Instant> {
        let now = Instant::now();
        let state = self.state.lock();
        let due = |id| state.sets.get(id)?.due(now);
        state.busy.iter().filter_map(due).min()
    }

    fn end(&self, ended: Ended) {
        let now = Instant::now();
        match ended {
            Ended::Listed(id, Ok(list)) => self.change(&id, |set, seen| {
                set.listed(list.items.iter().filter_map(|raw| Job::read(raw, seen)));
            }),
            Ended::Listed(id, Err(error)) => self.change(&id, |set, _| {
                let pause = set.not_listed(now);
                warn!(function = %id, %error, ?pause, "its Jobs could not be listed");
            }),
            Ended::Made(id, Ok(raw)) => self.made(&id, &raw),
            Ended::Made(id, Err(error)) => self.refused(&id, &error, now),
            Ended::Dropped(id) => self.change(&id, |set, _| set.dropped()),
            Ended::Deleted(id, deletion, Ok(())) => {
                self.change(&id, |set, _| set.deleted(&deletion));
            }
            Ended::Deleted(id, deletion, Err(error)) => {
                self.change(&id, |set, _| set.not_deleted(&deletion, now));
                self.tell(JobEvent::DeleteFailed {
                    id,
                    is_rollout: deletion.is_rollout,
                    failure: WriteFailure::from(&error),
                });
            }
        }
        self.settled.notify_waiters();
    }

    fn made(&self, id: &FunctionId, raw: &RawJob) {
        self.change(id, |set, list| match Job::read(raw, list) {
            Some((uid, job)) => set.made(uid, job),
            // The watch will show it.
            None => set.dropped(),
        });
    }

    fn refused(&self, id: &FunctionId, error: &CallError, now: Instant) {
        let failure = WriteFailure::from(error);
        let (mut retry_in, mut wanted) = (Duration::ZERO, 0);
        self.change(id, |set, _| {
            retry_in = set.refused(now);
            wanted = set.wanted();
            set.failure = set
                .object
                .as_ref()
                .map(|_| super::start_failure(&failure, retry_in));
        });
        if wanted > 0 {
            warn!(function = %id, wanted, error = failure.message, ?retry_in, "could not create a Job");
            self.tell(JobEvent::CreateFailed {
                id: id.clone(),
                wanted,
                failure,
                retry_in,
            });
        }
    }
}

impl State {
    /// A ScaledJob with something to do now, beginning after the last one.
    fn next_busy(&self, now: Instant) -> Option<FunctionId> {
        let is_due = |id: &&FunctionId| {
            let set = self.sets.get(*id);
            set.and_then(|set| set.due(now)).is_some_and(|at| at <= now)
        };
        let after = match &self.last {
            Some(last) => (Bound::Excluded(last.clone()), Bound::Unbounded),
            None => (Bound::Unbounded, Bound::Unbounded),
        };
        let after = self.busy.range(after).find(is_due);
        after.or_else(|| self.busy.iter().find(is_due)).cloned()
    }
}
