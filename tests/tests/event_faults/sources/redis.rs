//! Lists of a Redis server with a password, kept in its append-only file.

use std::net::SocketAddr;

use zeron_tests::servers::redis::{Options, Redis};

use super::Started;
use crate::source::Source;

const PASSWORD: &str = "canary-redis";

struct Lists {
    server: Redis,
}

pub(super) fn start() -> Started {
    let options = Options::with(&[("appendonly", "yes"), ("appendfsync", "always")]);
    let server = Redis::start_with(&options)?;
    let lists = Lists { server };
    lists.make_user();
    Ok(Box::new(lists))
}

impl Lists {
    /// The tests' own commands come as `default`, triggers as a user with a password.
    fn make_user(&self) {
        let rule = format!(">{PASSWORD}");
        let rights = ["resetpass", &rule, "~*", "&*", "+@all", "on"];
        self.server.cli(&[&["ACL", "SETUSER", "zeron"], &rights[..]].concat());
    }
}

impl Source for Lists {
    fn kind(&self) -> &'static str {
        "redis"
    }

    fn server(&self) -> SocketAddr {
        self.server.address()
    }

    fn metadata(&self, thing: &str, address: SocketAddr) -> String {
        format!("{{address: \"{address}\", username: zeron, listName: {thing}, listLength: \"1\"}}")
    }

    fn credentials(&self, is_right: bool) -> Vec<(&'static str, String)> {
        let password = if is_right { PASSWORD } else { "canary-wrong" };
        vec![("password", password.to_owned())]
    }

    fn set(&mut self, thing: &str, work: u32) {
        self.server.cli(&["DEL", thing]);
        if work > 0 {
            let items = vec!["x"; usize::try_from(work).unwrap()];
            self.server.cli(&[&["RPUSH", thing], &items[..]].concat());
        }
    }

    fn poison(&mut self, thing: &str) -> bool {
        // A text has no length that counts.
        self.server.cli(&["SET", thing, "not a list"]);
        true
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
