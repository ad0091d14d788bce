//! Gauges that a Prometheus scrapes every second.

use std::net::SocketAddr;

use zeron_tests::servers::api::{Api, Reply};
use zeron_tests::servers::prometheus::Prometheus;

use super::{Started, Texts};
use crate::source::{Poison, Source};

struct Gauges {
    server: Prometheus,
    texts: Texts,
    _target: Api,
}

pub(super) fn start() -> Started {
    let texts = Texts::default();
    let shown = Texts::clone(&texts);
    let target = Api::start(move |_, _| {
        let texts = shown.lock().unwrap();
        let lines = texts
            .iter()
            .map(|(thing, text)| format!("work{{thing=\"{thing}\"}} {text}\n"));
        Reply::ok(lines.collect::<String>())
    });
    Ok(Box::new(Gauges {
        server: Prometheus::scraping(target.address())?,
        texts,
        _target: target,
    }))
}

impl Source for Gauges {
    fn kind(&self) -> &'static str {
        "prometheus"
    }

    fn server(&self) -> SocketAddr {
        self.server.address()
    }

    fn metadata(&self, thing: &str, address: SocketAddr) -> String {
        format!(
            "{{serverAddress: \"http://{address}\", query: 'work{{thing=\"{thing}\"}}', threshold: \"1\", ignoreNullValues: \"false\"}}"
        )
    }

    fn set(&mut self, thing: &str, work: u32) {
        let mut texts = self.texts.lock().unwrap();
        texts.insert(thing.to_owned(), work.to_string());
    }

    fn poison(&mut self, thing: &str, poison: Poison) -> bool {
        let text = match poison {
            Poison::NotANumber => "NaN",
            Poison::Infinite => "+Inf",
            Poison::Negative => "-5",
        };
        let mut texts = self.texts.lock().unwrap();
        texts.insert(thing.to_owned(), text.to_owned());
        true
    }

    fn remove(&mut self, thing: &str) -> bool {
        self.texts.lock().unwrap().remove(thing);
        true
    }

    fn kill(&mut self) -> bool {
        self.server.kill();
        true
    }

    fn restart(&mut self) {
        self.server.restart();
    }
}
