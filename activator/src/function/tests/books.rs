//! Whatever happens, in whatever order.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

/// What may happen to a function.
#[derive(Clone, Copy, Debug)]
enum Step {
    Enter,
    /// The oldest request that is served ends.
    Finish,
    /// A waiting request leaves.
    Leave(usize),
    /// The oldest served request finds its replica unreachable.
    FailOver,
    Reinstate,
    Replicas(u64),
    Drain,
    Cancel,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Enter),
        3 => Just(Step::Finish),
        1 => (0usize..8).prop_map(Step::Leave),
        1 => Just(Step::FailOver),
        1 => Just(Step::Reinstate),
        1 => (0u64..4).prop_map(Step::Replicas),
        1 => Just(Step::Drain),
        1 => Just(Step::Cancel),
    ]
}

proptest! {
    /// Slots are conserved, limits hold, order is kept, and nobody waits beside a free slot.
    #[test]
    fn whatever_happens_the_books_balance(
        limit in 0u32..4,
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let scene = Scene::new(limit);
            let mut served: VecDeque<Permit> = VecDeque::new();
            let mut waiting: VecDeque<Ticket> = VecDeque::new();
            let mut suspects = Vec::new();
            for step in steps {
                match step {
                    Step::Enter => match scene.enter() {
                        Entry::Granted(permit) => served.push_back(permit),
                        Entry::Waiting(ticket) => waiting.push_back(ticket),
                        Entry::Refused(refusal) => panic!("{refusal:?}"),
                    },
                    Step::Finish => drop(served.pop_front()),
                    Step::Leave(place) => drop(waiting.remove(place)),
                    Step::FailOver => if let Some(permit) = served.pop_front() {
                        suspects.push(Arc::clone(&permit.replica));
                        match scene.function.fail_over(permit, Instant::now()).0 {
                            Entry::Granted(permit) => served.push_back(permit),
                            Entry::Waiting(ticket) => waiting.push_back(ticket),
                            Entry::Refused(refusal) => panic!("{refusal:?}"),
                        }
                    },
                    Step::Reinstate => if let Some(replica) = suspects.pop() {
                        scene.function.reinstate(&replica, Instant::now());
                    },
                    Step::Replicas(count) => {
                        scene.replicas(&(1..=count).collect::<Vec<_>>());
                    }
                    Step::Drain => scene.drain(1, None),
                    Step::Cancel => scene.function.cancel_drain(DrainId(1), Instant::now()),
                }
                waiting.make_contiguous().sort_by_key(|ticket| ticket.number);
                let mut still = VecDeque::new();
                for mut ticket in waiting {
                    match ticket.grant.try_recv() {
                        Ok(Ok(permit)) => {
                            assert!(still.is_empty(), "granted out of order");
                            served.push_back(permit);
                        }
                        Ok(Err(refusal)) => panic!("{refusal:?}"),
                        Err(_) => still.push_back(ticket),
                    }
                }
                waiting = still;
                let load = scene.load();
                assert_eq!(load, (served.len() as u32, waiting.len() as u32));
                assert_eq!(scene.budget(), 100 * waiting.len() as u64);
                for permit in &served {
                    let here = served.iter().filter(|p| p.replica.key == permit.replica.key);
                    let here = here.count() as u32;
                    assert_eq!(permit.replica.in_flight(), here);
                    assert!(limit == 0 || here <= limit);
                }
                let state = scene.function.state.lock();
                assert!(waiting.is_empty() || !state.has_free_slot());
            }
            drop((served, waiting));
            assert_eq!(scene.load(), (0, 0));
        });
    }
}
