//! How many replicas were asked for, and which of them are being taken out of rotation.

use zeron_core::EndpointId;
use zeron_wire::DrainId;

/// What to do to get to another count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Tell the back end.
    Scale {
        count: u32,
        victims: Vec<EndpointId>,
    },
    /// Tell the activator to take so many out of rotation.
    Drain { id: DrainId, count: u32 },
    /// Tell the activator to put them back.
    Cancel(DrainId),
}

/// Drains under way, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Replicas {
    asked: u32,
    drains: Vec<(DrainId, u32)>,
}

impl Replicas {
    pub(crate) fn new(asked: u32) -> Self {
        Self {
            asked,
            drains: Vec::new(),
        }
    }

    /// What the back end was told last.
    pub(crate) fn asked(&self) -> u32 {
        self.asked
    }

    /// What is left once every drain is over: the count that decisions start from.
    pub(crate) fn current(&self) -> u32 {
        let draining = self.drains.iter().map(|(_, count)| count);
        self.asked.saturating_sub(draining.sum())
    }

    pub(crate) fn is_draining(&self) -> bool {
        !self.drains.is_empty()
    }

    /// Somebody else writes the count: it is what it is.
    pub(crate) fn follow(&mut self, count: u32) {
        self.asked = count;
    }

    /// The steps from the current count to `desired`. Going up takes back drains before it starts
    /// anything; going down drains first, where requests may be at a replica.
    pub(crate) fn steer(
        &mut self,
        desired: u32,
        must_drain: bool,
        mut next_id: impl FnMut() -> DrainId,
    ) -> Vec<Step> {
        let mut steps = Vec::new();
        while desired > self.current() {
            let Some((id, _)) = self.drains.pop() else {
                self.asked = desired;
                steps.push(Step::Scale {
                    count: desired,
                    victims: Vec::new(),
                });
                break;
            };
            steps.push(Step::Cancel(id));
        }
        let surplus = self.current().saturating_sub(desired);
        if surplus > 0 && must_drain {
            let id = next_id();
            self.drains.push((id, surplus));
            steps.push(Step::Drain { id, count: surplus });
        } else if surplus > 0 {
            steps.extend(self.cancel_all());
            self.asked = desired;
            steps.push(Step::Scale {
                count: desired,
                victims: Vec::new(),
            });
        }
        steps
    }

    /// Whether nothing is left once this drain is over; `None` when it was taken back.
    pub(crate) fn is_last(&self, id: DrainId) -> Option<bool> {
        let drain = self.drains.iter().find(|(other, _)| *other == id)?;
        Some(self.asked <= drain.1)
    }

    /// Nothing is in flight on `victims` any more: now they may stop. `None` when that drain was
    /// taken back meanwhile.
    pub(crate) fn drained(&mut self, id: DrainId, victims: Vec<EndpointId>) -> Option<Step> {
        let at = self.drains.iter().position(|(other, _)| *other == id)?;
        let (_, count) = self.drains.remove(at);
        self.asked = self.asked.saturating_sub(count);
        Some(Step::Scale {
            count: self.asked,
            victims,
        })
    }

    /// Takes all drains back.
    pub(crate) fn cancel_all(&mut self) -> Vec<Step> {
        let drains = self.drains.drain(..);
        drains.map(|(id, _)| Step::Cancel(id)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steer(replicas: &mut Replicas, desired: u32) -> Vec<Step> {
        let id = DrainId(u64::from(replicas.asked * 100 + desired));
        replicas.steer(desired, true, || id)
    }

    fn scale(count: u32) -> Step {
        Step::Scale {
            count,
            victims: Vec::new(),
        }
    }

    #[test]
    fn up_is_one_step_and_down_drains_first() {
        let mut replicas = Replicas::new(0);
        assert_eq!(steer(&mut replicas, 5), [scale(5)]);
        let drain = Step::Drain {
            id: DrainId(502),
            count: 3,
        };
        assert_eq!(steer(&mut replicas, 2), [drain]);
        assert_eq!((replicas.asked(), replicas.current()), (5, 2));
        assert_eq!(steer(&mut replicas, 2), []);
        let step = replicas.drained(DrainId(502), vec![EndpointId(7)]);
        let victims = vec![EndpointId(7)];
        assert_eq!(step, Some(Step::Scale { count: 2, victims }));
        assert_eq!((replicas.asked(), replicas.current()), (2, 2));
    }

    #[test]
    fn a_wake_during_a_drain_takes_it_back_and_a_late_answer_does_nothing() {
        let mut replicas = Replicas::new(1);
        steer(&mut replicas, 0);
        assert_eq!(steer(&mut replicas, 1), [Step::Cancel(DrainId(100))]);
        assert_eq!(replicas.drained(DrainId(100), Vec::new()), None);
        assert_eq!((replicas.asked(), replicas.current()), (1, 1));
    }

    #[test]
    fn raising_by_part_of_a_drain_drains_the_rest_again() {
        let mut replicas = Replicas::new(10);
        steer(&mut replicas, 2);
        let steps = replicas.steer(4, true, || DrainId(1));
        let again = Step::Drain {
            id: DrainId(1),
            count: 6,
        };
        assert_eq!(steps, [Step::Cancel(DrainId(1_002)), again]);
        assert_eq!(replicas.current(), 4);
    }

    #[test]
    fn raising_above_what_runs_cancels_and_starts() {
        let mut replicas = Replicas::new(3);
        steer(&mut replicas, 1);
        let steps = replicas.steer(5, true, || DrainId(1));
        assert_eq!(steps, [Step::Cancel(DrainId(301)), scale(5)]);
    }

    #[test]
    fn functions_without_requests_need_no_drain() {
        let mut replicas = Replicas::new(3);
        assert_eq!(replicas.steer(0, false, || DrainId(1)), [scale(0)]);
    }
}
