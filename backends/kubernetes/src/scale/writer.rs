//! One wish carried out: read where needed, write under a guard, think again after a conflict.

use std::sync::Arc;

use tokio::sync::broadcast;
use tracing::{info, warn};
use zeron_core::FunctionId;

use super::event::{ScaleEvent, WriteFailure};
use super::flight::Flight;
use super::patch::{Scale, is_conflict, replace, write_path};
use super::queue::Ended;
use super::victims;
use super::wish::Wish;
use crate::api::{CallError, Caller, Content, JSON_PATCH};
use crate::counters::{Direction, DirectionLabel, Verb};
use crate::pods::{Pods, Replica, wall};
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

/// Why an attempt goes no further.
enum Stop {
    Ended(Ended),
    Failed(CallError),
}

impl From<CallError> for Stop {
    fn from(error: CallError) -> Self {
        Self::Failed(error)
    }
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
    /// Carries out `wish` unless it is called off. Never lowers a count that it has not seen.
    pub(crate) async fn carry_out(&self, id: &FunctionId, wish: &Wish, flight: &Flight) -> Attempt {
        let target = self.pods.target(id).filter(|target| !target.is_deleting);
        let Some(target) = target else {
            return Attempt {
                ended: Ended::Parked,
                failure: None,
            };
        };
        let mut marked = Vec::new();
        let end = self.attempt(id, &target, wish, flight, &mut marked).await;
        self.unmark(&target, &marked).await;
        match end {
            Ok(ended) | Err(Stop::Ended(ended)) => Attempt {
                ended,
                failure: None,
            },
            Err(Stop::Failed(error)) => Attempt {
                ended: match error.status() {
                    _ if error.is_outage() => Ended::Outage,
                    // Whoever wants fewer decides anew what to do about it. More is asked for
                    // until it is given.
                    Some(400 | 403 | 405) if wish.is_lowering() => Ended::Refused,
                    _ => Ended::Failed {
                        after: error.retry_after(),
                    },
                },
                failure: Some(WriteFailure::from(&error)),
            },
        }
    }

    /// Leaves in `marked` the pods whose marks have to be taken back.
    async fn attempt(
        &self,
        id: &FunctionId,
        target: &ScaleTarget,
        wish: &Wish,
        flight: &Flight,
        marked: &mut Vec<Arc<str>>,
    ) -> Result<Ended, Stop> {
        // Scaling in needs the version; so does whoever knows no count.
        let known = self.pods.wanted(id).filter(|now| wish.replicas >= *now);
        let (mut now, mut version) = match known {
            Some(known) => (known, None),
            None => self.read(id, target, flight).await?,
        };
        let mut round = 1;
        loop {
            match decide(wish.base, now, wish.replicas) {
                Step::Nothing if now > wish.replicas && wish.is_lowering() => {
                    return Ok(Ended::Moot);
                }
                Step::Nothing => return Ok(Ended::Done),
                Step::Raise => version = None,
                Step::Lower => self.mark(id, target, wish, now, flight, marked).await?,
            }
            if !flight.send() {
                return Ok(Ended::CalledOff);
            }
            let asked = wall();
            let written = self.write(target, now, wish.replicas, version.as_deref());
            match written.await {
                Ok(written) => {
                    let version = written.version();
                    self.pods.want(id, wish.replicas, version, asked);
                    self.written(id, wish, now);
                    self.spare(id, wish, &std::mem::take(marked));
                    return Ok(Ended::Done);
                }
                Err(error) if is_conflict(&error) => {
                    flight.refused();
                    self.caller.counters.scale_conflicts.inc();
                    if round == ATTEMPTS {
                        return Err(error.into());
                    }
                    round += 1;
                    (now, version) = self.read(id, target, flight).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The count that is there and the version that says so.
    async fn read(
        &self,
        id: &FunctionId,
        target: &ScaleTarget,
        flight: &Flight,
    ) -> Result<(u32, Option<String>), Stop> {
        let (path, asked) = (target.path(Some("scale")), wall());
        let reading = flight.unless_called_off(self.caller.get::<Scale>(&path));
        let read = reading.await.ok_or(Stop::Ended(Ended::CalledOff))??;
        if read.is_other(target) {
            return Err(Stop::Ended(Ended::Parked));
        }
        self.pods.want(id, read.replicas(), read.version(), asked);
        Ok((read.replicas(), read.version().map(str::to_owned)))
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

    fn written(&self, id: &FunctionId, wish: &Wish, from: u32) {
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
        flight: &Flight,
        marked: &mut Vec<Arc<str>>,
    ) -> Result<(), Stop> {
        if wish.replicas == 0 || !target.heeds_deletion_cost() {
            return Ok(());
        }
        let replicas = self.pods.replicas(id);
        *marked = victims::to_mark(&replicas, &wish.victims, now - wish.replicas);
        let marking = victims::mark(&self.caller, target, marked, true);
        match flight.unless_called_off(marking).await {
            None => Err(Stop::Ended(Ended::CalledOff)),
            Some(Ok(())) => Ok(()),
            Some(Err(error)) if error.status() == Some(403) => {
                marked.clear();
                let failure = WriteFailure::from(&error);
                warn!(function = %id, error = failure.message, "pods cannot be marked to go first");
                let id = id.clone();
                self.events.send(ScaleEvent::Unmarked { id, failure }).ok();
                Ok(())
            }
            Some(Err(error)) => Err(error.into()),
        }
    }

    /// Of more victims than had to go, the others stay.
    fn spare(&self, id: &FunctionId, wish: &Wish, marked: &[Arc<str>]) {
        // Without marks the platform chooses by itself.
        if marked.is_empty() {
            return;
        }
        let replicas = self.pods.replicas(id);
        let is_spared = |replica: &&Replica| {
            let serves = replica.is_ready && !replica.is_draining;
            serves && wish.victims.contains(&replica.id) && !marked.contains(&replica.name)
        };
        let spared = replicas.iter().filter(is_spared);
        self.pods
            .keep(id, spared.map(|replica| replica.id).collect());
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
