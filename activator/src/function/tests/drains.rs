//! Replicas that are taken out of rotation before they stop.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_drain_takes_the_idle_and_answers_when_the_busy_are_done() {
    let mut scene = Scene::new(1);
    scene.replicas(&[1, 2]);
    let busy = scene.granted();
    let (busy_id, idle_id) = (busy.replica.id.0, 3 - busy.replica.id.0);
    scene.drain(7, None);
    assert_eq!(scene.drained(), [(7, vec![idle_id])]);
    scene.drain(8, None);
    assert!(scene.drained().is_empty());
    let waiting = scene.waits();
    assert_eq!(scene.wakes(), [2], "nobody takes new work");
    drop(busy);
    assert!(
        scene.drained().is_empty(),
        "who waits came after the last report"
    );
    scene.function.report(Instant::now());
    assert!(scene.function.check_drain(DrainId(8), Instant::now()));
    assert_eq!(scene.drained(), [(8, vec![busy_id])]);
    scene.function.cancel_drain(DrainId(7), Instant::now());
    let permit = now(waiting).await.unwrap().unwrap();
    assert_eq!(permit.replica.id.0, idle_id);
}

#[tokio::test(start_paused = true)]
async fn a_drain_of_the_last_replica_waits_for_a_report_of_what_arrived() {
    let mut scene = Scene::new(1);
    scene.replicas(&[1]);
    drop(scene.granted());
    scene.drain(1, None);
    let told = scene.autoscaler.try_recv();
    assert!(matches!(told, Ok(ToAutoscaler::Wake(wake)) if wake.queued == 1));
    assert!(scene.drained().is_empty());
    scene.function.report(Instant::now());
    assert!(scene.function.check_drain(DrainId(1), Instant::now()));
    assert_eq!(scene.drained(), [(1, vec![1])]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_of_one_of_two_does_not_wait_for_a_report() {
    let mut scene = Scene::new(1);
    scene.replicas(&[1, 2]);
    drop(scene.granted());
    scene.drain(1, None);
    assert_eq!(scene.drained(), [(1, vec![2])]);
}

#[tokio::test(start_paused = true)]
async fn exactly_the_victims_are_taken_and_unknown_ones_count_as_gone() {
    let mut scene = Scene::new(1);
    scene.replicas(&[1, 2, 3]);
    scene.drain(4, Some(&[2, 9]));
    assert_eq!(scene.drained(), [(4, vec![2, 9])]);
    let permits = (scene.granted(), scene.granted());
    assert_eq!((permits.0.replica.id.0, permits.1.replica.id.0), (1, 3));
    drop(permits);
    // It was named before it was seen: it gets nothing either.
    scene.replicas(&[2, 9]);
    let ticket = scene.waits();
    // Asked again, it is answered again.
    scene.function.report(Instant::now());
    scene.drain(4, Some(&[2, 9]));
    assert_eq!(scene.drained(), [(4, vec![2, 9])]);
    scene.function.cancel_drain(DrainId(4), Instant::now());
    assert!(now(ticket).await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_was_to_stop_and_stays_serves_again() {
    let scene = Scene::new(1);
    scene.replicas(&[1, 2]);
    scene.drain(1, Some(&[1]));
    scene.function.report(Instant::now());
    let told = Instant::now();
    scene.function.settle_drain(DrainId(1), told);
    let _busy = scene.granted();
    let ticket = scene.waits();
    let soon = told + Duration::from_secs(29);
    assert!(scene.function.check_drain(DrainId(1), soon), "it may go");
    let later = told + Duration::from_secs(30);
    assert!(!scene.function.check_drain(DrainId(1), later));
    assert!(now(ticket).await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_last_replica_that_was_to_stop_and_stays_soon_serves_whoever_waits() {
    let scene = Scene::new(1);
    scene.replicas(&[1]);
    scene.drain(1, Some(&[1]));
    scene.function.report(Instant::now());
    let told = Instant::now();
    scene.function.settle_drain(DrainId(1), told);
    let ticket = scene.waits();
    let soon = told + Duration::from_secs(1);
    assert!(scene.function.check_drain(DrainId(1), soon), "it may go");
    let later = told + Duration::from_secs(2);
    assert!(!scene.function.check_drain(DrainId(1), later));
    assert!(now(ticket).await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_replica_serves_again_soon_after_the_platform_took_another_instead() {
    let scene = Scene::new(1);
    scene.replicas(&[1, 2]);
    scene.drain(1, Some(&[1]));
    scene.function.settle_drain(DrainId(1), Instant::now());
    scene.replicas(&[1]);
    let ticket = scene.waits();
    let soon = Instant::now() + Duration::from_secs(1);
    assert!(!scene.function.check_drain(DrainId(1), soon));
    let permit = now(ticket).await.unwrap().unwrap();
    assert_eq!(permit.replica.id, EndpointId(1));
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_goes_as_told_gets_nothing_until_it_is_gone() {
    let scene = Scene::new(1);
    scene.replicas(&[1, 2]);
    scene.drain(1, Some(&[1]));
    scene.function.settle_drain(DrainId(1), Instant::now());
    let leaving = Endpoint {
        is_draining: true,
        ..endpoint(1)
    };
    scene.observe(vec![leaving, endpoint(2)], None);
    let later = Instant::now() + Duration::from_secs(60);
    scene.function.check_drain(DrainId(1), later);
    let _busy = scene.granted();
    scene.waits();
    scene.replicas(&[2]);
    assert!(!scene.function.check_drain(DrainId(1), later));
}

/// A pod's sandbox was made anew: the same pod, at another address.
fn moved(id: u64) -> Endpoint {
    Endpoint {
        address: Some(([127, 0, 0, 2], 80).into()),
        ..endpoint(id)
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_moves_while_it_is_drained_stays_out_of_rotation() {
    let mut scene = Scene::new(1);
    scene.replicas(&[1, 2]);
    let permits = (scene.granted(), scene.granted());
    scene.drain(7, Some(&[1]));
    scene.observe(vec![moved(1), endpoint(2)], None);
    let ticket = scene.waits();
    assert!(scene.drained().is_empty(), "its request is not over");
    let (one, two) = match permits.0.replica.id.0 {
        1 => permits,
        _ => (permits.1, permits.0),
    };
    drop(one);
    assert_eq!(scene.drained(), [(7, vec![1])], "named once");
    drop(two);
    let permit = now(ticket).await.unwrap().unwrap();
    assert_eq!(permit.replica.id, EndpointId(2));
    // What was reported stays out too, also when it had no address for a moment.
    scene.function.report(Instant::now());
    scene.function.check_drain(DrainId(7), Instant::now());
    scene.replicas(&[2]);
    scene.replicas(&[1, 2]);
    let ticket = scene.waits();
    scene.function.cancel_drain(DrainId(7), Instant::now());
    let permit = now(ticket).await.unwrap().unwrap();
    assert_eq!(permit.replica.id, EndpointId(1), "never mind");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_moves_after_it_was_spared_serves() {
    let scene = Scene::new(1);
    scene.replicas(&[1]);
    scene.drain(1, Some(&[1]));
    scene.function.settle_drain(DrainId(1), Instant::now());
    tokio::time::advance(Duration::from_secs(30)).await;
    scene.observe(vec![moved(1)], None);
    drop(scene.granted());
}
