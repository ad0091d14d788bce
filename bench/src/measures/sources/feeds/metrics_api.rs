//! An HTTP service: a number for each function.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Result;
use parking_lot::Mutex;
use serde_json::{Value, json};
use zeron_tests::broker::Unavailable;
use zeron_tests::servers::api::{Api, Reply};

use super::Feed;

struct NumberFeed {
    server: Api,
    numbers: Arc<Mutex<BTreeMap<String, u32>>>,
}

pub(super) fn numbers() -> Result<Box<dyn Feed>, Unavailable> {
    let numbers: Arc<Mutex<BTreeMap<String, u32>>> = Arc::default();
    let shown = Arc::clone(&numbers);
    let server = Api::start(move |head, _| {
        let number = shown.lock().get(&head.uri.path()[1..]).copied();
        Reply::ok(format!("{{\"work\": {}}}", number.unwrap_or(0)))
    });
    Ok(Box::new(NumberFeed { server, numbers }))
}

impl Feed for NumberFeed {
    fn kind(&self, _: bool) -> &'static str {
        "metrics-api"
    }

    fn metadata(&self, thing: &str, _: bool) -> Value {
        let url = self.server.url(&format!("/{thing}"));
        json!({"url": url, "valueLocation": "work", "targetValue": "1"})
    }

    fn emit(&mut self, thing: &str) -> Result<SystemTime> {
        let began = SystemTime::now();
        self.numbers.lock().insert(thing.to_owned(), 1);
        Ok(began)
    }
}
