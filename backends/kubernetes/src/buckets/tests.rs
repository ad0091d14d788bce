#![allow(clippy::unwrap_used)]

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use zeron_core::{Holder, Owner};

use super::*;
use crate::api::Caller;
use crate::lease::Hold;
use crate::lease::testing::FakeLeases;

const BUCKET: &str = "autoscaler-bucket-00-of-01";

fn config(who: &str) -> BucketsConfig {
    let number = who.bytes().last().unwrap();
    let address = format!("10.0.0.{number}");
    BucketsConfig::new("knative-serving", who, address.parse().unwrap())
}

fn join(leases: &Arc<FakeLeases>, config: BucketsConfig) -> Buckets {
    let client = leases.client(&config.pod_name);
    Buckets::campaign(client, config, Arc::new(Counters::new()))
}

/// One of Knative's replicas, with the Lease that it would write.
fn replica(leases: &Arc<FakeLeases>, duration: u64) -> Hold {
    let caller = Caller::new(
        leases.client("go"),
        Arc::new(Counters::new()),
        Duration::from_secs(1),
    );
    Hold::new(
        caller,
        "knative-serving",
        BUCKET.to_owned(),
        "autoscaler-go_10.0.0.9".into(),
        Duration::from_secs(duration),
    )
}

async fn until(buckets: &Buckets, is_so: impl Fn(&Ownership) -> bool) -> Duration {
    let started = Instant::now();
    let mut ownership = buckets.ownership();
    let wait = ownership.wait_for(|it| is_so(it));
    timeout(Duration::from_secs(120), wait)
        .await
        .expect("a turn")
        .unwrap();
    started.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_bucket_has_one_owner_and_the_others_know_where_it_is() {
    let leases = Arc::new(FakeLeases::default());
    let a = join(&leases, config("a"));
    until(&a, |it| it.leads(BUCKET)).await;
    let held = leases.get(BUCKET).unwrap();
    assert_eq!(held.holder(), Some("a_10.0.0.97"));
    assert_eq!(held.spec.lease_duration_seconds, Some(60));
    let b = join(&leases, config("b"));
    let at_a = Owner::Other(Holder {
        name: "a_10.0.0.97".into(),
        addresses: [
            "10.0.0.97:8080".to_owned(),
            format!("{BUCKET}.knative-serving.svc.cluster.local:8080"),
        ]
        .into(),
    });
    until(&b, |it| it.owner(BUCKET) == Some(&at_a)).await;
    sleep(Duration::from_secs(120)).await;
    assert!(a.ownership().borrow().leads(BUCKET));
    assert_eq!(b.ownership().borrow().owner(BUCKET), Some(&at_a));
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_gives_its_bucket_back_is_followed_within_a_retry() {
    let leases = Arc::new(FakeLeases::default());
    let mut go = replica(&leases, 60);
    go.write().await.unwrap();
    let a = join(&leases, config("a"));
    until(&a, |it| matches!(it.owner(BUCKET), Some(Owner::Other(_)))).await;
    // Renewed in time, it stays where it is.
    for _ in 0..12 {
        sleep(Duration::from_secs(10)).await;
        go.renew().await.unwrap();
        assert!(!a.ownership().borrow().leads(BUCKET));
    }
    go.release().await.unwrap();
    let took = until(&a, |it| it.leads(BUCKET)).await;
    assert!(took <= Duration::from_secs(10), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_dies_is_followed_when_its_own_lease_ends() {
    let leases = Arc::new(FakeLeases::default());
    let mut go = replica(&leases, 40);
    go.write().await.unwrap();
    let a = join(&leases, config("a"));
    let took = until(&a, |it| it.leads(BUCKET)).await;
    let seconds = Duration::from_secs;
    assert!((seconds(40)..seconds(41)).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_given_back_is_free_at_once_and_was_nobodys_before() {
    let leases = Arc::new(FakeLeases::default());
    let a = join(&leases, config("a"));
    until(&a, |it| it.leads(BUCKET)).await;
    let mut ownership = a.ownership();
    let gone = tokio::spawn({
        let leases = Arc::clone(&leases);
        async move {
            ownership.wait_for(|it| !it.leads(BUCKET)).await.unwrap();
            leases.get(BUCKET).unwrap().holder().map(str::to_owned)
        }
    });
    a.release().await;
    assert_eq!(gone.await.unwrap().as_deref(), Some("a_10.0.0.97"));
    assert_eq!(leases.get(BUCKET).unwrap().holder(), None);
    let mut go = replica(&leases, 60);
    go.read().await.unwrap();
    assert!(go.is_free(Instant::now()));
}

#[tokio::test(start_paused = true)]
async fn one_who_is_cut_off_gives_up_after_its_deadline() {
    let leases = Arc::new(FakeLeases::default());
    let (a, b) = (join(&leases, config("a")), join(&leases, config("b")));
    sleep(Duration::from_secs(5)).await;
    let [first, second] = match a.ownership().borrow().leads(BUCKET) {
        true => [(&a, "a"), (&b, "b")],
        false => [(&b, "b"), (&a, "a")],
    };
    leases.cut_off(first.1, true);
    let gave_up = until(first.0, |it| !it.leads(BUCKET)).await;
    assert!(gave_up <= Duration::from_secs(40), "{gave_up:?}");
    assert!(!second.0.ownership().borrow().leads(BUCKET));
    let took = until(second.0, |it| it.leads(BUCKET)).await;
    assert!(took <= Duration::from_secs(31), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_is_never_answered_costs_no_bucket() {
    let leases = Arc::new(FakeLeases::default());
    let a = join(&leases, config("a"));
    until(&a, |it| it.leads(BUCKET)).await;
    leases.answer_not("a");
    let mut ownership = a.ownership();
    let lost = ownership.wait_for(|it| !it.leads(BUCKET));
    assert!(timeout(Duration::from_secs(300), lost).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn several_buckets_are_elected_one_by_one() {
    let leases = Arc::new(FakeLeases::default());
    let mut three = config("a");
    three.count = 3;
    let a = join(&leases, three);
    until(&a, |it| it.held().count() == 3).await;
    let names = leases.names();
    let expected = [0, 1, 2].map(|index| format!("autoscaler-bucket-0{index}-of-03"));
    assert_eq!(names, expected);
}
