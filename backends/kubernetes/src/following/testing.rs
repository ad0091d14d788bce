//! What tests of watches share: an API server that fails when it is told to.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};

type Answer = http::Response<UnsyncBoxBody<Bytes, std::io::Error>>;

/// Answers every list with the same objects, and every watch with silence.
#[derive(Debug, Default)]
pub(crate) struct Server {
    fails: AtomicBool,
    /// `list` or `watch`, with `fails` where it did.
    log: Mutex<Vec<&'static str>>,
}

impl Server {
    /// From now on its watches break, and nobody answers; or not any more.
    pub(crate) fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::Relaxed);
    }

    /// Lists that were answered.
    pub(crate) fn lists(&self) -> usize {
        self.log.lock().iter().filter(|it| **it == "list").count()
    }

    /// A client of it, whose lists have these objects.
    pub(crate) fn client(self: &Arc<Self>, objects: &[Value]) -> Client {
        let list = json!({"metadata": {"resourceVersion": "7"}, "items": objects});
        let (own, list) = (Arc::clone(self), Bytes::from(list.to_string()));
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let (own, list) = (Arc::clone(&own), list.clone());
            let query = request.uri().query().unwrap_or_default();
            let is_watch = query.contains("watch=true");
            async move { own.answer(is_watch, list) }
        });
        Client::new(service, "default")
    }

    fn answer(self: Arc<Self>, is_watch: bool, list: Bytes) -> Result<Answer, tower::BoxError> {
        let fails = self.fails.load(Ordering::Relaxed);
        self.log.lock().push(match (is_watch, fails) {
            (true, true) => "watch fails",
            (false, true) => "list fails",
            (true, false) => "watch",
            (false, false) => "list",
        });
        if fails {
            return Err("nobody is there".into());
        }
        let body = match is_watch {
            // Silent until the connection breaks.
            true => StreamBody::new(futures_util::stream::once(async move {
                while !self.fails.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(std::io::Error::other("broken"))
            }))
            .boxed_unsync(),
            false => Full::new(list)
                .map_err(std::io::Error::other)
                .boxed_unsync(),
        };
        Ok(http::Response::new(body))
    }
}
