#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use serde_json::Value;
use zeron_core::Timestamp;

use super::*;

/// The activator's own counting of one function, as it reports it.
struct Counted {
    since: f64,
    changed: f64,
    area: f64,
    open: u32,
    arrived: u32,
}

impl Counted {
    fn new(now: f64) -> Self {
        Self {
            since: now,
            changed: now,
            area: 0.0,
            open: 0,
            arrived: 0,
        }
    }

    fn advance(&mut self, now: f64) {
        self.area += f64::from(self.open) * (now - self.changed);
        self.changed = now;
    }

    /// `None`: it had nothing.
    fn report(&mut self, name: &str, now: f64) -> Option<Stat> {
        self.advance(now);
        let span = now - self.since;
        let average = if span > 0.0 { self.area / span } else { 0.0 };
        let arrived = std::mem::take(&mut self.arrived);
        (self.since, self.area) = (now, 0.0);
        let had_any = average > 0.0 || arrived > 0 || self.open > 0;
        had_any.then(|| Stat {
            function: id(name),
            at: Timestamp::EPOCH,
            average_concurrency: average,
            request_count: f64::from(arrived),
            in_flight: self.open,
            queued: 0,
            busy: Vec::new(),
        })
    }
}

fn id(key: &str) -> FunctionId {
    let (namespace, name) = key.split_once('/').unwrap();
    FunctionId::new(namespace, proto::REVISION, name)
}

fn amounts(messages: &[proto::WireStatMessage]) -> BTreeMap<String, (f64, f64)> {
    let amount = |message: &proto::WireStatMessage| {
        let stat = message.stat.as_ref().unwrap();
        assert_eq!((stat.pod_name.as_str(), stat.timestamp), ("act", 0));
        let key = format!("{}/{}", message.namespace, message.name);
        (key, (stat.average_concurrent_requests, stat.request_count))
    };
    messages.iter().map(amount).collect()
}

fn wanted(want: &Value) -> BTreeMap<String, (f64, f64)> {
    let amount = |it: &Value| {
        let number = |name: &str| it[name].as_f64().unwrap();
        let key = it["revision"].as_str().unwrap().to_owned();
        (key, (number("concurrency"), number("requests")))
    };
    want.as_array().unwrap().iter().map(amount).collect()
}

fn compare(what: &str, got: &BTreeMap<String, (f64, f64)>, want: &BTreeMap<String, (f64, f64)>) {
    let is_near = |(a, b): (&(f64, f64), &(f64, f64))| (a.0 - b.0).abs() < 1e-9 && a.1 == b.1;
    let is_same = got.keys().eq(want.keys()) && got.values().zip(want.values()).all(is_near);
    assert!(is_same, "{what}: {got:?} instead of {want:?}");
}

#[test]
fn the_reports_are_those_of_the_original() {
    let file: Value = serde_json::from_str(include_str!(
        "../../../tests/vectors/activator-reports.json"
    ))
    .unwrap();
    let cases = file["activator"].as_array().unwrap();
    assert_eq!(cases.len(), 6);
    for case in cases {
        let mut rules = Rules::new("act");
        let mut counted: BTreeMap<String, Counted> = BTreeMap::new();
        let mut open: BTreeMap<u64, String> = BTreeMap::new();
        for op in case["ops"].as_array().unwrap() {
            let now = op["t_us"].as_f64().unwrap() / 1e6;
            let what = format!("{} at {now}", case["name"]);
            match op["op"].as_str().unwrap() {
                "in" => {
                    let key = op["revision"].as_str().unwrap().to_owned();
                    let function = counted.entry(key.clone());
                    let function = function.or_insert_with(|| Counted::new(now));
                    function.advance(now);
                    function.open += 1;
                    function.arrived += 1;
                    let sent: Vec<_> = rules.wake(&id(&key), true).into_iter().collect();
                    compare(&what, &amounts(&sent), &wanted(&op["want"]));
                    open.insert(op["id"].as_u64().unwrap(), key);
                }
                "out" => {
                    let key = open.remove(&op["id"].as_u64().unwrap()).unwrap();
                    let function = counted.get_mut(&key).unwrap();
                    function.advance(now);
                    function.open -= 1;
                }
                _ => {
                    let mut stats = Vec::new();
                    counted.retain(|key, it| {
                        let stat = it.report(key, now);
                        let is_active = stat.is_some();
                        stats.extend(stat);
                        is_active
                    });
                    let sent = rules.report(&stats, true);
                    compare(&what, &amounts(&sent), &wanted(&op["want"]));
                }
            }
        }
    }
}

#[test]
fn a_first_request_that_nobody_heard_of_is_told_later() {
    let mut rules = Rules::new("act");
    assert_eq!(rules.wake(&id("ns/a"), false), None);
    let mut counted = Counted::new(0.0);
    (counted.open, counted.arrived) = (1, 1);
    let stat = counted.report("ns/a", 1.0).unwrap();
    rules.report(std::slice::from_ref(&stat), false);
    let told = rules.untold();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].0, id("ns/a"));
    assert_eq!(rules.untold(), []);
    let sent = amounts(&rules.report(&[stat], true));
    assert_eq!(sent["ns/a"], (0.0, 0.0));
}
