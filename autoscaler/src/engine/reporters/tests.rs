#![allow(clippy::unwrap_used)]

use std::time::Duration;

use zeron_core::FunctionId;
use zeron_core::policy::{Aggregation, KnativeMetric};

use super::*;
use crate::collector::Collector;

/// The shortest window that there is: what is missing of one second is a sixth.
const WINDOW: Duration = Duration::from_secs(6);
/// A moment that is no whole second for anybody.
const BASE: Duration = Duration::from_secs(1_000_000);
const TICK: u64 = 50;

/// Somebody who speaks once a second.
#[derive(Clone, Copy)]
struct Speaker {
    name: &'static str,
    /// When in the second, in milliseconds.
    at: u64,
    /// In flight, and of them through activators.
    load: (f64, f64),
    /// The seconds in which it speaks.
    from: u64,
    until: u64,
}

impl Speaker {
    const fn activator(name: &'static str, at: u64, carried: f64) -> Self {
        Self {
            name,
            at,
            load: (carried, 0.0),
            from: 0,
            until: u64::MAX,
        }
    }

    const fn scraper(at: u64, proxied: f64) -> Self {
        Self {
            name: REPORTER,
            at,
            load: (proxied, proxied),
            from: 0,
            until: u64::MAX,
        }
    }

    fn starting(self, second: u64) -> Self {
        Self {
            from: second,
            ..self
        }
    }

    fn ending(self, second: u64) -> Self {
        Self {
            until: second,
            ..self
        }
    }
}

struct Heard {
    reporters: Reporters,
    collector: Collector,
}

impl Heard {
    fn new() -> Self {
        Self {
            reporters: Reporters::default(),
            collector: Collector::new(Aggregation::Linear, WINDOW, Duration::from_secs(1)),
        }
    }

    fn hear(&mut self, name: &str, millis: u64, (total, proxied): (f64, f64)) {
        let now = at(millis);
        let sample = Sample {
            function: FunctionId::new("ns", "Revision", "a"),
            // As statistics are dated.
            at: Timestamp::from_secs(now.as_secs()),
            average_concurrency: total,
            average_proxied_concurrency: proxied,
            request_count: 2.0 * total,
            proxied_request_count: 2.0 * proxied,
            pod: name.into(),
        };
        for (at, load) in self.reporters.hear(&sample, sample.at, now) {
            self.collector.record(at, &load);
        }
    }

    /// Mean concurrency, as it is decided by; requests are twice as many.
    fn stable(&mut self, millis: u64) -> f64 {
        let now = at(millis);
        let more = self.reporters.outstanding(now);
        let mut stable = [KnativeMetric::Concurrency, KnativeMetric::Rps].map(|metric| {
            let averages = self.collector.averages_with(metric, now, &more);
            averages.map_or(0.0, |it| it.stable)
        });
        stable[1] /= 2.0;
        assert!((stable[0] - stable[1]).abs() < 1e-3, "{stable:?}");
        stable[0]
    }
}

fn at(millis: u64) -> Timestamp {
    Timestamp::EPOCH + BASE + Duration::from_millis(millis)
}

/// All speak for so many seconds; the averages at every moment, with the moment.
fn listen(speakers: &[Speaker], seconds: u64) -> Vec<(u64, f64)> {
    let mut heard = Heard::new();
    let mut averages = Vec::new();
    for tick in 0..seconds * 1_000 / TICK {
        let millis = tick * TICK;
        for it in speakers {
            let (second, within) = (millis / 1_000, millis % 1_000);
            if it.at == within && (it.from..it.until).contains(&second) {
                heard.hear(it.name, millis, it.load);
            }
        }
        averages.push((millis, heard.stable(millis + 1)));
    }
    averages
}

/// The largest and the smallest from a second on.
fn range(averages: &[(u64, f64)], from: u64) -> (f64, f64) {
    let since = averages
        .iter()
        .filter(|(millis, _)| *millis >= from * 1_000);
    since.fold((f64::MAX, f64::MIN), |(least, most), (_, average)| {
        (least.min(*average), most.max(*average))
    })
}

fn assert_steady(averages: &[(u64, f64)], from: u64, load: f64) {
    let (least, most) = range(averages, from);
    let close = |value: f64| (value - load).abs() < 1e-3;
    assert!(close(least) && close(most), "{least} to {most} of {load}");
}

#[test]
fn who_has_yet_to_speak_in_a_second_is_missed_at_no_moment_of_it() {
    let speakers = [
        Speaker::activator("a", 100, 4.0),
        Speaker::scraper(500, 10.0),
        Speaker::activator("b", 900, 6.0),
    ];
    assert_steady(&listen(&speakers, 20), 2, 10.0);
}

#[test]
fn replicas_that_requests_reach_by_themselves_are_missed_at_no_moment_either() {
    let direct = Speaker {
        load: (7.0, 3.0),
        ..Speaker::scraper(700, 0.0)
    };
    let speakers = [direct, Speaker::activator("a", 200, 3.0)];
    assert_steady(&listen(&speakers, 20), 2, 7.0);
}

#[test]
fn who_is_gone_counts_for_no_second_more_than_the_one_that_had_begun() {
    let speakers = [
        Speaker::activator("a", 100, 4.0),
        Speaker::activator("b", 900, 6.0).ending(10),
    ];
    let averages = listen(&speakers, 20);
    let at = |millis: u64| averages.iter().find(|it| it.0 == millis).unwrap().1;
    assert_eq!(at(10_500), 10.0, "it may only be late");
    assert_eq!(at(11_500), (6.0 * 4.0 + 4.0 * 6.0) / 6.0);
    assert_steady(&averages, 16, 4.0);
}

#[test]
fn reports_at_the_edge_of_a_second_count_for_one_each() {
    // Early and late by turns: every other second would have two, and the rest none.
    for first in [0, 1] {
        let mut heard = Heard::new();
        for second in 1..30 {
            let millis = second * 1_000;
            let edge = match second % 2 == first {
                true => millis + 20,
                false => millis - 20,
            };
            heard.hear("a", edge, (10.0, 0.0));
            let mut averages = vec![heard.stable(edge + 1)];
            heard.hear(REPORTER, millis + 300, (10.0, 10.0));
            averages.extend([400, 600, 800].map(|later| heard.stable(millis + later)));
            for average in averages {
                assert!((average - 10.0).abs() < 1e-3, "{second}: {average}");
            }
        }
    }
}

#[test]
fn what_activators_carry_counts_once_before_and_after_they_are_heard() {
    for heard in [50, 300, 800] {
        let speakers = [
            Speaker::scraper(300, 10.0),
            Speaker::activator("a", heard, 10.0).starting(12),
        ];
        assert_steady(&listen(&speakers, 30), 1, 10.0);
    }
}

#[test]
fn several_activators_that_are_heard_one_after_the_other_count_once() {
    let speakers = [
        Speaker::activator("a", 100, 4.0).starting(11),
        Speaker::scraper(500, 10.0),
        Speaker::activator("b", 900, 6.0).starting(10),
    ];
    assert_steady(&listen(&speakers, 30), 1, 10.0);
}

#[test]
fn what_the_unheard_of_several_activators_carry_counts_too() {
    let speakers = [
        Speaker::scraper(500, 10.0),
        Speaker::activator("a", 900, 4.0),
    ];
    assert_steady(&listen(&speakers, 30), 1, 10.0);
}

#[test]
fn an_activator_that_is_not_heard_any_more_leaves_a_hole_of_two_seconds_at_most() {
    let speakers = [
        Speaker::scraper(500, 12.0),
        Speaker::activator("a", 900, 12.0).ending(10),
    ];
    let averages = listen(&speakers, 30);
    let (least, most) = range(&averages, 1);
    // Three of five seconds at the worst moment.
    assert!(
        least >= 7.2 - 1e-3 && most <= 12.0 + 1e-3,
        "{least} to {most}"
    );
    assert_steady(&averages, 20, 12.0);
}

#[test]
fn what_activators_queue_is_more_than_replicas_know_and_all_of_it_counts() {
    let speakers = [
        Speaker::scraper(500, 10.0),
        Speaker::activator("a", 900, 50.0).starting(5),
    ];
    let averages = listen(&speakers, 20);
    assert_steady(&averages, 12, 50.0);
}

#[test]
fn statistics_that_waited_for_an_owner_take_the_place_of_what_was_scraped_meanwhile() {
    let mut heard = Heard::new();
    for second in 0..8 {
        heard.hear(REPORTER, second * 1_000 + 300, (10.0, 10.0));
    }
    let now = at(7_500);
    for second in 0..8 {
        let dated = Timestamp::from_secs(at(second * 1_000).as_secs());
        let sample = Sample {
            function: FunctionId::new("ns", "Revision", "a"),
            at: dated,
            average_concurrency: 10.0,
            average_proxied_concurrency: 0.0,
            request_count: 20.0,
            proxied_request_count: 0.0,
            pod: "a".into(),
        };
        for (at, load) in heard.reporters.hear(&sample, dated, now) {
            heard.collector.record(at, &load);
        }
        assert!((heard.stable(7_500) - 10.0).abs() < 1e-3);
    }
}

#[test]
fn a_function_at_rest_keeps_nothing() {
    let mut heard = Heard::new();
    heard.hear("a", 100, (4.0, 0.0));
    heard.hear(REPORTER, 500, (4.0, 4.0));
    assert_eq!(heard.reporters.known.len(), 2);
    heard.stable(11_500);
    assert_eq!(heard.reporters.known.capacity(), 0);
    assert_eq!(heard.reporters.seconds.capacity(), 0);
}

#[test]
fn reporters_are_bounded() {
    let mut heard = Heard::new();
    for number in 0..2 * MOST {
        heard.hear(&number.to_string(), 100, (1.0, 0.0));
    }
    assert_eq!(heard.reporters.known.len(), MOST);
    assert_eq!(heard.reporters.seconds.len(), 1);
}
