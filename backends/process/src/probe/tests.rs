#![allow(clippy::unwrap_used)]

use super::*;

const PLAIN: ReadinessProbe = ReadinessProbe {
    check: ProbeCheck::Started,
    initial_delay: Duration::ZERO,
    period: None,
    timeout: Duration::from_secs(1),
    success_threshold: 1,
    failure_threshold: 3,
};

#[test]
fn steps_begin_at_a_tenth_of_a_millisecond_and_grow_with_the_age() {
    let start = Instant::now();
    let schedule = Schedule::new(start);
    let step = |age: Duration, crowd| {
        let now = start + age;
        schedule.next(Outcome::Refused, &PLAIN, now, crowd).unwrap()
    };
    assert_eq!(step(Duration::ZERO, 1), FINEST);
    assert_eq!(step(Duration::from_millis(3), 1), FINEST);
    assert_eq!(step(Duration::from_millis(64), 1), Duration::from_millis(2));
    assert_eq!(step(Duration::from_secs(60), 1), COARSEST);
    assert_eq!(step(Duration::ZERO, 20), 10 * FINEST);
}

#[test]
fn a_ready_replica_is_asked_again_only_when_a_period_is_declared() {
    let start = Instant::now();
    let mut schedule = Schedule::new(start);
    assert_eq!(schedule.record(Outcome::Yes, &PLAIN), Verdict::BecameReady);
    assert_eq!(schedule.next(Outcome::Yes, &PLAIN, start, 1), None);
    let periodic = ReadinessProbe {
        period: Some(Duration::from_secs(2)),
        ..PLAIN
    };
    let wait = schedule.next(Outcome::Yes, &periodic, start, 1);
    assert_eq!(wait, Some(Duration::from_secs(2)));
}

#[test]
fn thresholds_count_answers_in_a_row() {
    let probe = ReadinessProbe {
        success_threshold: 2,
        ..PLAIN
    };
    let mut schedule = Schedule::new(Instant::now());
    let outcomes = [
        (Outcome::Yes, Verdict::Unchanged),
        (Outcome::No, Verdict::Unchanged),
        (Outcome::Yes, Verdict::Unchanged),
        (Outcome::Yes, Verdict::BecameReady),
        (Outcome::No, Verdict::Unchanged),
        (Outcome::No, Verdict::Unchanged),
        (Outcome::Yes, Verdict::Unchanged),
        (Outcome::No, Verdict::Unchanged),
        (Outcome::Refused, Verdict::Unchanged),
        (Outcome::No, Verdict::BecameUnready),
    ];
    for (outcome, verdict) in outcomes {
        assert_eq!(schedule.record(outcome, &probe), verdict);
    }
}

#[test]
fn only_2xx_and_3xx_are_yes() {
    let answers = [
        ("HTTP/1.1 200 OK", Outcome::Yes),
        ("HTTP/1.0 204 No", Outcome::Yes),
        ("HTTP/1.1 399 x", Outcome::Yes),
        ("HTTP/1.1 400 Bad", Outcome::No),
        ("HTTP/1.1 503 Un", Outcome::No),
        ("HTTP/1.1 100 Co", Outcome::No),
        ("SSH-2.0-x 200 ", Outcome::No),
    ];
    for (answer, outcome) in answers {
        assert_eq!(judge(answer.as_bytes()), outcome, "{answer}");
    }
}

#[test]
fn a_request_has_the_kubelets_user_agent_unless_another_is_declared() {
    let target = SocketAddr::from(([127, 0, 0, 1], 80));
    let plain = request("/ready?x=1", &[], target);
    assert!(plain.starts_with("GET /ready?x=1 HTTP/1.1\r\nHost: 127.0.0.1:80\r\n"));
    assert!(plain.contains("User-Agent: kube-probe/"));
    let headers = [("host".to_owned(), "me".to_owned())];
    let given = request("ready", &headers, target);
    assert!(given.starts_with("GET /ready HTTP/1.1\r\n"));
    assert!(given.contains("host: me\r\n") && !given.contains("Host:"));
}

#[test]
fn nobody_listening_is_refused_at_once_and_a_listener_is_ready_at_once() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let check = ProbeCheck::Tcp { port: None };
    let yes = Attempt::begin(&check, Some(address));
    assert!(matches!(yes, Progress::Done(Outcome::Yes)));
    drop(listener);
    let no = Attempt::begin(&check, Some(address));
    assert!(matches!(no, Progress::Done(Outcome::Refused)));
}
