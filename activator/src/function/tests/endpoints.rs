//! What an endpoint stands for, and whose word on its readiness counts.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_endpoint_for_many_replicas_takes_what_all_of_them_may() {
    let scene = Scene::new(2);
    let many = |replicas, shared_by| Endpoint {
        replicas,
        shared_by,
        ..endpoint(1)
    };
    scene.observe(vec![many(3, 1)], None);
    let mut permits: Vec<_> = (0..6).map(|_| scene.granted()).collect();
    let ticket = scene.waits();
    scene.observe(vec![many(4, 1)], None);
    permits.push(now(ticket).await.unwrap().unwrap());
    permits.push(scene.granted());
    // Another activator sends there as well: half of it is ours.
    scene.observe(vec![many(4, 2)], None);
    permits.truncate(4);
    let ticket = scene.waits();
    permits.pop();
    drop(now(ticket).await.unwrap().unwrap());
}

#[tokio::test(start_paused = true)]
async fn where_a_probe_is_needed_the_platforms_word_is_not_enough() {
    let scene = Scene::new(1);
    let at = |is_ready| Endpoint {
        is_ready,
        is_probe_needed: true,
        probe: Some(Arc::default()),
        ..endpoint(1)
    };
    scene.observe(vec![at(true)], None);
    let ticket = scene.waits();
    let key = scene.function.state.lock().seats[0].replica.key;
    scene.function.probed(key, Instant::now());
    drop(now(ticket).await.unwrap().unwrap());
    scene.observe(vec![at(false)], None);
    drop(scene.waits());
}

#[tokio::test(start_paused = true)]
async fn our_own_probe_counts_until_the_platform_takes_it_back() {
    let scene = Scene::new(1);
    let at = |is_ready| Endpoint {
        is_ready,
        probe: Some(Arc::default()),
        ..endpoint(1)
    };
    let probed = || {
        let seats = &scene.function.state.lock().seats;
        seats.iter().any(|seat| seat.wants_probe().is_some())
    };
    scene.observe(vec![at(false)], None);
    let ticket = scene.waits();
    let key = scene.function.state.lock().seats[0].replica.key;
    scene.function.probed(key, Instant::now());
    drop(now(ticket).await.unwrap().unwrap());
    scene.observe(vec![at(false)], None);
    drop(scene.granted());
    scene.observe(vec![at(true)], None);
    assert!(!probed());
    scene.observe(vec![at(false)], None);
    assert!(probed(), "it is asked again");
    drop(scene.waits());
}
