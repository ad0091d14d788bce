//! Triggers whose credentials rotate: bound anew whenever these change, evaluated by their own sources.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use parking_lot::Mutex;
use tokio::time::Instant;
use zeron_core::metric::{Unknown, UnknownKind};
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::{BoundTrigger, BoxFuture, Scaler, TriggerHandle};

use super::cache::Cache;
use super::{Values, with_values};
use crate::registry::Builtin;
use crate::source::{OnChange, Readings, unknown};

/// The triggers of one vault, or of files.
#[derive(Debug)]
pub(super) struct Renewing {
    name: Arc<str>,
    sources: Arc<Builtin>,
    cache: Arc<Cache>,
    triggers: Mutex<HashMap<TriggerHandle, Arc<Trigger>>>,
    next: AtomicU64,
}

struct Trigger {
    declared: TriggerSpec,
    state: Mutex<State>,
}

/// Shows no credentials.
impl std::fmt::Debug for Trigger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trigger")
            .field("declared", &self.declared)
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    /// What it is bound with, and to what.
    bound: Option<(Vec<Values>, BoundTrigger)>,
    on_change: Option<OnChange>,
    is_released: bool,
}

impl Renewing {
    pub(super) fn new(name: &str, sources: Arc<Builtin>, cache: Arc<Cache>) -> Self {
        Self {
            name: name.into(),
            sources,
            cache,
            triggers: Mutex::default(),
            next: AtomicU64::default(),
        }
    }

    pub(super) fn name(&self) -> Arc<str> {
        Arc::clone(&self.name)
    }

    pub(super) fn add(&self, declared: TriggerSpec) -> TriggerHandle {
        let handle = TriggerHandle(self.next.fetch_add(1, Ordering::Relaxed));
        let trigger = Trigger {
            declared,
            state: Mutex::default(),
        };
        self.triggers.lock().insert(handle, Arc::new(trigger));
        handle
    }

    async fn read(&self, handles: &[TriggerHandle], timeout: Duration) -> Vec<Readings> {
        let end = Instant::now() + timeout;
        let triggers: Vec<_> = {
            let known = self.triggers.lock();
            handles.iter().map(|it| known.get(it).cloned()).collect()
        };
        // A part of what a vault gives may hang: the triggers with fresh credentials are read in the other half.
        let patience = timeout / 2;
        let renewed = handles
            .iter()
            .zip(&triggers)
            .map(|(handle, trigger)| async {
                match trigger {
                    Some(trigger) => self.renewed(*handle, trigger, patience).await,
                    None => Err(unknown(UnknownKind::NotRead, "the trigger was released")),
                }
            });
        let bound = join_all(renewed).await;
        evaluate(bound, end.saturating_duration_since(Instant::now())).await
    }

    /// The trigger as it is bound with the credentials of now.
    async fn renewed(
        &self,
        handle: TriggerHandle,
        trigger: &Trigger,
        timeout: Duration,
    ) -> Result<BoundTrigger, Unknown> {
        let remote = trigger.declared.remote.iter();
        let read = try_join_all(remote.map(|it| self.cache.get(it, timeout)));
        let values = match tokio::time::timeout(timeout, read).await {
            Ok(values) => values?,
            Err(_) => {
                let message = format!("{} gave nothing within {timeout:?}", self.name);
                return Err(unknown(UnknownKind::Timeout, message));
            }
        };
        let mut state = trigger.state.lock();
        if let Some((known, bound)) = &state.bound
            && *known == values
        {
            return Ok(bound.clone());
        }
        if state.is_released {
            return Err(unknown(UnknownKind::NotRead, "the trigger was released"));
        }
        let bound = self
            .sources
            .bind(&with_values(&trigger.declared, &values))?;
        if let Some(on_change) = &state.on_change {
            follow(handle, &bound, on_change);
        }
        if let Some((_, old)) = state.bound.replace((values, bound.clone())) {
            old.scaler.release(old.handle);
        }
        Ok(bound)
    }
}

impl Scaler for Renewing {
    fn evaluate<'a>(
        &'a self,
        triggers: &'a [TriggerHandle],
        timeout: Duration,
    ) -> BoxFuture<'a, Vec<Readings>> {
        Box::pin(self.read(triggers, timeout))
    }

    /// Whether the source can push shows once the credentials are there; until then it may.
    fn watch(&self, trigger: TriggerHandle, on_change: OnChange) -> bool {
        let Some(found) = self.triggers.lock().get(&trigger).cloned() else {
            return false;
        };
        let mut state = found.state.lock();
        if let Some((_, bound)) = &state.bound {
            follow(trigger, bound, &on_change);
        }
        state.on_change = Some(on_change);
        true
    }

    fn push_trouble(&self, trigger: TriggerHandle) -> Option<String> {
        let found = self.triggers.lock().get(&trigger).cloned()?;
        let bound = found.state.lock().bound.as_ref()?.1.clone();
        bound.scaler.push_trouble(bound.handle)
    }

    fn release(&self, trigger: TriggerHandle) {
        let Some(released) = self.triggers.lock().remove(&trigger) else {
            return;
        };
        let mut state = released.state.lock();
        state.is_released = true;
        if let Some((_, bound)) = state.bound.take() {
            bound.scaler.release(bound.handle);
        }
    }
}

/// Hands pushes of the inner trigger on as those of the outer one.
fn follow(outer: TriggerHandle, bound: &BoundTrigger, on_change: &OnChange) {
    let on_change = Arc::clone(on_change);
    let inner: OnChange = Arc::new(move |_| on_change(outer));
    bound.scaler.watch(bound.handle, inner);
}

/// Evaluates what is bound, all triggers of one source together and the sources side by side.
async fn evaluate(bound: Vec<Result<BoundTrigger, Unknown>>, timeout: Duration) -> Vec<Readings> {
    let mut sources: BTreeMap<Arc<str>, Vec<(usize, BoundTrigger)>> = BTreeMap::new();
    let mut answers = Vec::new();
    for (index, bound) in bound.into_iter().enumerate() {
        match bound {
            Ok(bound) => {
                let source = sources.entry(Arc::clone(&bound.source)).or_default();
                source.push((index, bound));
                answers.push(Err(unknown(UnknownKind::Parse, "the source left it out")));
            }
            Err(failure) => answers.push(Err(failure)),
        }
    }
    let evaluations = sources.into_values().map(|members| async move {
        let handles: Vec<_> = members.iter().map(|(_, bound)| bound.handle).collect();
        let scaler = Arc::clone(&members[0].1.scaler);
        // A source that hangs must not cost the answers of the others.
        let values = tokio::time::timeout(timeout, scaler.evaluate(&handles, timeout)).await;
        let late = || unknown(UnknownKind::Timeout, "the source did not answer in time");
        let values = values.unwrap_or_else(|_| handles.iter().map(|_| Err(late())).collect());
        let indices: Vec<_> = members.iter().map(|(index, _)| *index).collect();
        (indices, values)
    });
    for (indices, values) in join_all(evaluations).await {
        for (index, value) in indices.into_iter().zip(values) {
            answers[index] = value;
        }
    }
    answers
}
