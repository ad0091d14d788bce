#![allow(clippy::unwrap_used)]

use tokio::time::{Instant, sleep};

use super::*;
use crate::lease::testing::FakeLeases;

fn join(leases: &Arc<FakeLeases>, who: &str) -> Shards {
    join_of(leases, who, 8)
}

fn join_of(leases: &Arc<FakeLeases>, who: &str, count: u32) -> Shards {
    let config = ShardsConfig::new("ns", count, who);
    Shards::campaign(leases.client(who), config, Arc::new(Counters::new()))
}

fn held(shards: &Shards) -> ShardSet {
    shards.held().borrow().clone()
}

/// Waits until `is_so`, checking all the while that no shard has two owners.
async fn until(members: &[&Shards], is_so: impl Fn(&[ShardSet]) -> bool) -> Duration {
    let started = Instant::now();
    loop {
        let sets: Vec<ShardSet> = members.iter().map(|member| held(member)).collect();
        let total: usize = sets.iter().map(BTreeSet::len).sum();
        let union: ShardSet = sets.iter().flatten().copied().collect();
        assert_eq!(union.len(), total, "two owners: {sets:?}");
        if is_so(&sets) {
            return started.elapsed();
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{sets:?}");
        sleep(Duration::from_millis(5)).await;
    }
}

fn all_held(sets: &[ShardSet]) -> bool {
    sets.iter().map(BTreeSet::len).sum::<usize>() == 8
}

#[tokio::test(start_paused = true)]
async fn shards_are_shared_evenly_and_handed_over_on_join() {
    let leases = Arc::new(FakeLeases::default());
    let a = join(&leases, "a");
    until(&[&a], all_held).await;
    let b = join(&leases, "b");
    let took = until(&[&a, &b], |sets| {
        all_held(sets) && sets.iter().all(|set| set.len() == 4)
    })
    .await;
    assert!(took < Duration::from_secs(3), "{took:?}");
    let names = leases.names();
    assert!(
        names.contains(&"zeron-autoscaler-00-of-8".to_owned()),
        "{names:?}"
    );
    // And it stays so.
    let before = [held(&a), held(&b)];
    sleep(Duration::from_secs(60)).await;
    assert_eq!([held(&a), held(&b)], before);
}

#[tokio::test(start_paused = true)]
async fn shards_of_one_who_leaves_are_taken_at_once() {
    let leases = Arc::new(FakeLeases::default());
    let (a, b) = (join(&leases, "a"), join(&leases, "b"));
    until(&[&a, &b], |sets| sets.iter().all(|set| set.len() == 4)).await;
    b.release().await;
    let took = until(&[&a], all_held).await;
    assert!(took <= Duration::from_millis(600), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn shards_of_one_who_dies_are_taken_within_five_seconds() {
    let leases = Arc::new(FakeLeases::default());
    let (a, b) = (join(&leases, "a"), join(&leases, "b"));
    until(&[&a, &b], |sets| sets.iter().all(|set| set.len() == 4)).await;
    sleep(Duration::from_millis(1234)).await;
    drop(b);
    let took = until(&[&a], all_held).await;
    assert!(took <= Duration::from_millis(4700), "{took:?}");
    // Its Lease does not stay for ever.
    sleep(Duration::from_secs(180)).await;
    assert!(!leases.names().iter().any(|name| name.ends_with("member-b")));
}

#[tokio::test(start_paused = true)]
async fn one_who_is_cut_off_gives_up_before_its_shards_are_taken() {
    let leases = Arc::new(FakeLeases::default());
    let (a, b) = (join(&leases, "a"), join(&leases, "b"));
    until(&[&a, &b], |sets| sets.iter().all(|set| set.len() == 4)).await;
    leases.cut_off("b", true);
    until(&[&a, &b], |sets| sets[0].len() == 8).await;
    leases.cut_off("b", false);
    until(&[&a, &b], |sets| all_held(sets) && sets[1].len() == 4).await;
}

#[tokio::test(start_paused = true)]
async fn of_two_counts_of_shards_one_at_a_time_is_in_force() {
    for (before, after) in [(8, 4), (4, 8)] {
        let leases = Arc::new(FakeLeases::default());
        let old = join_of(&leases, "old", before);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(held(&old).len(), before as usize);
        let new = join_of(&leases, "new", after);
        for _ in 0..6_000 {
            sleep(Duration::from_millis(5)).await;
            assert_eq!((held(&old).len(), held(&new).len()), (before as usize, 0));
        }
        old.release().await;
        sleep(Duration::from_millis(600)).await;
        assert_eq!(held(&new).len(), after as usize);
    }
}

#[tokio::test(start_paused = true)]
async fn two_counts_that_begin_at_once_become_one() {
    let leases = Arc::new(FakeLeases::default());
    let (four, eight) = (join_of(&leases, "a", 4), join_of(&leases, "b", 8));
    sleep(Duration::from_secs(2)).await;
    assert_eq!((held(&four).len(), held(&eight).len()), (4, 0));
}
