//! Tells of scale writes as events of the objects that caused them.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::task::AbortOnDropHandle;
use zeron_autoscaler::EngineHandle;
use zeron_backend_kubernetes::jobs::JobEvent;
use zeron_backend_kubernetes::scale::ScaleEvent;
use zeron_controller::events::{EventWriter, Notice, Reason, of_decision};
use zeron_controller::projection::{ObjectKey, ObjectKind};
use zeron_core::FunctionId;

use super::autoscaler::Parts;
use super::ownership::Ownership;
use crate::explain::reason;

/// Follows the back end's writes for as long as it lives.
pub(super) async fn tell(parts: Parts, ownership: Arc<Mutex<Ownership>>, events: EventWriter) {
    let Parts {
        backend, engine, ..
    } = parts;
    let (mut writes, jobs) = (backend.replicas.events(), backend.jobs.events());
    drop(backend);
    let of_jobs = tell_of_jobs(jobs, Arc::clone(&ownership), events.clone());
    let _telling = AbortOnDropHandle::new(tokio::spawn(of_jobs));
    loop {
        match writes.recv().await {
            Ok(ScaleEvent::Written { id, from, to, .. }) => {
                let why = latest(&engine, &id);
                publish(&ownership, &events, &id, of_decision(from, to, &why, None));
            }
            Ok(ScaleEvent::Failed {
                id,
                wanted,
                failure,
                ..
            }) => {
                let from = engine.status(&id).map_or(0, |it| it.ready);
                let why = latest(&engine, &id);
                let notice = of_decision(from, wanted, &why, Some(&failure.message));
                publish(&ownership, &events, &id, notice);
            }
            Ok(ScaleEvent::ForeignChange { id, from, to }) => {
                tracing::info!(function = %id, from, to, "somebody else wrote the count");
            }
            Ok(ScaleEvent::Unmarked { id, failure }) => {
                tracing::debug!(function = %id, reason = failure.reason, "pods were not marked");
            }
            // Events are for people to read: some may be missing.
            Err(RecvError::Lagged(missed)) => tracing::debug!(missed, "writes were not told of"),
            Err(RecvError::Closed) => return,
        }
    }
}

/// Follows the making of Jobs.
async fn tell_of_jobs(
    mut news: broadcast::Receiver<JobEvent>,
    ownership: Arc<Mutex<Ownership>>,
    events: EventWriter,
) {
    loop {
        match news.recv().await {
            Ok(event) => {
                let (id, news) = of_job(event);
                publish(&ownership, &events, &id, news);
            }
            Err(RecvError::Lagged(missed)) => tracing::debug!(missed, "Jobs were not told of"),
            Err(RecvError::Closed) => return,
        }
    }
}

fn of_job(event: JobEvent) -> (FunctionId, Option<(Reason, String)>) {
    match event {
        JobEvent::Created { id, count } => {
            let message = format!("created {count} Jobs");
            (id, Some((Reason::KedaJobsCreated, message)))
        }
        JobEvent::CreateFailed {
            id,
            wanted,
            failure,
            retry_in,
        } => {
            let seconds = retry_in.as_secs_f64().ceil();
            let message = format!(
                "{wanted} Jobs are wanted and one could not be created, tried again in {seconds} s: {}",
                failure.message
            );
            (id, Some((Reason::KedaJobCreateFailed, message)))
        }
        JobEvent::RolledOut { id, count } => {
            let message = format!("deleted {count} Jobs of older generations");
            (
                id,
                Some((Reason::ScaledJobRolloutCleanupCompleted, message)),
            )
        }
        JobEvent::DeleteFailed {
            id,
            is_rollout,
            failure,
        } => {
            let message = format!(
                "a Job could not be deleted, which is tried again: {}",
                failure.message
            );
            tracing::warn!(function = %id, is_rollout, message);
            // Only rollouts have a word in the original.
            let news = (Reason::ScaledJobRolloutCleanupFailed, message);
            (id, Some(news).filter(|_| is_rollout))
        }
    }
}

fn latest(engine: &EngineHandle, id: &FunctionId) -> String {
    let history = engine.history(id);
    let changes = history.iter().rev().find(|it| it.current != it.desired);
    changes.map(|decision| reason(decision)).unwrap_or_default()
}

fn publish(
    ownership: &Mutex<Ownership>,
    events: &EventWriter,
    id: &FunctionId,
    news: Option<(zeron_controller::events::Reason, String)>,
) {
    let Some((reason, message)) = news else {
        return;
    };
    let ownership = ownership.lock();
    let Some(declared) = ownership.declared(id) else {
        return;
    };
    // KEDA's events are on its ScaledObject.
    let is_scaled_object = |key: &&ObjectKey| key.kind == ObjectKind::ScaledObject;
    let objects = &declared.objects;
    let object = objects.iter().find(is_scaled_object).or(objects.first());
    let report = object.and_then(|key| ownership.report(key));
    if let Some(report) = report {
        events.publish(Notice {
            object: report.object.clone(),
            uid: Arc::clone(&report.uid),
            reason,
            message,
        });
    }
}
