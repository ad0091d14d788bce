//! Two activators, `a` (this one) and `b`: replica 1 is `b`'s, replicas 2 and 3 are `a`'s.

use super::*;

/// The others say that they have nothing at replicas 2 and 3.
fn admit(scene: &Scene, counts: &[(u64, u32)]) {
    let counts: Vec<_> = counts.iter().map(|(id, n)| (EndpointId(*id), *n)).collect();
    scene.function.admit(&counts, Instant::now());
}

fn claims(scene: &Scene) -> Vec<u64> {
    let attention = scene.function.attend(Instant::now());
    attention.claims.iter().map(|id| id.0).collect()
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_others_may_use_is_ours_once_they_have_answered() {
    let scene = Scene::new(1);
    scene.with_peer();
    scene.replicas(&[2]);
    let ticket = scene.waits();
    assert_eq!(claims(&scene), [2]);
    admit(&scene, &[(2, 1)]);
    assert_eq!(
        scene.load(),
        (0, 1),
        "another activator still has one there"
    );
    assert_eq!(claims(&scene), [2], "it is asked again");
    admit(&scene, &[(2, NOT_YET)]);
    assert_eq!(scene.load(), (0, 1));
    admit(&scene, &[(2, 0)]);
    assert!(now(ticket).await.unwrap().is_ok());
    assert!(claims(&scene).is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_ours_is_used_here_and_what_is_not_takes_a_hop() {
    let scene = Scene::new(1);
    scene.with_peer();
    scene.replicas(&[1, 2]);
    admit(&scene, &[(2, 0)]);
    let here = scene.granted();
    assert!(!here.is_elsewhere());
    let there = scene.granted();
    assert!(there.is_elsewhere());
    assert_eq!(scene.load(), (1, 0), "the other one counts it");
    let third = scene.waits();
    drop(there);
    let third = now(third).await.unwrap().unwrap();
    assert!(
        third.is_elsewhere(),
        "it goes where a slot is known to be free"
    );
    drop((here, third));
    assert_eq!(scene.load(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn whoever_has_nothing_of_its_own_sends_all_it_gets() {
    let scene = Scene::new(1);
    scene.with_peer();
    let first = scene.waits();
    scene.replicas(&[1]);
    let first = now(first).await.unwrap().unwrap();
    let second = scene.granted();
    assert!(first.is_elsewhere() && second.is_elsewhere());
    // It cannot be reached: back to the head, and left alone for a moment.
    let way = Arc::clone(&first.replica);
    let (entry, pause) = scene.function.fail_over(first, Instant::now());
    assert!(matches!(&entry, Entry::Waiting(_)) && pause.is_some());
    assert_eq!(scene.load(), (0, 1));
    scene.function.reinstate(&way, Instant::now());
    let Entry::Waiting(ticket) = entry else {
        return;
    };
    assert!(now(ticket).await.unwrap().unwrap().is_elsewhere());
}

#[tokio::test(start_paused = true)]
async fn a_hop_goes_no_further() {
    let scene = Scene::new(1);
    scene.with_peer();
    scene.replicas(&[1]);
    let Entry::Refused(refusal) = scene.hop() else {
        panic!("none of the replicas is ours");
    };
    assert_eq!(refusal.cause, Cause::Misdirected);
    scene.replicas(&[1, 2]);
    admit(&scene, &[(2, 0)]);
    let Entry::Granted(permit) = scene.hop() else {
        panic!("ours is free");
    };
    let Entry::Waiting(ticket) = scene.hop() else {
        panic!("ours is busy");
    };
    assert!(!permit.is_elsewhere());
    // All of ours go: who came by a hop is sent back.
    scene.replicas(&[1]);
    let refusal = now(ticket).await.unwrap().unwrap_err();
    assert_eq!(refusal.cause, Cause::Misdirected);
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_is_claimed_gets_no_new_work_here() {
    let scene = Scene::new(1);
    scene.with_peer();
    scene.replicas(&[2]);
    admit(&scene, &[(2, 0)]);
    let permit = scene.granted();
    let ask = |claimant| {
        scene
            .function
            .cede(&[EndpointId(2)], claimant, Instant::now())
    };
    assert_eq!(ask("b"), [1]);
    assert!(scene.granted().is_elsewhere(), "the claimant has it now");
    drop(permit);
    assert_eq!(ask("b"), [0]);
    // The ring still says that it is ours: after a while it is claimed back.
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(claims(&scene), [2]);
    assert_eq!(
        ask("b"),
        [NOT_YET],
        "of two claimants the first by name has it"
    );
}

#[tokio::test(start_paused = true)]
async fn without_others_and_without_a_limit_everything_is_ours() {
    let scene = Scene::new(0);
    scene.with_peer();
    scene.replicas(&[1, 2]);
    assert!((0..9).all(|_| !scene.granted().is_elsewhere()));
    let scene = Scene::new(1);
    scene.replicas(&[1, 2]);
    assert!(!scene.granted().is_elsewhere());
    assert!(claims(&scene).is_empty());
}
