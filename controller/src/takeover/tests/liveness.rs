//! Holders of leases, by the local clock alone.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, advance};

use super::world::object;
use crate::takeover::{Kind, LeaseWatch, Life, Object};

fn lease(holder: &str, renewed: &str) -> Object {
    let spec =
        json!({ "holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": 15 });
    object(
        Kind::Lease,
        "keda",
        "operator.keda.sh",
        json!({ "spec": spec }),
    )
}

#[test]
fn no_lease_and_no_holder_are_nobody() {
    let mut watch = LeaseWatch::default();
    assert_eq!(watch.observe(None, Instant::now()), Life::Absent);
    assert_eq!(
        watch.observe(Some(&lease("", "1")), Instant::now()),
        Life::Released
    );
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_stale_after_its_duration_without_a_change_whatever_its_time_says() {
    let mut watch = LeaseWatch::default();
    // A clock far in the future must not make it look alive.
    let lease = lease("a", "2999-01-01T00:00:00Z");
    assert!(!watch.observe(Some(&lease), Instant::now()).is_over());
    advance(Duration::from_millis(14_999)).await;
    assert!(!watch.observe(Some(&lease), Instant::now()).is_over());
    advance(Duration::from_millis(1)).await;
    assert!(watch.observe(Some(&lease), Instant::now()).is_over());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_seen_is_proof_and_an_old_time_is_not_held_against_it() {
    let mut watch = LeaseWatch::default();
    watch.observe(Some(&lease("a", "1999-01-01T00:00:00Z")), Instant::now());
    advance(Duration::from_secs(2)).await;
    let life = watch.observe(Some(&lease("a", "1999-01-01T00:00:02Z")), Instant::now());
    assert!(life.is_proven());
    advance(Duration::from_secs(15)).await;
    let life = watch.observe(Some(&lease("a", "1999-01-01T00:00:02Z")), Instant::now());
    assert_eq!(
        life,
        Life::Stale {
            holder: "a".to_owned()
        }
    );
}
