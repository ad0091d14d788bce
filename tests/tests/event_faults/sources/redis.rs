//! Lists and streams of a Redis server with a password, kept in its append-only file; alone, as a cluster of one, and as
//! the master of a sentinel. The latter two say where they are: behind the way.

use std::net::SocketAddr;

use zeron_tests::servers::proxy::FaultProxy;
use zeron_tests::servers::redis::{MASTER, Options, Redis, Sentinel};

use zeron_tests::broker::Unavailable;
use zeron_tests::until;

use super::Started;
use crate::source::{Poison, Source};

const PASSWORD: &str = "canary-redis";

/// The group whose pending entries count.
const GROUP: &str = "workers";

struct Keys {
    server: Redis,
    is_stream: bool,
    setup: Setup,
}

/// How clients find the server.
enum Setup {
    Single,
    /// With the port that it tells them, once there is a way to it.
    Cluster(Option<u16>),
    /// With what it watches, until it is asked for.
    Sentinel(Box<Sentinel>, Option<FaultProxy>),
}

pub(super) fn start_lists() -> Started {
    start(false, &[], |_| Ok(Setup::Single))
}

pub(super) fn start_streams() -> Started {
    start(true, &[], |_| Ok(Setup::Single))
}

pub(super) fn start_cluster() -> Started {
    let bus = zeron_tests::free_address().port().to_string();
    let settings = [
        ("cluster-enabled", "yes"),
        ("cluster-port", &*bus),
        ("cluster-announce-ip", "127.0.0.1"),
    ];
    start(false, &settings, |server| {
        server.cli(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
        until("the cluster to have all slots", || {
            let info = server.cli(&["CLUSTER", "INFO"]);
            info.contains("cluster_state:ok").then_some(())
        });
        Ok(Setup::Cluster(None))
    })
}

pub(super) fn start_sentinel() -> Started {
    start(false, &[], |server| {
        let way = FaultProxy::before(server.address());
        let sentinel = Sentinel::start(way.address(), None)?;
        Ok(Setup::Sentinel(Box::new(sentinel), Some(way)))
    })
}

fn start(
    is_stream: bool,
    settings: &[(&str, &str)],
    set_up: impl FnOnce(&Redis) -> Result<Setup, Unavailable>,
) -> Started {
    let common = [("appendonly", "yes"), ("appendfsync", "always")];
    let options = Options::with(&[&common, settings].concat());
    let server = Redis::start_with(&options)?;
    let setup = set_up(&server)?;
    let keys = Keys {
        server,
        is_stream,
        setup,
    };
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

    fn announce(&self) {
        if let Setup::Cluster(Some(port)) = self.setup {
            let port = port.to_string();
            let words = ["CONFIG", "SET", "cluster-announce-port", &port];
            assert_eq!(self.server.cli(&words), "OK");
        }
    }
}

impl Source for Keys {
    fn kind(&self) -> &'static str {
        match self.setup {
            Setup::Single if self.is_stream => "redis-streams",
            Setup::Single => "redis",
            Setup::Cluster(_) => "redis-cluster",
            Setup::Sentinel(..) => "redis-sentinel",
        }
    }

    fn server(&self) -> SocketAddr {
        self.server.address()
    }

    fn way(&mut self) -> FaultProxy {
        let made = match &mut self.setup {
            Setup::Sentinel(_, way) => way.take(),
            Setup::Single | Setup::Cluster(_) => None,
        };
        let way = made.unwrap_or_else(|| FaultProxy::before(self.server.address()));
        if let Setup::Cluster(port) = &mut self.setup {
            *port = Some(way.address().port());
        }
        self.announce();
        way
    }

    fn metadata(&self, thing: &str, address: SocketAddr) -> String {
        let what = if self.is_stream {
            format!("stream: {thing}, consumerGroup: {GROUP}, pendingEntriesCount: \"1\"")
        } else {
            format!("listName: {thing}, listLength: \"1\"")
        };
        let server = match &self.setup {
            Setup::Single => format!("address: \"{address}\""),
            Setup::Cluster(_) => format!("addresses: \"{address}\""),
            Setup::Sentinel(sentinel, _) => {
                let address = sentinel.address();
                format!("addresses: \"{address}\", sentinelMaster: {MASTER}")
            }
        };
        format!("{{{server}, username: zeron, {what}}}")
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

    fn poison(&mut self, thing: &str, poison: Poison) -> bool {
        // A text has no length that counts, and no length is infinite or negative.
        if poison == Poison::NotANumber {
            self.server.cli(&["SET", thing, "not a list"]);
        }
        poison == Poison::NotANumber
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
        self.announce();
    }
}
