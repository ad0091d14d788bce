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

#[tokio::test(start_paused = true)]
async fn at_rest_the_api_server_is_asked_less_than_once_a_second() {
    let leases = Arc::new(FakeLeases::default());
    let (a, b) = (join(&leases, "a"), join(&leases, "b"));
    until(&[&a, &b], |sets| sets.iter().all(|set| set.len() == 4)).await;
    let before = ["a", "b"].map(|who| leases.calls(who).len());
    sleep(Duration::from_secs(1_000)).await;
    for (who, before) in ["a", "b"].into_iter().zip(before) {
        let calls = leases.calls(who).split_off(before);
        let lists = calls.iter().filter(|call| *call == "GET all").count();
        assert!((16..=17).contains(&lists), "{lists} lists");
        assert!((750..850).contains(&calls.len()), "{}", calls.len());
    }
}

#[tokio::test(start_paused = true)]
async fn whose_watch_stands_still_takes_nothing_from_those_who_live() {
    let leases = Arc::new(FakeLeases::default());
    let (a, b) = (join(&leases, "a"), join(&leases, "b"));
    until(&[&a, &b], |sets| sets.iter().all(|set| set.len() == 4)).await;
    leases.stall("b");
    let (before, started) = ([held(&a), held(&b)], Instant::now());
    while started.elapsed() < Duration::from_secs(120) {
        sleep(Duration::from_millis(5)).await;
        assert_eq!([held(&a), held(&b)], before);
    }
    // And it still notices who is gone.
    drop(a);
    let took = until(&[&b], all_held).await;
    assert!(took <= Duration::from_secs(9), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_expired_begins_anew() {
    let leases = Arc::new(FakeLeases::default());
    let (a, b) = (join(&leases, "a"), join(&leases, "b"));
    until(&[&a, &b], |sets| sets.iter().all(|set| set.len() == 4)).await;
    let before = [held(&a), held(&b)];
    for _ in 0..20 {
        leases.expire();
        sleep(Duration::from_millis(700)).await;
        assert_eq!([held(&a), held(&b)], before);
    }
    let lists = leases.calls("a");
    let lists = lists.iter().filter(|call| *call == "GET all").count();
    assert!((20..30).contains(&lists), "{lists} lists");
    b.release().await;
    let took = until(&[&a], all_held).await;
    assert!(took <= Duration::from_millis(100), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn who_lost_its_presence_holds_nothing_before_it_took_it_anew() {
    let leases = Arc::new(FakeLeases::default());
    let (a, b) = (join(&leases, "a"), join(&leases, "b"));
    until(&[&a, &b], |sets| sets.iter().all(|set| set.len() == 4)).await;
    let (before, mut changes) = ([held(&a), held(&b)], a.held());
    // A person removes what says that it lives: its shards are not anybody's for that.
    for _ in 0..10 {
        changes.mark_unchanged();
        leases.remove("zeron-autoscaler-member-a");
        let lost = tokio::time::timeout(Duration::from_secs(2), changes.changed());
        lost.await.expect("a loss").unwrap();
        until(&[&a, &b], |sets| *sets == before).await;
    }
}

/// Follows `shards` like somebody whose last write takes so long.
fn act(shards: &Shards, last_write: Duration) -> watch::Receiver<ShardSet> {
    let (acts, acting) = watch::channel(ShardSet::new());
    let hold = move |held: &ShardSet| {
        acts.send_replace(held.clone());
    };
    drop(shards.follow(hold, move || sleep(last_write)));
    acting
}

#[tokio::test(start_paused = true)]
async fn a_shard_is_given_to_another_when_the_last_write_for_it_is_over() {
    for (last_write, waits) in [(0, 0), (400, 400), (60_000, 1_000)] {
        let leases = Arc::new(FakeLeases::default());
        let a = join(&leases, "a");
        let acting = act(&a, Duration::from_millis(last_write));
        until(&[&a], all_held).await;
        sleep(Duration::from_secs(2)).await;
        let b = join(&leases, "b");
        until(&[&a, &b], |sets| sets[0].len() == 4).await;
        let took = until(&[&a, &b], all_held).await.as_millis();
        assert!((waits..waits + 600).contains(&took), "{last_write}: {took}");
        assert_eq!(*acting.borrow(), held(&a));
        let leaves = Instant::now();
        a.release().await;
        assert!(acting.borrow().is_empty());
        let took = leaves.elapsed().as_millis();
        assert!((waits..waits + 100).contains(&took), "{last_write}: {took}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_comes_back_during_a_last_write_is_acted_on_at_once() {
    let (held, follows) = watch::channel(ShardSet::from([0]));
    let (acting, acts) = watch::channel(None);
    let notes = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let log = Arc::clone(&notes);
    let hold = move |held: &ShardSet| log.lock().push(held.clone());
    let settled = || sleep(Duration::from_secs(10));
    tokio::spawn(follow::follow(follows, acting, hold, settled));
    sleep(Duration::from_secs(20)).await;
    for next in [ShardSet::new(), ShardSet::from([1])] {
        held.send_replace(next);
        sleep(Duration::from_secs(1)).await;
    }
    let seen = notes.lock().clone();
    assert_eq!(
        seen,
        [ShardSet::from([0]), ShardSet::new(), ShardSet::from([1])]
    );
    assert_eq!(*acts.borrow(), Some(ShardSet::from([0, 1])), "still let go");
    sleep(Duration::from_secs(10)).await;
    assert_eq!(*acts.borrow(), Some(ShardSet::from([1])));
}
