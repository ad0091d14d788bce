#![allow(clippy::unwrap_used)]

use zeron_core::EndpointId;

use super::*;

fn id(name: &str) -> FunctionId {
    FunctionId::new("ns", "Deployment", name)
}

fn wish(base: u32, replicas: u32) -> Wish {
    Wish {
        replicas,
        victims: Arc::from([]),
        base: Some(base),
        asked: Instant::now(),
        is_doubtful: false,
    }
}

fn popped(queue: &mut Queue, now: Instant) -> Vec<(String, u32)> {
    std::iter::from_fn(|| queue.pop(now))
        .map(|(id, wish, _)| (id.name().to_owned(), wish.replicas))
        .collect()
}

fn pair(name: &str, replicas: u32) -> (String, u32) {
    (name.to_owned(), replicas)
}

#[tokio::test(start_paused = true)]
async fn waking_goes_before_up_before_down() {
    let mut queue = Queue::new(64);
    queue.push(&id("down"), wish(5, 1));
    queue.push(&id("up"), wish(1, 5));
    queue.push(&id("cold"), wish(0, 1));
    let order = popped(&mut queue, Instant::now());
    assert_eq!(order, [pair("cold", 1), pair("up", 5), pair("down", 1)]);
}

#[tokio::test(start_paused = true)]
async fn the_newest_wish_wins_and_one_write_per_function_is_under_way() {
    let (mut queue, now) = (Queue::new(64), Instant::now());
    queue.push(&id("a"), wish(0, 1));
    queue.push(&id("a"), wish(0, 3));
    assert_eq!(popped(&mut queue, now), [pair("a", 3)]);
    queue.push(&id("a"), wish(0, 7));
    queue.push(&id("a"), wish(0, 9));
    assert!(popped(&mut queue, now).is_empty());
    queue.complete(&id("a"), wish(0, 3), &Ended::Done, now);
    assert_eq!(popped(&mut queue, now), [pair("a", 9)]);
    queue.complete(&id("a"), wish(0, 9), &Ended::Done, now);
    assert_eq!(queue.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_limit_are_under_way() {
    let (mut queue, now) = (Queue::new(2), Instant::now());
    for name in ["a", "b", "c"] {
        queue.push(&id(name), wish(0, 1));
    }
    assert_eq!(popped(&mut queue, now).len(), 2);
    queue.complete(&id("a"), wish(0, 1), &Ended::Done, now);
    assert_eq!(popped(&mut queue, now), [pair("c", 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_delays_its_function_alone_as_long_as_the_server_says() {
    let (mut queue, now) = (Queue::new(64), Instant::now());
    queue.push(&id("a"), wish(0, 1));
    queue.pop(now);
    let after = Some(Duration::from_secs(3));
    let pause = queue.complete(&id("a"), wish(0, 1), &Ended::Failed { after }, now);
    assert_eq!(pause.pause, after);
    queue.push(&id("b"), wish(0, 1));
    queue.push(&id("a"), wish(0, 2));
    assert_eq!(popped(&mut queue, now), [pair("b", 1)]);
    assert_eq!(queue.next_at(), Some(now + Duration::from_secs(3)));
    let later = now + Duration::from_secs(3);
    assert_eq!(popped(&mut queue, later), [pair("a", 2)]);
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_wishes_wait_the_newest_wins_and_one_tries_for_all() {
    let (mut queue, now) = (Queue::new(64), Instant::now());
    for name in ["a", "b", "c"] {
        queue.push(&id(name), wish(0, 1));
    }
    let (first, tried, _) = queue.pop(now).unwrap();
    queue.complete(&first, tried, &Ended::Outage, now);
    assert!(queue.pop(now).is_none());
    queue.push(&id("b"), wish(0, 4));
    let later = now + Duration::from_secs(1);
    let (second, tried, _) = queue.pop(later).unwrap();
    assert!(queue.pop(later).is_none(), "one tries");
    queue.complete(&second, tried, &Ended::Done, later);
    let rest = popped(&mut queue, later);
    assert!(
        rest.contains(&pair("b", 4)) || second == id("b"),
        "{rest:?}"
    );
    assert_eq!(rest.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_wish_without_a_target_waits_for_it() {
    let (mut queue, now) = (Queue::new(64), Instant::now());
    queue.push(&id("a"), wish(0, 1));
    let (_, tried, _) = queue.pop(now).unwrap();
    queue.complete(&id("a"), tried, &Ended::Parked, now);
    assert!(queue.pop(now).is_none());
    assert!(queue.unpark(&id("a")));
    assert_eq!(popped(&mut queue, now), [pair("a", 1)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_withdrawn_is_neither_written_nor_tried_again() {
    let (mut queue, now) = (Queue::new(64), Instant::now());
    for name in ["waits", "sent", "not-sent", "failed"] {
        queue.push(&id(name), wish(0, 1));
    }
    let waited = queue.withdraw(&id("waits"));
    assert_eq!(waited.dropped.map(|wish| wish.replicas), Some(1));
    assert!(waited.is_over);
    let begun: Vec<_> = std::iter::from_fn(|| queue.pop(now)).collect();
    assert_eq!(begun.len(), 3);
    for (id, tried, flight) in begun {
        let (is_sent, is_withdrawn) = (id.name() == "sent", id.name() != "failed");
        assert!(!is_sent || flight.send());
        assert!(
            !is_withdrawn || queue.withdraw(&id).is_over != is_sent,
            "{id}"
        );
        assert_eq!(flight.send(), !is_withdrawn, "{id}");
        queue.complete(&id, tried, &Ended::Failed { after: None }, now);
    }
    let failed = queue.withdraw(&id("failed"));
    assert!(failed.is_over && failed.dropped.is_some());
    assert_eq!((queue.len(), queue.next_at()), (0, None));
    assert!(queue.pop(now + Duration::from_secs(60)).is_none());
}

#[tokio::test(start_paused = true)]
async fn of_wishes_that_lower_the_newest_takes_all_victims_and_others_are_given_back() {
    let (mut queue, now) = (Queue::new(64), Instant::now());
    let victims = |ids: &[u64]| ids.iter().copied().map(EndpointId).collect::<Arc<[_]>>();
    let lower = |replicas, ids| Wish {
        victims: victims(ids),
        ..wish(5, replicas)
    };
    assert_eq!(queue.push(&id("a"), lower(3, &[7, 9])), None);
    assert_eq!(queue.push(&id("a"), lower(2, &[8])), None);
    let (_, tried, _) = queue.pop(now).unwrap();
    assert_eq!(tried.victims, victims(&[7, 8, 9]));
    // A newer one came during an attempt that failed.
    queue.push(&id("a"), lower(1, &[6]));
    let failed = Ended::Failed { after: None };
    assert_eq!(queue.complete(&id("a"), tried, &failed, now).dropped, None);
    let dropped = queue.push(&id("a"), wish(5, 5)).unwrap();
    assert_eq!(dropped.victims, victims(&[6, 7, 8, 9]));
}

#[tokio::test(start_paused = true)]
async fn a_wish_that_nothing_comes_of_is_given_back() {
    let (mut queue, now) = (Queue::new(64), Instant::now());
    for (ended, is_dropped) in [
        (Ended::Done, false),
        (Ended::Moot, true),
        (Ended::Refused, true),
        (Ended::CalledOff, true),
    ] {
        queue.push(&id("a"), wish(5, 2));
        let (_, tried, _) = queue.pop(now).unwrap();
        let completion = queue.complete(&id("a"), tried, &ended, now);
        assert_eq!(completion.dropped.is_some(), is_dropped, "{ended:?}");
        assert_eq!((completion.pause, queue.len()), (None, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_wished_after_a_withdrawal_is_written() {
    let (mut queue, now) = (Queue::new(64), Instant::now());
    queue.push(&id("a"), wish(5, 2));
    let (_, tried, _) = queue.pop(now).unwrap();
    queue.withdraw(&id("a"));
    queue.push(&id("a"), wish(5, 3));
    queue.complete(&id("a"), tried, &Ended::CalledOff, now);
    assert_eq!(popped(&mut queue, now), [pair("a", 3)]);
}
