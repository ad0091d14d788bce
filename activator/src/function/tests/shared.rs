//! Two activators of one platform, `a` and `b`, whatever they hear in whatever order.

use proptest::prelude::*;

use super::*;

const NAMES: [&str; 2] = ["a", "b"];

/// What may happen to one of them.
#[derive(Clone, Copy, Debug)]
enum Step {
    Enter,
    /// The oldest request that it serves ends.
    Finish,
    /// It hears that the other one has left, or is there.
    Hears(bool),
    /// It asks the other one about what it claims.
    Asks,
    Sees(u64),
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let step = prop_oneof![
        4 => Just(Step::Enter),
        2 => Just(Step::Finish),
        1 => any::<bool>().prop_map(Step::Hears),
        3 => Just(Step::Asks),
        1 => (0u64..4).prop_map(Step::Sees),
    ];
    (0usize..2, step)
}

/// One activator and what it serves.
struct Side {
    scene: Scene,
    served: Vec<Permit>,
    waiting: Vec<Ticket>,
}

impl Side {
    fn new(limit: u32) -> Self {
        Self {
            scene: Scene::new(limit),
            served: Vec::new(),
            waiting: Vec::new(),
        }
    }

    fn hears(&self, me: usize, is_other_there: bool) {
        let other = Peer {
            name: NAMES[1 - me].to_owned(),
            address: ([127, 0, 0, 1], 1).into(),
        };
        let others = is_other_there.then_some(other).into_iter().collect();
        let house = &self.scene.function.house;
        if house.set_members(NAMES[me], others, Instant::now()) {
            self.scene.function.reown(Instant::now());
        }
    }

    fn enter(&mut self) {
        match self.scene.enter() {
            Entry::Granted(permit) => self.take(permit),
            Entry::Waiting(ticket) => self.waiting.push(ticket),
            Entry::Refused(refusal) => panic!("{refusal:?}"),
        }
    }

    /// What goes to the other one does not stay long.
    fn take(&mut self, permit: Permit) {
        if !permit.is_elsewhere() {
            self.served.push(permit);
        }
    }

    fn collect(&mut self) {
        let mut granted = Vec::new();
        self.waiting
            .retain_mut(|ticket| match ticket.grant.try_recv() {
                Ok(Ok(permit)) => {
                    granted.push(permit);
                    false
                }
                Ok(Err(refusal)) => panic!("{refusal:?}"),
                Err(_) => true,
            });
        for permit in granted {
            self.take(permit);
        }
    }

    fn at(&self, replica: u64) -> usize {
        let served = self.served.iter();
        served.filter(|it| it.replica.id.0 == replica).count()
    }
}

proptest! {
    /// As long as they do not disagree for too long, a limit is a limit over both.
    #[test]
    fn a_limit_holds_over_both_whatever_they_hear(
        limit in 1u32..3,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut sides = [Side::new(limit), Side::new(limit)];
            for (me, side) in sides.iter().enumerate() {
                side.hears(me, true);
            }
            for (me, step) in steps {
                match step {
                    Step::Enter => sides[me].enter(),
                    Step::Finish => if !sides[me].served.is_empty() {
                        drop(sides[me].served.remove(0));
                    },
                    Step::Hears(is_there) => sides[me].hears(me, is_there),
                    Step::Asks => {
                        let now = Instant::now();
                        let claims = sides[me].scene.function.attend(now).claims;
                        let other = &sides[1 - me].scene.function;
                        let counts = other.cede(&claims, NAMES[me], now);
                        let counts: Vec<_> = claims.into_iter().zip(counts).collect();
                        sides[me].scene.function.admit(&counts, now);
                    }
                    Step::Sees(count) => {
                        sides[me].scene.replicas(&(1..=count).collect::<Vec<_>>());
                    }
                }
                for side in &mut sides {
                    side.collect();
                }
                for replica in 1..4 {
                    let both = sides[0].at(replica) + sides[1].at(replica);
                    prop_assert!(both <= limit as usize, "{both} at {replica}");
                }
            }
            drop(sides);
            Ok(())
        })?;
    }
}
