//! Lists and streams of a Redis server with a password, kept in its append-only file.

use std::net::SocketAddr;

use zeron_tests::servers::redis::{Options, Redis};

use super::Started;
use crate::source::Source;

const PASSWORD: &str = "canary-redis";

/// The group whose pending entries count.
const GROUP: &str = "workers";

struct Keys {
    server: Redis,
    is_stream: bool,
}

pub(super) fn start_lists() -> Started {
    start(false)
}

pub(super) fn start_streams() -> Started {
    start(true)
}

fn start(is_stream: bool) -> Started {
    let options = Options::with(&[("appendonly", "yes"), ("appendfsync", "always")]);
    let server = Redis::start_with(&options)?;
    let keys = Keys { server, is_stream };
    keys.make_user();
    Ok(Box::new(keys))
}

impl Keys {
    /// The tests' own commands come as `default`, triggers as a user with a password.
    fn make_user(&self) {
        let rule = format!(">{PASSWORD}");
        let rights = ["resetpass", &rule, "~*", "&*", "+@all", "on"];
        self.server
            .cli(&[&["ACL", "SETUSER", "zeron"], &rights[..]].concat());
    }
}

impl Source for Keys {
    fn kind(&self) -> &'static str {
        if self.is_stream {
            "redis-streams"
        } else {
            "redis"
        }
    }

    fn server(&self) -> SocketAddr {
        self.server.address()
    }

    fn metadata(&self, thing: &str, address: SocketAddr) -> String {
        let what = if self.is_stream {
            format!("stream: {thing}, consumerGroup: {GROUP}, pendingEntriesCount: \"1\"")
        } else {
            format!("listName: {thing}, listLength: \"1\"")
        };
        format!("{{address: \"{address}\", username: zeron, {what}}}")
    }

    fn credentials(&self, is_right: bool) -> Vec<(&'static str, String)> {
        let password = if is_right { PASSWORD } else { "canary-wrong" };
        vec![("password", password.to_owned())]
    }

    fn set(&mut self, thing: &str, work: u32) {
        self.server.cli(&["DEL", thing]);
        if self.is_stream {
            let group = ["XGROUP", "CREATE", thing, GROUP, "0", "MKSTREAM"];
            self.server.cli(&group);
            for _ in 0..work {
                self.server.cli(&["XADD", thing, "*", "work", "x"]);
            }
            // Somebody takes them, and does not say that they are done.
            let take = ["XREADGROUP", "GROUP", GROUP, "one", "STREAMS", thing, ">"];
            self.server.cli(&take);
        } else if work > 0 {
            let items = vec!["x"; usize::try_from(work).unwrap()];
            self.server.cli(&[&["RPUSH", thing], &items[..]].concat());
        }
    }

    fn poison(&mut self, thing: &str) -> bool {
        // A text has no length that counts.
        self.server.cli(&["SET", thing, "not a list"]);
        true
    }

    fn remove(&mut self, thing: &str) -> bool {
        // A list that is gone is empty; a stream that is gone has no group: unknown.
        if self.is_stream {
            self.server.cli(&["DEL", thing]);
        }
        self.is_stream
    }

    fn kill(&mut self) -> bool {
        self.server.kill();
        true
    }

    fn restart(&mut self) {
        self.server.run();
        self.make_user();
    }
}
