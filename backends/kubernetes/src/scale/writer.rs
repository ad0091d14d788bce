//! One wish carried out: read where needed, write under a guard, think again after a conflict.

use std::sync::Arc;

use tokio::sync::broadcast;
use tracing::{info, warn};
use zeron_core::FunctionId;

use super::event::{ScaleEvent, WriteFailure};
use super::patch::{Scale, is_conflict, replace, write_path};
use super::queue::{Ended, Wish};
use super::victims;
use crate::api::{CallError, Caller, Content, JSON_PATCH};
use crate::counters::{Direction, DirectionLabel, Verb};
use crate::pods::Pods;
use crate::target::ScaleTarget;

/// Conflicts in a row before others get their turn.
const ATTEMPTS: u32 = 4;

/// Carries out wishes.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) caller: Caller,
    pub(crate) pods: Pods,
    pub(crate) events: broadcast::Sender<ScaleEvent>,
}

/// An attempt with what it led to.
pub(crate) struct Attempt {
    pub(crate) ended: Ended,
    pub(crate) failure: Option<WriteFailure>,
}

/// What to do about a wish, given the count that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Nothing: it is fulfilled, or somebody else decided otherwise meanwhile.
    Nothing,
    Raise,
    Lower,
}

/// Decides. `base` is the count that the wish was made for, `now` the one that is there.
///
/// A wish to raise never lowers, and a wish to lower does not hold against somebody who raised
/// meanwhile: whoever wished sees the new count and wishes again.
fn decide(base: Option<u32>, now: u32, wished: u32) -> Step {
    let is_raise = base.is_none_or(|base| wished > base);
    match (is_raise, now < wished, now > wished) {
        (true, true, _) => Step::Raise,
        (false, _, true) if base.is_some_and(|base| now <= base) => Step::Lower,
        // Lowered further than wished while we were about to lower.
        (false, true, _) | (_, _, _) => Step::Nothing,
    }
}

impl Writer {
    /// Carries out `wish`. Never lowers a count that it has not seen.
    pub(crate) async fn carry_out(&self, id: &FunctionId, wish: &Wish) -> Attempt {
        match self.attempt(id, wish).await {
            Ok(ended) => Attempt {
                ended,
                failure: None,
            },
            Err(error) => Attempt {
                ended: match error.is_outage() {
                    true => Ended::Outage,
                    false => Ended::Failed {
                        after: error.retry_after(),
                    },
                },
                failure: Some(WriteFailure::from(&error)),
            },
        }
    }

    async fn attempt(&self, id: &FunctionId, wish: &Wish) -> Result<Ended, CallError> {
        let Some(target) = self.pods.target(id) else {
            return Ok(Ended::Parked);
        };
        if target.is_deleting {
            return Ok(Ended::Parked);
        }
        let mut scale = None;
        let mut marked: Vec<Arc<str>> = Vec::new();
        let mut conflict = None;
        for _ in 0..ATTEMPTS {
            // Scaling in needs the version; so does whoever knows no count.
            let now = match &scale {
                Some(scale) => Scale::replicas(scale),
                None => match self.pods.wanted(id).filter(|now| wish.replicas >= *now) {
                    Some(known) => known,
                    None => {
                        let read = self.read(&target).await?;
                        if read.is_other(&target) {
                            return Ok(Ended::Parked);
                        }
                        self.pods.want(id, read.replicas(), read.version());
                        let count = read.replicas();
                        scale = Some(read);
                        count
                    }
                },
            };
            let step = decide(wish.base, now, wish.replicas);
            let version = match step {
                Step::Nothing => {
                    self.unmark(&target, &marked).await;
                    return Ok(Ended::Done);
                }
                Step::Raise => None,
                Step::Lower => {
                    marked = self.mark(id, &target, wish, now).await?;
                    scale.as_ref().and_then(Scale::version).map(str::to_owned)
                }
            };
            match self
                .write(&target, now, wish.replicas, version.as_deref())
                .await
            {
                Ok(written) => {
                    self.written(id, wish, now, &written);
                    return Ok(Ended::Done);
                }
                Err(error) if is_conflict(&error) => {
                    self.caller.counters.scale_conflicts.inc();
                    let read = self.read(&target).await?;
                    if read.is_other(&target) {
                        return Ok(Ended::Parked);
                    }
                    self.pods.want(id, read.replicas(), read.version());
                    scale = Some(read);
                    conflict = Some(error);
                }
                Err(error) => {
                    self.unmark(&target, &marked).await;
                    return Err(error);
                }
            }
        }
        self.unmark(&target, &marked).await;
        Err(conflict.expect("the loop ends early unless there was a conflict"))
    }

    async fn read(&self, target: &ScaleTarget) -> Result<Scale, CallError> {
        self.caller.get(&target.path(Some("scale"))).await
    }

    async fn write(
        &self,
        target: &ScaleTarget,
        from: u32,
        to: u32,
        version: Option<&str>,
    ) -> Result<Scale, CallError> {
        let content = Content::new(JSON_PATCH, &replace(target, from, to, version));
        self.caller
            .call(Verb::patch, &write_path(target), Some(content))
            .await
    }

    fn written(&self, id: &FunctionId, wish: &Wish, from: u32, scale: &Scale) {
        let (to, took) = (wish.replicas, wish.asked.elapsed());
        let direction = match (from, to) {
            (0, _) => Direction::from_zero,
            (from, to) if to > from => Direction::up,
            _ => Direction::down,
        };
        let counters = &self.caller.counters;
        let label = DirectionLabel { direction };
        counters.scale_writes.get_or_create(&label).inc();
        counters.scale_seconds.observe(took);
        info!(function = %id, from, to, ?took, "scaled");
        self.pods.want(id, to, scale.version());
        let id = id.clone();
        // Nobody may be listening.
        self.events
            .send(ScaleEvent::Written { id, from, to, took })
            .ok();
    }

    /// Marks the victims. Without the right to do so the platform chooses by itself, which is said.
    async fn mark(
        &self,
        id: &FunctionId,
        target: &ScaleTarget,
        wish: &Wish,
        now: u32,
    ) -> Result<Vec<Arc<str>>, CallError> {
        if wish.replicas == 0 || !target.heeds_deletion_cost() {
            return Ok(Vec::new());
        }
        let replicas = self.pods.replicas(id);
        let pods = victims::to_mark(&replicas, &wish.victims, now - wish.replicas);
        match victims::mark(&self.caller, target, &pods, true).await {
            Ok(()) => Ok(pods),
            Err(error) if error.status() == Some(403) => {
                let failure = WriteFailure::from(&error);
                warn!(function = %id, error = failure.message, "pods cannot be marked to go first");
                let id = id.clone();
                self.events.send(ScaleEvent::Unmarked { id, failure }).ok();
                Ok(Vec::new())
            }
            Err(error) => {
                self.unmark(target, &pods).await;
                Err(error)
            }
        }
    }

    /// Takes marks back from pods that stay after all. A mark that stays is harmless: its pod
    /// merely goes first next time.
    async fn unmark(&self, target: &ScaleTarget, pods: &[Arc<str>]) {
        if !pods.is_empty() {
            victims::mark(&self.caller, target, pods, false).await.ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_to_raise_never_lowers() {
        assert_eq!(decide(Some(0), 0, 3), Step::Raise);
        assert_eq!(decide(Some(0), 1, 3), Step::Raise);
        assert_eq!(decide(Some(0), 3, 3), Step::Nothing);
        assert_eq!(decide(Some(0), 5, 3), Step::Nothing);
        assert_eq!(decide(None, 0, 1), Step::Raise);
        assert_eq!(decide(None, 5, 1), Step::Nothing);
    }

    #[test]
    fn a_wish_to_lower_gives_way_to_whoever_raised_meanwhile() {
        assert_eq!(decide(Some(5), 5, 2), Step::Lower);
        assert_eq!(decide(Some(5), 4, 2), Step::Lower);
        assert_eq!(decide(Some(5), 2, 2), Step::Nothing);
        assert_eq!(decide(Some(5), 1, 2), Step::Nothing);
        assert_eq!(decide(Some(5), 6, 2), Step::Nothing);
        assert_eq!(decide(Some(1), 2, 0), Step::Nothing);
    }
}
