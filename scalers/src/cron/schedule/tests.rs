use super::*;

/// The next `count` times of `text` on the wall clock of `zone` after `from`, with their offsets.
fn times(text: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
    let schedule = Schedule::parse(text).unwrap();
    let zone = TimeZone::get(zone).unwrap();
    let mut now: Timestamp = from.parse().unwrap();
    (0..count)
        .map(|_| {
            now = schedule.next(&zone, now).unwrap();
            let at = now.to_zoned(zone.clone());
            at.strftime("%Y-%m-%d %H:%M:%S %z").to_string()
        })
        .collect()
}

#[test]
fn exactly_five_fields_are_taken() {
    for (text, count) in [
        ("0 8 * * 1-5 2030", 6),
        ("0 0 8 * * 1", 6),
        ("0 8 * *", 4),
        ("@daily", 1),
        ("@every 5m", 2),
        ("TZ=UTC 0 8 * * *", 6),
        ("", 0),
    ] {
        let error = Schedule::parse(text).unwrap_err();
        assert_eq!(error, ScheduleError::FieldCount(count), "{text}");
    }
}

#[test]
fn what_robfig_does_not_take_is_refused_with_the_part() {
    for text in [
        "60 8 * * *",
        "0 24 * * *",
        "0 8 0 * *",
        "0 8 32 * *",
        "0 8 * 13 *",
        "0 8 * * 7",
        "0 8 * * MONDAY",
        "0 8 L * *",
        "0 8 15W * *",
        "0 8 * * 5#2",
        "0 8 * * FRI-MON",
        "*/0 8 * * *",
        "/5 8 * * *",
        "1,,2 8 * * *",
        "-1 8 * * *",
        "+1 8 * * *",
        "1-2-3 8 * * *",
        "1/2/3 8 * * *",
        "jan 8 * * *",
        "0 8 * * +1",
    ] {
        let error = Schedule::parse(text).unwrap_err();
        assert!(
            matches!(error, ScheduleError::Field { .. }),
            "{text}: {error}"
        );
    }
    assert_eq!(
        Schedule::parse("0 8 * FOO *").unwrap_err().to_string(),
        "\"FOO\" is not allowed as month: numbers from 1 to 12, ranges, lists, steps, JAN to DEC"
    );
}

#[test]
fn a_day_that_never_comes_is_refused() {
    assert_eq!(
        Schedule::parse("0 0 30 2 *").unwrap_err(),
        ScheduleError::Never
    );
    assert_eq!(
        Schedule::parse("0 0 31 4,6 *").unwrap_err(),
        ScheduleError::Never
    );
    assert!(Schedule::parse("0 0 29 2 *").is_ok());
}

#[test]
fn names_steps_lists_and_ranges_are_understood() {
    let from = "2026-06-01T00:00:00Z";
    for (text, expected) in [
        (
            "*/20 * * * *",
            ["06-01 00:20", "06-01 00:40", "06-01 01:00"],
        ),
        (
            "5/25 3 * * *",
            ["06-01 03:05", "06-01 03:30", "06-01 03:55"],
        ),
        (
            "0 9-17/4 * * ?",
            ["06-01 09:00", "06-01 13:00", "06-01 17:00"],
        ),
        (
            "0 8 * * sat,Sun",
            ["06-06 08:00", "06-07 08:00", "06-13 08:00"],
        ),
        (
            "30 6 1 JUL-Sep *",
            ["07-01 06:30", "08-01 06:30", "09-01 06:30"],
        ),
        // Day of month or day of week, where both are restricted.
        (
            "0 0 10 * MON",
            ["06-08 00:00", "06-10 00:00", "06-15 00:00"],
        ),
        // A star, whatever its step of one, restricts nothing.
        (
            "0 0 */1 * MON",
            ["06-08 00:00", "06-15 00:00", "06-22 00:00"],
        ),
        (
            "0 0 *,5 * MON",
            ["06-08 00:00", "06-15 00:00", "06-22 00:00"],
        ),
    ] {
        let found = times(text, "UTC", from, 3);
        let expected = expected.map(|it| format!("2026-{it}:00 +0000"));
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn a_time_that_the_clock_skips_waits_for_the_next_day() {
    // Berlin goes from 02:00 to 03:00 on 29 March 2026, New York on 8 March.
    assert_eq!(
        times("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 2),
        ["2026-03-28 02:30:00 +0100", "2026-03-30 02:30:00 +0200"]
    );
    assert_eq!(
        times("30 2 * * *", "America/New_York", "2026-03-07T05:00:00Z", 2),
        ["2026-03-07 02:30:00 -0500", "2026-03-09 02:30:00 -0400"]
    );
    // Every half hour goes on without a hole.
    assert_eq!(
        times("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:15:00Z", 3),
        [
            "2026-03-29 01:30:00 +0100",
            "2026-03-29 03:00:00 +0200",
            "2026-03-29 03:30:00 +0200"
        ]
    );
}

#[test]
fn a_time_that_the_clock_shows_twice_happens_twice() {
    // Berlin goes from 03:00 back to 02:00 on 25 October 2026, New York from 02:00 to 01:00 on 1 November.
    assert_eq!(
        times("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 3),
        [
            "2026-10-25 02:30:00 +0200",
            "2026-10-25 02:30:00 +0100",
            "2026-10-26 02:30:00 +0100"
        ]
    );
    assert_eq!(
        times("30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", 3),
        [
            "2026-11-01 01:30:00 -0400",
            "2026-11-01 01:30:00 -0500",
            "2026-11-02 01:30:00 -0500"
        ]
    );
}

#[test]
fn midnight_that_does_not_exist_waits_for_the_next_day() {
    // Santiago goes from 24:00 to 01:00 on 6 September 2026.
    assert_eq!(
        times("0 0 * * *", "America/Santiago", "2026-09-05T12:00:00Z", 1),
        ["2026-09-07 00:00:00 -0300"]
    );
}

#[test]
fn the_second_itself_is_not_the_next() {
    let schedule = Schedule::parse("0 8 * * *").unwrap();
    let at: Timestamp = "2026-06-01T08:00:00Z".parse().unwrap();
    let before: Timestamp = "2026-06-01T07:59:59.999Z".parse().unwrap();
    assert_eq!(schedule.next(&TimeZone::UTC, before), Some(at));
    let next: Timestamp = "2026-06-02T08:00:00Z".parse().unwrap();
    assert_eq!(schedule.next(&TimeZone::UTC, at), Some(next));
}

#[test]
fn leap_days_are_found_across_eight_years() {
    let found = times("0 0 29 2 *", "Europe/Berlin", "2096-03-01T00:00:00Z", 1);
    assert_eq!(found, ["2104-02-29 00:00:00 +0100"]);
}
