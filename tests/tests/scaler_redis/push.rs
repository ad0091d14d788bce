use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use zeron_core::policy::TriggerSpec;
use zeron_core::roles::{BoundTrigger, ScalerRegistry};
use zeron_tests::servers::redis::{Cluster, Options, Redis};
use zeron_tests::until;
use zeron_tests::wait::throughout;

use super::world::{clients, list, or_skip, redis, registry, runtime, stream, trigger, with};

/// Far below the time after which streams are looked at by themselves.
const UNHEARD: Duration = Duration::from_secs(10);

/// How long nothing must happen.
const QUIET: Duration = Duration::from_millis(500);

/// A trigger that is followed.
struct Followed {
    trigger: BoundTrigger,
    calls: Arc<AtomicU32>,
}

impl Followed {
    fn calls(&self) -> u32 {
        self.calls.load(Ordering::Acquire)
    }

    /// Waits for one more call than before `act`, and says how long after it that came.
    fn after(&self, act: impl FnOnce()) -> Duration {
        let before = self.calls();
        act();
        let began = Instant::now();
        while self.calls() == before {
            assert!(
                began.elapsed() < zeron_tests::PATIENCE,
                "nothing was pushed"
            );
            std::thread::yield_now();
        }
        began.elapsed()
    }

    /// Why nothing is pushed.
    fn trouble(&self) -> Option<String> {
        self.trigger.scaler.push_trouble(self.trigger.handle)
    }

    /// Nothing is pushed.
    fn is_quiet(&self) {
        let before = self.calls();
        throughout(QUIET, "nothing is pushed", || self.calls() == before);
    }
}

/// Follows all `specs` through one registry.
fn follow_all(specs: &[TriggerSpec]) -> Vec<Followed> {
    let registry = registry();
    let specs = specs.iter().map(|it| with(it.clone(), &[("push", "true")]));
    specs
        .map(|spec| {
            let trigger = registry.bind(&spec).unwrap();
            let calls = Arc::new(AtomicU32::new(0));
            let counted = Arc::clone(&calls);
            let on_change = move |_| {
                counted.fetch_add(1, Ordering::AcqRel);
            };
            let _inside = runtime().enter();
            assert!(trigger.scaler.watch(trigger.handle, Arc::new(on_change)));
            Followed { trigger, calls }
        })
        .collect()
}

fn follow(spec: &TriggerSpec) -> Followed {
    follow_all(std::slice::from_ref(spec)).remove(0)
}

/// Waits until the server knows of a client that waits for entries.
fn until_blocked(redis: &Redis, clients: usize) {
    let wanted = format!("blocked_clients:{clients}");
    until("the stream to be followed", || {
        redis
            .cli(&["INFO", "clients"])
            .lines()
            .any(|it| it.trim() == wanted)
            .then_some(())
    });
}

/// Waits until somebody listens to that many channels.
fn until_subscribed(redis: &Redis, channels: usize) {
    until("the lists to be followed", || {
        let found = redis.cli(&["PUBSUB", "CHANNELS"]);
        (found.split_whitespace().count() == channels).then_some(())
    });
}

/// A server that tells about its keys.
fn notifying(test: &str) -> Option<Redis> {
    let options = Options::with(&[("notify-keyspace-events", "KA")]);
    or_skip(test, Redis::start_with(&options))
}

#[test]
fn without_the_flag_nothing_is_followed() {
    let spec = list("127.0.0.1:1".parse().unwrap(), "l");
    let bound = registry().bind(&spec).unwrap();
    assert!(!bound.scaler.watch(bound.handle, Arc::new(|_| ())));
}

#[test]
fn an_entry_of_a_stream_is_pushed_and_stays_where_it_is() {
    let name = "an_entry_of_a_stream_is_pushed_and_stays_where_it_is";
    let Some(redis) = redis(name) else { return };
    let mut times = Vec::new();
    for at in 0..9 {
        // A function at zero: nothing is in the stream.
        let key = format!("s{at}");
        let followed = follow(&stream(redis.address(), &key, &[]));
        until_blocked(&redis, 1);
        times.push(followed.after(|| drop(redis.cli(&["XADD", &key, "*", "a", "1"]))));
        assert_eq!(redis.cli(&["XLEN", &key]), "1");
        assert_eq!(redis.cli(&["XINFO", "GROUPS", &key]), "");
        drop(followed);
        until_blocked(&redis, 0);
    }
    println!("from entry to push: {times:?}");
    assert!(times.iter().all(|it| *it < UNHEARD), "{times:?}");
}

#[test]
fn an_element_of_a_list_is_pushed() {
    let Some(redis) = notifying("an_element_of_a_list_is_pushed") else {
        return;
    };
    let mut times = Vec::new();
    for at in 0..9 {
        let key = format!("l{at}");
        let followed = follow(&list(redis.address(), &key));
        until_subscribed(&redis, 1);
        times.push(followed.after(|| drop(redis.cli(&["RPUSH", &key, "a"]))));
        followed.trigger.scaler.release(followed.trigger.handle);
        until_subscribed(&redis, 0);
    }
    println!("from element to push: {times:?}");
}

#[test]
fn only_what_activates_is_pushed() {
    let Some(redis) = notifying("only_what_activates_is_pushed") else {
        return;
    };
    let entries = stream(redis.address(), "s", &[("activationLagCount", "2")]);
    let elements = with(list(redis.address(), "l"), &[("activationListLength", "2")]);
    let followed = follow_all(&[entries, elements]);
    until_blocked(&redis, 1);
    until_subscribed(&redis, 1);
    for _ in 0..2 {
        redis.feed("XADD s * a 1\nRPUSH l a\n");
        followed.iter().for_each(Followed::is_quiet);
    }
    followed[0].after(|| redis.feed("XADD s * a 1\n"));
    followed[1].after(|| redis.feed("RPUSH l a\n"));
}

#[test]
fn elements_that_go_are_not_pushed() {
    let Some(redis) = notifying("elements_that_go_are_not_pushed") else {
        return;
    };
    redis.cli(&["RPUSH", "l", "a", "b", "c", "d"]);
    let followed = follow(&list(redis.address(), "l"));
    until("what is there to be pushed", || {
        (followed.calls() == 1).then_some(())
    });
    redis.feed("LPOP l\nRPOP l\nLREM l 1 b\n");
    followed.is_quiet();
}

#[test]
fn all_kinds_of_keys_with_elements_are_pushed() {
    let Some(redis) = notifying("all_kinds_of_keys_with_elements_are_pushed") else {
        return;
    };
    let keys = ["l", "s", "z", "h", "moved"];
    let followed = follow_all(&keys.map(|key| list(redis.address(), key)));
    until_subscribed(&redis, keys.len());
    let lines = [
        "LPUSH l a\n",
        "SADD s a\n",
        "ZADD z 1 a\n",
        "HSET h a 1\n",
        "RPOPLPUSH l moved\n",
    ];
    for (followed, line) in followed.iter().zip(lines) {
        followed.after(|| redis.feed(line));
    }
}

#[test]
fn a_busy_stream_is_pushed_a_bounded_number_of_times() {
    let name = "a_busy_stream_is_pushed_a_bounded_number_of_times";
    let Some(redis) = redis(name) else { return };
    let followed = follow(&stream(redis.address(), "s", &[]));
    until_blocked(&redis, 1);
    let began = Instant::now();
    redis.feed(&"XADD s * a 1\n".repeat(20_000));
    let seconds = began.elapsed().as_secs_f64();
    assert!(
        f64::from(followed.calls()) <= 3.0 + 2.0 * seconds,
        "{} in {seconds} s",
        followed.calls()
    );
    // What came last is seen too, though it came while nobody followed.
    until("the stream to be followed again", || {
        (followed.calls() >= 2).then_some(())
    });
}

#[test]
fn a_busy_stream_hides_no_arrival_in_the_streams_beside_it() {
    let name = "a_busy_stream_hides_no_arrival_in_the_streams_beside_it";
    let Some(redis) = redis(name) else { return };
    let at = redis.address();
    // It never activates, so it is looked at again and again.
    let mut specs = vec![stream(at, "busy", &[("activationLagCount", "1000000")])];
    specs.extend((0..100).map(|it| stream(at, &format!("s{it}"), &[])));
    let followed = follow_all(&specs);
    until_blocked(&redis, 1);
    std::thread::scope(|scope| {
        scope.spawn(|| redis.feed(&"XADD busy * a 1\n".repeat(50_000)));
        for (it, followed) in followed[1..].iter().enumerate() {
            followed.after(|| drop(redis.cli(&["XADD", &format!("s{it}"), "*", "a", "1"])));
        }
    });
    assert_eq!(followed[0].calls(), 0);
}

#[test]
fn nothing_is_set_where_notifications_are_off() {
    let Some(redis) = redis("nothing_is_set_where_notifications_are_off") else {
        return;
    };
    let followed = follow(&list(redis.address(), "l"));
    until("the setting to be read", || {
        let stats = redis.cli(&["INFO", "commandstats"]);
        stats.contains("cmdstat_config|get:calls=1").then_some(())
    });
    redis.cli(&["RPUSH", "l", "a"]);
    followed.is_quiet();
    let trouble = until("it to be said", || followed.trouble());
    assert!(trouble.contains("notify-keyspace-events"), "{trouble}");
    let setting = redis.cli(&["CONFIG", "GET", "notify-keyspace-events"]);
    assert_eq!(setting.trim(), "notify-keyspace-events");
    assert!(!redis.cli(&["INFO", "commandstats"]).contains("config|set"));
}

#[test]
fn a_key_of_another_type_leaves_the_streams_beside_it_followed() {
    let name = "a_key_of_another_type_leaves_the_streams_beside_it_followed";
    let Some(redis) = redis(name) else { return };
    redis.cli(&["RPUSH", "list", "a"]);
    let followed = follow_all(&["good", "list"].map(|key| stream(redis.address(), key, &[])));
    until_blocked(&redis, 1);
    followed[0].after(|| drop(redis.cli(&["XADD", "good", "*", "a", "1"])));
    assert_eq!(followed[1].calls(), 0);
}

#[test]
fn forgetting_closes_the_connections_and_ends_the_calls() {
    let name = "forgetting_closes_the_connections_and_ends_the_calls";
    let Some(redis) = notifying(name) else { return };
    let at = redis.address();
    let followed = follow_all(&[stream(at, "s", &[]), list(at, "l"), stream(at, "t", &[])]);
    until_blocked(&redis, 1);
    until_subscribed(&redis, 1);
    followed[0].after(|| drop(redis.cli(&["XADD", "s", "*", "a", "1"])));

    followed[0]
        .trigger
        .scaler
        .release(followed[0].trigger.handle);
    let before = followed[0].calls();
    followed[2].after(|| drop(redis.cli(&["XADD", "t", "*", "a", "1"])));
    redis.cli(&["XADD", "s", "*", "a", "1"]);
    followed[0].is_quiet();
    assert_eq!(followed[0].calls(), before);

    for it in &followed[1..] {
        it.trigger.scaler.release(it.trigger.handle);
    }
    until("one connection to be left", || {
        (clients(&redis) <= 1).then_some(())
    });
    drop(followed);
    until("no connection to be left", || {
        (clients(&redis) == 0).then_some(())
    });
}

#[test]
fn what_is_followed_comes_back_after_a_restart() {
    let Some(mut redis) = notifying("what_is_followed_comes_back_after_a_restart") else {
        return;
    };
    let at = redis.address();
    let followed = follow_all(&[stream(at, "s", &[]), list(at, "l")]);
    until_blocked(&redis, 1);
    until_subscribed(&redis, 1);
    redis.kill();
    for it in &followed {
        until("it to be said", || it.trouble());
    }
    redis.run();
    until_blocked(&redis, 1);
    until_subscribed(&redis, 1);
    followed[0].after(|| drop(redis.cli(&["XADD", "s", "*", "a", "1"])));
    followed[1].after(|| drop(redis.cli(&["RPUSH", "l", "a"])));
    assert!(followed.iter().all(|it| it.trouble().is_none()));
}

#[test]
fn what_arrived_while_nobody_followed_is_pushed_on_return() {
    let Some(mut redis) = notifying("what_arrived_while_nobody_followed_is_pushed_on_return")
    else {
        return;
    };
    let at = redis.address();
    let followed = follow_all(&[stream(at, "s", &[]), list(at, "l")]);
    until_blocked(&redis, 1);
    until_subscribed(&redis, 1);
    redis.kill();
    redis.run();
    redis.feed("XADD s * a 1\nRPUSH l a\n");
    for it in &followed {
        until("what arrived meanwhile to be pushed", || {
            (it.calls() > 0).then_some(())
        });
    }
}

#[test]
fn keys_of_every_node_of_a_cluster_are_followed_and_so_are_slots_that_move() {
    let name = "keys_of_every_node_of_a_cluster_are_followed_and_so_are_slots_that_move";
    let Some(mut cluster) = or_skip(name, Cluster::start()) else {
        return;
    };
    for node in cluster.nodes() {
        node.cli(&["CONFIG", "SET", "notify-keyspace-events", "KA"]);
    }
    let addresses = cluster.addresses();
    let mut specs: Vec<_> = (0..6)
        .map(|at| {
            let key = format!("l{at}");
            trigger(
                "redis-cluster",
                &[("addresses", &addresses), ("listName", &key)],
            )
        })
        .collect();
    specs.extend((0..6).map(|at| {
        let key = format!("s{at}");
        trigger(
            "redis-cluster-streams",
            &[("addresses", &addresses), ("stream", &key)],
        )
    }));
    let followed = follow_all(&specs);
    until("everything to be followed", || {
        let nodes = cluster.nodes().iter();
        let (channels, blocked) = nodes.fold((0, 0), |(channels, blocked), node| {
            let listened = node.cli(&["PUBSUB", "CHANNELS"]);
            let clients = node.cli(&["INFO", "clients"]);
            let waits = clients
                .lines()
                .find_map(|it| it.trim().strip_prefix("blocked_clients:"));
            let waits: usize = waits.unwrap().parse().unwrap();
            (
                channels + listened.split_whitespace().count(),
                blocked + waits,
            )
        });
        (channels == 6 && blocked == 6).then_some(())
    });
    for (at, it) in followed.iter().enumerate() {
        let line = if at < 6 {
            format!("RPUSH l{at} a\n")
        } else {
            format!("XADD s{} * a 1\n", at - 6)
        };
        it.after(|| cluster.feed(&line));
    }
    let to = (cluster.owner("s0") + 1) % 3;
    cluster.move_slot("s0", to);
    let moved = &cluster.nodes()[to];
    until("the stream to be followed at its new node", || {
        let clients = moved.cli(&["CLIENT", "LIST"]);
        (clients.matches("cmd=xread").count() >= 1).then_some(())
    });
    let before = followed[6].calls();
    until("the stream to be pushed from its new node", || {
        cluster.cli(&["XADD", "s0", "*", "a", "1"]);
        (followed[6].calls() > before).then_some(())
    });
}
