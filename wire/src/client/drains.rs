//! Drains that this activator was told to make, and by whom: each is answered to its own
//! autoscaler, and taken back when that one is lost.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::message::{Drain, DrainId, Drained, ToActivator};

/// Which connection; never used twice.
pub(super) type ConnectionId = u64;

/// How long an acknowledged drain outlives the connection to its autoscaler: its replicas may be
/// told to stop at this very moment, or never.
const LINGER: Duration = Duration::from_secs(2);
/// How long a settled drain may still be taken back by its autoscaler.
const REMEMBERED: Duration = Duration::from_secs(30);
/// Drains under way; those beyond are not obeyed, so they are never acknowledged.
const CAPACITY: usize = 65_536;

#[derive(Debug)]
struct Owned {
    owner: ConnectionId,
    answer: Option<Drained>,
    /// The owner is lost; until then it may come back.
    until: Option<Instant>,
    /// Its replicas were told to stop: it ends by itself.
    settled: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct Drains {
    by_id: HashMap<DrainId, Owned>,
}

/// What to do with an order.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// The activator is to do it.
    Forward(ToActivator),
    /// It is done already: this answers it.
    Answer(Drained),
    /// Nothing.
    Ignore,
}

impl Drains {
    pub(super) fn order(&mut self, from: ConnectionId, order: ToActivator) -> Verdict {
        match order {
            ToActivator::Drain(drain) => self.drain(from, drain),
            ToActivator::Cancel(id) | ToActivator::Settled(id) => {
                let Some(owned) = self.by_id.get_mut(&id).filter(|it| it.owner == from) else {
                    return Verdict::Ignore;
                };
                if let ToActivator::Settled(_) = order {
                    let now = Instant::now();
                    owned.settled = Some(now);
                    self.forget_settled(now);
                } else {
                    self.by_id.remove(&id);
                }
                Verdict::Forward(order)
            }
            ToActivator::Woken(_) => Verdict::Forward(order),
        }
    }

    fn drain(&mut self, from: ConnectionId, drain: Drain) -> Verdict {
        if let Some(owned) = self.by_id.get_mut(&drain.id) {
            owned.owner = from;
            owned.until = None;
            let answer = owned.answer.clone();
            return answer.map_or(Verdict::Ignore, Verdict::Answer);
        }
        if self.by_id.len() >= CAPACITY {
            tracing::warn!(function = %drain.function, "too many drains at once: one is not obeyed");
            return Verdict::Ignore;
        }
        let owned = Owned {
            owner: from,
            answer: None,
            until: None,
            settled: None,
        };
        self.by_id.insert(drain.id, owned);
        Verdict::Forward(ToActivator::Drain(drain))
    }

    /// The activator's answer, and whom it is for.
    pub(super) fn answered(&mut self, answer: &Drained) -> Option<ConnectionId> {
        let owned = self.by_id.get_mut(&answer.id)?;
        owned.answer = Some(answer.clone());
        owned.until.is_none().then_some(owned.owner)
    }

    /// An autoscaler is lost: what it has not been told of goes back into rotation.
    pub(super) fn lose(&mut self, owner: ConnectionId, now: Instant) -> Vec<ToActivator> {
        for owned in self.by_id.values_mut() {
            if owned.owner == owner && owned.settled.is_none() {
                let is_told = owned.answer.is_some();
                owned.until = Some(if is_told { now + LINGER } else { now });
            }
        }
        self.expire(now)
    }

    fn forget_settled(&mut self, now: Instant) {
        self.by_id
            .retain(|_, owned| owned.settled.is_none_or(|at| now < at + REMEMBERED));
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.by_id.values().filter_map(|owned| owned.until).min()
    }

    /// Orders that take back what nobody claimed again.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<ToActivator> {
        self.forget_settled(now);
        let is_over = |owned: &Owned| owned.until.is_some_and(|until| until <= now);
        let over = self.by_id.extract_if(|_, owned| is_over(owned));
        over.map(|(id, _)| ToActivator::Cancel(id)).collect()
    }
}

#[cfg(test)]
mod tests {
    use zeron_core::{EndpointId, FunctionId};

    use super::*;

    fn drain(id: u64) -> Drain {
        Drain {
            id: DrainId(id),
            function: FunctionId::new("default", "Deployment", "a"),
            count: 1,
            victims: None,
        }
    }

    fn answer(id: u64) -> Drained {
        Drained {
            id: DrainId(id),
            function: drain(id).function,
            endpoints: vec![EndpointId(7)],
        }
    }

    fn given(drains: &mut Drains, from: ConnectionId, id: u64) -> Verdict {
        drains.order(from, ToActivator::Drain(drain(id)))
    }

    #[test]
    fn a_lost_autoscalers_open_drains_are_taken_back_and_others_stay() {
        let mut drains = Drains::default();
        given(&mut drains, 1, 10);
        given(&mut drains, 2, 20);
        let taken_back = drains.lose(1, Instant::now());
        assert_eq!(taken_back, [ToActivator::Cancel(DrainId(10))]);
        assert_eq!(drains.answered(&answer(10)), None);
        assert_eq!(drains.answered(&answer(20)), Some(2));
    }

    #[test]
    fn an_acknowledged_drain_outlives_a_short_interruption() {
        let (mut drains, now) = (Drains::default(), Instant::now());
        given(&mut drains, 1, 10);
        drains.answered(&answer(10));
        assert_eq!(drains.lose(1, now), []);
        assert_eq!(given(&mut drains, 3, 10), Verdict::Answer(answer(10)));
        assert_eq!(drains.expire(now + LINGER), []);
        drains.lose(3, now);
        let taken_back = drains.expire(now + LINGER);
        assert_eq!(taken_back, [ToActivator::Cancel(DrainId(10))]);
    }

    #[test]
    fn only_the_owner_of_a_drain_takes_it_back() {
        let mut drains = Drains::default();
        given(&mut drains, 1, 10);
        let cancel = ToActivator::Cancel(DrainId(10));
        assert_eq!(drains.order(2, cancel.clone()), Verdict::Ignore);
        assert_eq!(drains.order(1, cancel.clone()), Verdict::Forward(cancel));
    }

    #[test]
    fn a_settled_drain_is_taken_back_by_its_owner_alone_and_soon_forgotten() {
        let (mut drains, now) = (Drains::default(), Instant::now());
        for id in [10, 20] {
            given(&mut drains, 1, id);
            drains.answered(&answer(id));
            drains.order(1, ToActivator::Settled(DrainId(id)));
        }
        let cancel = ToActivator::Cancel(DrainId(10));
        assert_eq!(drains.order(2, cancel.clone()), Verdict::Ignore);
        let forwarded = Verdict::Forward(cancel.clone());
        assert_eq!(drains.order(1, cancel.clone()), forwarded);
        assert_eq!(drains.order(1, cancel), Verdict::Ignore, "once");
        // Its autoscaler is lost: the replicas may stop.
        assert_eq!(drains.lose(1, now + LINGER), []);
        assert_eq!((drains.by_id.len(), drains.next()), (1, None));
        drains.expire(Instant::now() + REMEMBERED);
        assert!(drains.by_id.is_empty());
    }
}
