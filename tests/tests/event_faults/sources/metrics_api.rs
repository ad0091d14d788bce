//! Numbers of an HTTP service of somebody's own.

use std::net::SocketAddr;

use zeron_tests::servers::api::{Api, Reply};

use super::{Started, Texts};
use crate::source::{Poison, Source};

const TOKEN: &str = "canary-metrics-api";

struct Numbers {
    server: Api,
    texts: Texts,
}

pub(super) fn start() -> Started {
    let texts = Texts::default();
    let shown = Texts::clone(&texts);
    let server = Api::start(move |head, _| {
        let expected = format!("Bearer {TOKEN}");
        let token = head
            .headers
            .get("authorization")
            .and_then(|it| it.to_str().ok());
        if token != Some(expected.as_str()) {
            return Reply::status(401, "who are you?");
        }
        match shown.lock().unwrap().get(&head.uri.path()[1..]) {
            Some(text) => Reply::ok(format!("{{\"work\": {text}}}")),
            None => Reply::status(404, "no such thing"),
        }
    });
    Ok(Box::new(Numbers { server, texts }))
}

impl Source for Numbers {
    fn kind(&self) -> &'static str {
        "metrics-api"
    }

    fn server(&self) -> SocketAddr {
        self.server.address()
    }

    fn metadata(&self, thing: &str, address: SocketAddr) -> String {
        format!(
            "{{url: \"http://{address}/{thing}\", valueLocation: work, targetValue: \"1\", authMode: bearer}}"
        )
    }

    fn credentials(&self, is_right: bool) -> Vec<(&'static str, String)> {
        let token = if is_right { TOKEN } else { "canary-wrong" };
        vec![("token", token.to_owned())]
    }

    fn set(&mut self, thing: &str, work: u32) {
        let mut texts = self.texts.lock().unwrap();
        texts.insert(thing.to_owned(), work.to_string());
    }

    fn poison(&mut self, thing: &str, poison: Poison) -> bool {
        let text = match poison {
            Poison::NotANumber => "\"NaN\"",
            Poison::Infinite => "1e999",
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
}
