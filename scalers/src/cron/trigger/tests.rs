use super::*;

fn spec(metadata: &[(&str, &str)]) -> TriggerSpec {
    crate::testkit::spec("cron", metadata, &[])
}

fn window(zone: &str, start: &str, end: &str) -> CronTrigger {
    let (trigger, problems) = CronTrigger::parse(&spec(&[
        ("timezone", zone),
        ("start", start),
        ("end", end),
        ("desiredReplicas", "4"),
    ]));
    assert_eq!(problems, []);
    trigger.unwrap()
}

fn is_open(trigger: &CronTrigger, at: &str) -> bool {
    trigger.at(at.parse().unwrap()).unwrap().is_open
}

fn problems(metadata: &[(&str, &str)]) -> Vec<String> {
    let (trigger, problems) = CronTrigger::parse(&spec(metadata));
    assert!(trigger.is_none());
    problems.into_iter().map(|it| it.message).collect()
}

#[test]
fn the_window_is_open_from_its_start_to_its_end() {
    let office = window("Europe/Berlin", "0 8 * * 1-5", "0 18 * * 1-5");
    // A Monday in summer: Berlin is two hours ahead.
    assert!(!is_open(&office, "2026-06-01T05:59:59Z"));
    assert!(is_open(&office, "2026-06-01T06:00:00Z"));
    assert!(is_open(&office, "2026-06-01T15:59:59Z"));
    assert!(!is_open(&office, "2026-06-01T16:00:00Z"));
    // Saturday.
    assert!(!is_open(&office, "2026-06-06T10:00:00Z"));
    // The same hour in winter.
    assert!(!is_open(&office, "2026-12-01T06:59:59Z"));
    assert!(is_open(&office, "2026-12-01T07:00:00Z"));
}

#[test]
fn a_window_may_span_midnight() {
    let night = window("UTC", "0 22 * * *", "0 6 * * *");
    assert!(is_open(&night, "2026-06-01T23:00:00Z"));
    assert!(is_open(&night, "2026-06-02T05:59:59Z"));
    assert!(!is_open(&night, "2026-06-02T06:00:00Z"));
    assert!(!is_open(&night, "2026-06-02T12:00:00Z"));
}

// What follows from comparing next occurrences; the original does the same.

#[test]
fn a_start_that_the_clock_skips_leaves_the_window_open_from_the_end_before() {
    let early = window("Europe/Berlin", "30 2 * * *", "0 6 * * *");
    assert!(!is_open(&early, "2026-03-27T12:00:00Z"));
    // 29 March has no half past two: after six on the 28th, the next end comes before the next start.
    assert!(is_open(&early, "2026-03-28T12:00:00Z"));
    assert!(is_open(&early, "2026-03-29T03:59:59Z"));
    assert!(!is_open(&early, "2026-03-29T04:00:00Z"));
    assert!(is_open(&early, "2026-03-30T00:30:00Z"));
    let york = window("America/New_York", "30 2 * * *", "0 6 * * *");
    assert!(is_open(&york, "2026-03-07T18:00:00Z"));
    assert!(!is_open(&york, "2026-03-08T18:00:00Z"));
}

#[test]
fn an_end_that_the_clock_skips_leaves_the_window_closed_that_day() {
    let york = window("America/New_York", "0 1 * * *", "30 2 * * *");
    assert!(is_open(&york, "2026-03-07T06:30:00Z"));
    // 8 March has no half past two: after one, the next start comes before the next end.
    assert!(!is_open(&york, "2026-03-08T06:30:00Z"));
    assert!(is_open(&york, "2026-03-09T05:30:00Z"));
    let berlin = window("Europe/Berlin", "0 1 * * *", "30 2 * * *");
    assert!(!is_open(&berlin, "2026-03-29T00:30:00Z"));
    assert!(is_open(&berlin, "2026-03-29T23:30:00Z"));
}

#[test]
fn an_hour_that_comes_twice_opens_and_closes_twice() {
    let hour = window("Europe/Berlin", "0 2 * * *", "30 2 * * *");
    // 25 October: 02:00 summer time is midnight UTC.
    assert!(is_open(&hour, "2026-10-25T00:10:00Z"));
    assert!(!is_open(&hour, "2026-10-25T00:40:00Z"));
    assert!(is_open(&hour, "2026-10-25T01:10:00Z"));
    assert!(!is_open(&hour, "2026-10-25T01:40:00Z"));
    let york = window("America/New_York", "0 1 * * *", "30 1 * * *");
    assert!(is_open(&york, "2026-11-01T05:10:00Z"));
    assert!(!is_open(&york, "2026-11-01T05:40:00Z"));
    assert!(is_open(&york, "2026-11-01T06:10:00Z"));
    assert!(!is_open(&york, "2026-11-01T06:40:00Z"));
}

#[test]
fn an_open_window_asks_for_its_replicas_and_a_closed_one_for_none() {
    let office = window("Etc/UTC", "0 8 * * 1-5", "*/30 18 * * ?");
    let open = office
        .reading("2026-06-01T09:00:00Z".parse().unwrap())
        .unwrap();
    assert_eq!(open[0].value, 4.0);
    assert_eq!(open[0].target, 1.0);
    assert_eq!(open[0].activity, Activity::Declared(true));
    assert_eq!(open[0].metric, "cron-Etc-UTC-08xx1-5-xSl3018xxQm");
    let closed = office
        .reading("2026-06-01T03:00:00Z".parse().unwrap())
        .unwrap();
    assert_eq!(closed[0].value, 0.0);
    assert_eq!(closed[0].activity, Activity::Declared(false));
}

#[test]
fn everything_wrong_is_named_at_once() {
    let found = problems(&[
        ("timezone", "Europe/Berlln"),
        ("start", "0 8 * * * *"),
        ("end", "@daily"),
        ("desiredReplicas", "0"),
    ]);
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found[0].contains("Europe/Berlln"), "{found:?}");
    assert!(
        found[1].starts_with("start: expected 5 fields"),
        "{found:?}"
    );
    assert!(found[2].starts_with("end: expected 5 fields"), "{found:?}");
    assert!(found[3].contains("desiredReplicas"), "{found:?}");
    assert_eq!(problems(&[]).len(), 4);
}

#[test]
fn start_and_end_must_differ() {
    let found = problems(&[
        ("timezone", "UTC"),
        ("start", "0 8 * * *"),
        ("end", "0 8 * * *"),
        ("desiredReplicas", "1"),
    ]);
    assert_eq!(found, ["start and end must differ"]);
}
