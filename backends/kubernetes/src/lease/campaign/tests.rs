#![allow(clippy::unwrap_used)]

use super::*;
use crate::lease::testing::FakeLeases;

fn campaign(leases: &Arc<FakeLeases>, who: &str) -> Campaign {
    let config = LeaseConfig::new("ns", "leader", who);
    Lease::campaign(leases.client(who), config, Arc::new(Counters::new()))
}

/// Waits until `campaign` leads, or does not; says how long it took.
async fn until_leader(campaign: &Campaign, is_leader: bool) -> Duration {
    let started = Instant::now();
    let mut leadership = campaign.leadership();
    let wait = leadership.wait_for(|now| now.is_leader == is_leader);
    tokio::time::timeout(Duration::from_secs(60), wait)
        .await
        .expect("a turn")
        .unwrap();
    started.elapsed()
}

fn leads(campaign: &Campaign) -> bool {
    campaign.leadership().borrow().is_leader
}

#[tokio::test(start_paused = true)]
async fn one_leads_and_keeps_leading() {
    let leases = Arc::new(FakeLeases::default());
    let first = campaign(&leases, "a");
    until_leader(&first, true).await;
    let second = campaign(&leases, "b");
    for _ in 0..600 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(leads(&first) && !leads(&second));
    }
    assert_eq!(second.leadership().borrow().holder.as_deref(), Some("a"));
    assert_eq!(
        leases.get("leader").unwrap().spec.lease_transitions,
        Some(0)
    );
}

#[tokio::test(start_paused = true)]
async fn who_resigns_is_followed_at_once() {
    let leases = Arc::new(FakeLeases::default());
    let first = campaign(&leases, "a");
    until_leader(&first, true).await;
    let second = campaign(&leases, "b");
    tokio::time::sleep(Duration::from_secs(2)).await;
    first.resign().await;
    let took = until_leader(&second, true).await;
    assert!(took <= Duration::from_millis(500), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn who_resigns_while_a_renewal_is_under_way_is_followed_at_once() {
    let leases = Arc::new(FakeLeases::default());
    let first = campaign(&leases, "a");
    until_leader(&first, true).await;
    let second = campaign(&leases, "b");
    tokio::time::sleep(Duration::from_secs(2)).await;
    leases.renew("leader");
    first.resign().await;
    let took = until_leader(&second, true).await;
    assert!(took <= Duration::from_millis(500), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn who_dies_is_followed_within_five_seconds() {
    let leases = Arc::new(FakeLeases::default());
    let first = campaign(&leases, "a");
    until_leader(&first, true).await;
    let second = campaign(&leases, "b");
    tokio::time::sleep(Duration::from_millis(2300)).await;
    drop(first);
    let took = until_leader(&second, true).await;
    assert!(took <= Duration::from_millis(4600), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn who_cannot_renew_gives_up_before_anybody_takes_over() {
    let leases = Arc::new(FakeLeases::default());
    let first = campaign(&leases, "a");
    until_leader(&first, true).await;
    let second = campaign(&leases, "b");
    tokio::time::sleep(Duration::from_secs(3)).await;
    leases.cut_off("a", true);
    let mut both_never = true;
    let mut follower_led = false;
    for _ in 0..1000 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        both_never &= !(leads(&first) && leads(&second));
        follower_led |= leads(&second);
    }
    assert!(both_never && follower_led);
    leases.cut_off("a", false);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(leads(&second) && !leads(&first));
}

#[tokio::test(start_paused = true)]
async fn a_short_outage_costs_nobody_the_lead() {
    let leases = Arc::new(FakeLeases::default());
    let first = campaign(&leases, "a");
    until_leader(&first, true).await;
    let second = campaign(&leases, "b");
    for who in ["a", "b"] {
        leases.cut_off(who, true);
    }
    tokio::time::sleep(Duration::from_millis(2000)).await;
    for who in ["a", "b"] {
        leases.cut_off(who, false);
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(leads(&first) && !leads(&second));
    assert_eq!(
        leases.get("leader").unwrap().spec.lease_transitions,
        Some(0)
    );
}
