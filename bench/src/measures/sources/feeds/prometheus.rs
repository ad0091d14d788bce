//! Prometheus: a series for each function, of a target that it scrapes.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, ensure};
use parking_lot::{Condvar, Mutex};
use serde_json::{Value, json};
use zeron_tests::broker::Unavailable;
use zeron_tests::servers::api::{Api, Reply};
use zeron_tests::servers::prometheus::Prometheus;

use super::Feed;

/// How often the target is scraped: the server's own delay is none of ours, and shall be short.
const SCRAPE_EVERY: Duration = Duration::from_millis(100);
/// Until a series is scraped.
const SCRAPED_WITHIN: Duration = Duration::from_secs(30);

/// What the target shows.
#[derive(Default)]
struct Shown {
    series: Mutex<BTreeMap<String, Series>>,
    scraped: Condvar,
}

#[derive(Default)]
struct Series {
    value: u32,
    /// When a scrape first took the value.
    scraped_at: Option<SystemTime>,
}

struct SeriesFeed {
    server: Prometheus,
    shown: Arc<Shown>,
    _target: Api,
}

pub(super) fn series() -> Result<Box<dyn Feed>, Unavailable> {
    let shown: Arc<Shown> = Arc::default();
    let scraped = Arc::clone(&shown);
    let target = Api::start(move |_, _| Reply::ok(scraped.scrape()));
    let server = Prometheus::scraping_every(target.address(), SCRAPE_EVERY)?;
    Ok(Box::new(SeriesFeed {
        server,
        shown,
        _target: target,
    }))
}

impl Shown {
    fn scrape(&self) -> String {
        let now = SystemTime::now();
        let mut text = String::new();
        for (thing, series) in self.series.lock().iter_mut() {
            series.scraped_at.get_or_insert(now);
            writeln!(text, "work{{thing=\"{thing}\"}} {}", series.value)
                .expect("writing to a string cannot fail");
        }
        self.scraped.notify_all();
        text
    }

    fn set(&self, thing: &str, value: u32) {
        let series = Series {
            value,
            scraped_at: None,
        };
        self.series.lock().insert(thing.to_owned(), series);
    }

    /// When the newest value of a series was scraped.
    fn wait(&self, thing: &str) -> Result<SystemTime> {
        let deadline = Instant::now() + SCRAPED_WITHIN;
        let mut all = self.series.lock();
        loop {
            if let Some(at) = all.get(thing).and_then(|series| series.scraped_at) {
                return Ok(at);
            }
            let waited = self.scraped.wait_until(&mut all, deadline);
            ensure!(!waited.timed_out(), "{thing} is not scraped");
        }
    }
}

impl Feed for SeriesFeed {
    fn kind(&self, _: bool) -> &'static str {
        "prometheus"
    }

    fn metadata(&self, thing: &str, _: bool) -> Value {
        json!({
            "serverAddress": self.server.url(),
            "query": format!("work{{thing=\"{thing}\"}}"),
            "threshold": "1",
            // What was not scraped is unknown: the measure waits until it is.
            "ignoreNullValues": "false",
        })
    }

    fn make(&mut self, thing: &str) -> Result<()> {
        self.shown.set(thing, 0);
        Ok(())
    }

    /// Counts from the scrape that has the event: before it the server does not know.
    fn emit(&mut self, thing: &str) -> Result<SystemTime> {
        self.shown.set(thing, 1);
        self.shown.wait(thing)
    }
}
