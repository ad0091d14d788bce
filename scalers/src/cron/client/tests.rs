use tokio::time::Instant;

use super::*;
use crate::testkit::spec;

/// A clock that goes with tokio's, from half an hour before eight on a Monday.
fn clock() -> Clock {
    let began = Instant::now();
    let first: Timestamp = "2026-06-01T07:30:00Z".parse().unwrap();
    Arc::new(move || first + jiff::SignedDuration::try_from(began.elapsed()).unwrap())
}

fn trigger(start: &str, end: &str) -> Arc<CronTrigger> {
    let metadata = [
        ("timezone", "UTC"),
        ("start", start),
        ("end", end),
        ("desiredReplicas", "3"),
    ];
    let spec = spec("cron", &metadata, &[]);
    Arc::new(CronTrigger::parse(&spec).0.unwrap())
}

/// Handles, and when they were told of.
type Told = Arc<Mutex<Vec<(u64, Duration)>>>;

/// Notes when it was told of what.
fn noted(began: Instant) -> (Told, OnChange) {
    let told = Told::default();
    let on_change = {
        let told = Arc::clone(&told);
        move |handle: TriggerHandle| told.lock().push((handle.0, began.elapsed()))
    };
    (told, Arc::new(on_change))
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn an_opening_is_told_at_its_second_and_again_the_next_day() {
    let began = Instant::now();
    let client = CronClient::new(clock());
    let (told, on_change) = noted(began);
    assert!(client.watch(
        TriggerHandle(1),
        &trigger("0 8 * * *", "0 9 * * *"),
        on_change
    ));
    tokio::time::sleep(MINUTE * 60 * 26).await;
    let told: Vec<_> = told.lock().iter().map(|(_, at)| at.as_secs()).collect();
    assert_eq!(told, [30 * 60, 24 * 3600 + 30 * 60]);
}

#[tokio::test(start_paused = true)]
async fn each_trigger_is_told_of_its_own_opening_alone() {
    let began = Instant::now();
    let client = CronClient::new(clock());
    let (told, on_change) = noted(began);
    let late = trigger("0 12 * * *", "0 13 * * *");
    let soon = trigger("45 7 * * *", "0 9 * * *");
    assert!(client.watch(TriggerHandle(1), &late, Arc::clone(&on_change)));
    assert!(client.watch(TriggerHandle(2), &soon, on_change));
    tokio::time::sleep(MINUTE * 60 * 10).await;
    let told: Vec<_> = told.lock().iter().map(|(handle, _)| *handle).collect();
    assert_eq!(told, [2, 1]);
}

#[tokio::test(start_paused = true)]
async fn what_is_forgotten_is_not_told_and_the_timer_ends() {
    let began = Instant::now();
    let client = CronClient::new(clock());
    let (told, on_change) = noted(began);
    let trigger = trigger("0 8 * * *", "0 9 * * *");
    assert!(client.watch(TriggerHandle(1), &trigger, Arc::clone(&on_change)));
    tokio::time::sleep(MINUTE).await;
    client.forget(TriggerHandle(1), &trigger);
    tokio::time::sleep(MINUTE * 60).await;
    assert!(told.lock().is_empty());
    assert!(!client.openings.state.lock().is_followed);
    // A later one begins anew.
    assert!(client.watch(TriggerHandle(2), &trigger, on_change));
    tokio::time::sleep(MINUTE * 60 * 24).await;
    assert_eq!(told.lock().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_timer_ends_with_its_client() {
    let client = CronClient::new(clock());
    let openings = Arc::downgrade(&client.openings);
    let (told, on_change) = noted(Instant::now());
    client.watch(
        TriggerHandle(1),
        &trigger("0 8 * * *", "0 9 * * *"),
        on_change,
    );
    drop(client);
    tokio::time::sleep(MINUTE * 60).await;
    assert!(told.lock().is_empty());
    assert!(openings.upgrade().is_none());
}

#[tokio::test(start_paused = true)]
async fn all_triggers_are_read_at_one_moment() {
    let client = CronClient::new(clock());
    let triggers = [
        trigger("0 7 * * *", "0 9 * * *"),
        trigger("0 8 * * *", "0 9 * * *"),
    ];
    let read = client.read(&triggers, MINUTE).await;
    let values: Vec<_> = read.into_iter().map(|it| it.unwrap()[0].value).collect();
    assert_eq!(values, [3.0, 0.0]);
}
