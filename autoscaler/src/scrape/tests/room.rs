//! Who is asked where there is not room for all.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use super::pods::{Pods, Says};
use super::*;
use crate::scrape::round::{Asking, Round};
use crate::scrape::state::{Errand, Room, SLOTS};

/// Functions that are scraped, each with one replica.
fn state(count: usize) -> State {
    let mut state = State::new(MeshCompatibility::Auto);
    for number in 0..count {
        let function = FunctionId::new("ns", "Revision", &format!("rev-{number:03}"));
        let target = ScrapeTarget {
            stable_window: Duration::from_secs(60),
            service: "unused".into(),
            owner: "web".into(),
        };
        state.watch(&function, target);
        let snapshot = EndpointSnapshot {
            endpoints: vec![endpoint("127.0.0.1:9090".parse().unwrap())],
            ..EndpointSnapshot::default()
        };
        state.publish(&function, Some(&snapshot));
    }
    state
}

fn answer(state: &mut State, errand: &Errand, is_hanging: bool) {
    state.answered(&Round {
        function: errand.function.clone(),
        load: None,
        outcome: ScrapeOutcome::Collected,
        is_meshed: false,
        is_hanging,
        took: Duration::ZERO,
        was_hanging: errand.is_hanging,
    });
}

#[test]
fn who_was_left_out_comes_first_next_time() {
    for is_hanging in [false, true] {
        let mut state = state(200);
        let everybody = Room {
            all: 200,
            hanging: 200,
        };
        let all = state.due(0, everybody);
        assert!(all.len() > 3, "{}", all.len());
        all.iter().for_each(|it| answer(&mut state, it, is_hanging));
        let mut asked: BTreeMap<FunctionId, u32> = BTreeMap::new();
        for _ in 0..all.len() {
            let errands = state.due(0, Room { all: 3, hanging: 3 });
            assert_eq!(errands.len(), 3);
            for errand in &errands {
                *asked.entry(errand.function.clone()).or_default() += 1;
                answer(&mut state, errand, is_hanging);
            }
        }
        assert_eq!(asked.len(), all.len());
        assert!(asked.values().all(|times| *times == 3), "{asked:?}");
    }
}

#[test]
fn who_hangs_keeps_nobody_else_waiting() {
    let mut state = state(200);
    let everybody = Room {
        all: 200,
        hanging: 200,
    };
    let mut hanging = BTreeSet::new();
    for slot in 0..SLOTS {
        for (number, errand) in state.due(slot, everybody).iter().enumerate() {
            let is_hanging = number % 2 == 0;
            answer(&mut state, errand, is_hanging);
            hanging.extend(is_hanging.then(|| errand.function.clone()));
        }
    }
    let mut asked = BTreeSet::new();
    for slot in 0..SLOTS {
        let room = Room {
            all: 200,
            hanging: 1,
        };
        let errands = state.due(slot, room);
        assert_eq!(errands.iter().filter(|it| it.is_hanging).count(), 1);
        asked.extend(errands.into_iter().map(|it| it.function));
    }
    assert_eq!(asked.difference(&hanging).count(), 200 - hanging.len());
    assert_eq!(asked.intersection(&hanging).count(), SLOTS);
    assert!(state.due(0, Room { all: 0, hanging: 0 }).is_empty());
}

#[tokio::test]
async fn who_hung_before_is_given_up_at_the_first_who_hangs_again() {
    let pods = Pods::start(20, |_| Says::Nothing);
    let addresses: Vec<IpAddr> = pods.addresses().iter().map(SocketAddr::ip).collect();
    let errand = Errand {
        function: id(),
        old: addresses,
        young: Vec::new(),
        service: "unused".into(),
        mode: MeshCompatibility::Auto,
        is_meshed: false,
        is_hanging: true,
    };
    let before = Instant::now();
    let round = Round::run(errand, Arc::new(Asking::new(pods.port()))).await;
    assert!(round.is_hanging && round.was_hanging);
    assert!(failed(&round.outcome).contains("within 3s"), "{round:?}");
    assert!(pods.asked() < 20, "{}", pods.asked());
    assert!(
        before.elapsed() < Duration::from_secs(6),
        "one wait, not two"
    );
}

#[tokio::test]
async fn who_answers_again_does_not_hang() {
    let pods = Pods::start(1, |_| Says::Stat(stat("pod", 1.0, 1.0)));
    let errand = Errand {
        function: id(),
        old: vec![pods.addresses()[0].ip()],
        young: Vec::new(),
        service: "unused".into(),
        mode: MeshCompatibility::Auto,
        is_meshed: false,
        is_hanging: true,
    };
    let round = Round::run(errand, Arc::new(Asking::new(pods.port()))).await;
    assert!(!round.is_hanging && round.was_hanging);
    assert_eq!(round.outcome, ScrapeOutcome::Collected);
}
