use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use zeron_core::metric::UnknownKind;
use zeron_core::roles::{BoundTrigger, ScalerRegistry};
use zeron_scalers::{AddressPolicy, Registry};
use zeron_tests::free_address;
use zeron_tests::process::resident_bytes;
use zeron_tests::servers::proxy::{FaultProxy, Mode};
use zeron_tests::until;

use super::world::{
    Answer, TIMEOUT, ask, bind, evaluate_within, list, read, redis, runtime, trigger,
};

/// What a reading may take beyond its timeout on a machine with much else to do.
const SLACK: Duration = Duration::from_secs(5);

/// Evaluates as the engine would until the value is known and `wanted`.
fn until_known(trigger: &BoundTrigger, wanted: f64) {
    let is_wanted = |answer: Answer| answer.is_ok_and(|it| it.value == wanted);
    until("the value to be known again", || {
        is_wanted(ask(trigger)).then_some(())
    });
}

/// A server of nonsense: says `words` to everybody, and no more.
fn says(words: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(mut client) = client else { return };
            std::thread::spawn(move || {
                let mut asked = [0; 1024];
                while client.read(&mut asked).is_ok_and(|read| read > 0) {
                    if client.write_all(words).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn an_address_where_nobody_listens_is_unknown_at_once_and_every_time() {
    let address = free_address();
    let trigger = bind(&list(address, "l"));
    for _ in 0..3 {
        let began = Instant::now();
        let error = ask(&trigger).unwrap_err();
        assert_eq!(error.kind, UnknownKind::Transport, "{}", error.message);
        assert!(
            error.message.contains(&address.to_string()),
            "{}",
            error.message
        );
        assert!(began.elapsed() < TIMEOUT, "{:?}", began.elapsed());
    }
}

#[test]
fn a_host_that_does_not_exist_is_unknown() {
    let mut spec = list(free_address(), "l");
    spec.metadata
        .insert("address".to_owned(), "no-such-host.invalid:6379".to_owned());
    let error = read(&spec).unwrap_err();
    assert!(
        matches!(error.kind, UnknownKind::Transport | UnknownKind::Timeout),
        "{}",
        error.message
    );
}

#[test]
fn a_server_that_restarts_between_two_readings_is_not_missed() {
    let name = "a_server_that_restarts_between_two_readings_is_not_missed";
    let Some(mut redis) = redis(name) else { return };
    let trigger = bind(&list(redis.address(), "l"));
    redis.cli(&["RPUSH", "l", "a"]);
    assert_eq!(ask(&trigger).unwrap().value, 1.0);
    for _ in 0..3 {
        redis.kill();
        redis.run();
        redis.cli(&["RPUSH", "l", "a", "b"]);
        assert_eq!(ask(&trigger).unwrap().value, 2.0);
    }
}

#[test]
fn a_killed_server_is_unknown_and_back_is_known_again() {
    let name = "a_killed_server_is_unknown_and_back_is_known_again";
    let Some(mut redis) = redis(name) else { return };
    let trigger = bind(&list(redis.address(), "l"));
    redis.cli(&["RPUSH", "l", "a"]);
    assert_eq!(ask(&trigger).unwrap().value, 1.0);
    redis.kill();
    for _ in 0..5 {
        assert_eq!(ask(&trigger).unwrap_err().kind, UnknownKind::Transport);
    }
    redis.run();
    redis.cli(&["RPUSH", "l", "a", "b"]);
    until_known(&trigger, 2.0);
}

#[test]
fn a_frozen_server_is_late_and_blocks_no_other_source() {
    let name = "a_frozen_server_is_late_and_blocks_no_other_source";
    let (Some(mut frozen), Some(good)) = (redis(name), redis(name)) else {
        return;
    };
    let (hung, fine) = (
        bind(&list(frozen.address(), "l")),
        bind(&list(good.address(), "l")),
    );
    frozen.cli(&["RPUSH", "l", "a"]);
    assert_eq!(ask(&hung).unwrap().value, 1.0);
    ask(&fine).unwrap();
    frozen.freeze();
    let timeout = Duration::from_secs(1);
    runtime().block_on(async {
        let timed = |trigger: BoundTrigger| async move {
            let began = Instant::now();
            let mut answers = trigger.scaler.evaluate(&[trigger.handle], timeout).await;
            (began.elapsed(), answers.remove(0))
        };
        let ((late, hung), (soon, fine)) = tokio::join!(timed(hung.clone()), timed(fine.clone()));
        assert_eq!(hung.unwrap_err().kind, UnknownKind::Timeout);
        assert!(late >= timeout && late < timeout + SLACK, "{late:?}");
        assert!(fine.is_ok() && soon < late, "{soon:?} {fine:?}");
    });
    frozen.thaw();
    until_known(&hung, 1.0);
}

#[test]
fn a_server_that_takes_connections_and_says_nothing_is_late_each_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let trigger = bind(&list(silent.local_addr().unwrap(), "l"));
    let timeout = Duration::from_millis(300);
    for _ in 0..3 {
        let began = Instant::now();
        let error = evaluate_within(&[&trigger], timeout).remove(0).unwrap_err();
        assert_eq!(error.kind, UnknownKind::Timeout);
        assert!(began.elapsed() < timeout + SLACK, "{:?}", began.elapsed());
    }
}

#[test]
fn nonsense_is_not_understood() {
    for words in [
        &b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"[..],
        b"\0\x01\x02\r\n",
        b":not a number\r\n",
        b"$-7x\r\n",
    ] {
        let error = read(&list(says(words), "l")).unwrap_err();
        assert_eq!(
            error.kind,
            UnknownKind::Parse,
            "{words:?}: {}",
            error.message
        );
    }
}

#[test]
fn numbers_that_are_no_counts_are_not_understood() {
    for words in [&b":-1\r\n"[..], b",nan\r\n", b",inf\r\n", b"$1\r\n7\r\n"] {
        let error = read(&list(says(words), "l")).unwrap_err();
        assert_eq!(
            error.kind,
            UnknownKind::Parse,
            "{words:?}: {}",
            error.message
        );
    }
}

#[test]
fn an_answer_that_promises_too_much_costs_no_memory() {
    let before = resident_bytes(std::process::id());
    for words in [
        &b"*2147483647\r\n"[..],
        b"$2147483647\r\n",
        b"*2147483647\r\n*2147483647\r\n",
    ] {
        let trigger = bind(&list(says(words), "l"));
        let answer = evaluate_within(&[&trigger], Duration::from_millis(300)).remove(0);
        assert!(answer.is_err());
    }
    let grown = resident_bytes(std::process::id()).saturating_sub(before);
    assert!(grown < 200 << 20, "{grown} bytes");
}

#[test]
fn a_connection_that_flaps_between_faults_comes_back_from_each() {
    let name = "a_connection_that_flaps_between_faults_comes_back_from_each";
    let Some(redis) = redis(name) else { return };
    redis.cli(&["RPUSH", "l", "a"]);
    let proxy = FaultProxy::before(redis.address());
    let trigger = bind(&list(proxy.address(), "l"));
    until_known(&trigger, 1.0);
    for mode in [Mode::Down, Mode::Garbage, Mode::Hang, Mode::Down] {
        proxy.set(mode);
        let answer = evaluate_within(&[&trigger], Duration::from_millis(500)).remove(0);
        assert!(answer.is_err(), "{mode:?}: {answer:?}");
        proxy.set(Mode::Pass);
        until_known(&trigger, 1.0);
    }
    proxy.set(Mode::Slow(Duration::from_millis(50)));
    until_known(&trigger, 1.0);
}

#[test]
fn addresses_that_triggers_may_not_reach_are_refused() {
    let spec = list(free_address(), "l");
    let bound = Registry::builtin(AddressPolicy::CLUSTER)
        .bind(&spec)
        .unwrap();
    let error = ask(&bound).unwrap_err();
    assert_eq!(error.kind, UnknownKind::Configuration, "{}", error.message);
    assert!(error.message.contains("may not reach"), "{}", error.message);
}

#[test]
fn servers_that_a_sentinel_or_a_cluster_names_are_checked_too() {
    // Where clouds serve the credentials of machines.
    let sentinel = says(b"*2\r\n$15\r\n169.254.169.254\r\n$2\r\n80\r\n");
    let cluster =
        says(b"*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$15\r\n169.254.169.254\r\n:80\r\n$2\r\nid\r\n");
    let (sentinel, cluster) = (sentinel.to_string(), cluster.to_string());
    let of_sentinel = [
        ("addresses", sentinel.as_str()),
        ("sentinelMaster", "m"),
        ("listName", "l"),
    ];
    let of_cluster = [("addresses", cluster.as_str()), ("listName", "l")];
    for spec in [
        trigger("redis-sentinel", &of_sentinel),
        trigger("redis-cluster", &of_cluster),
    ] {
        let error = read(&spec).unwrap_err();
        assert_eq!(error.kind, UnknownKind::Configuration, "{}", error.message);
        assert!(
            error.message.contains("169.254.169.254") && error.message.contains("may not reach"),
            "{}",
            error.message
        );
    }
}

#[test]
fn a_server_that_hangs_up_is_left_alone_for_a_while() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let trigger = bind(&list(listener.local_addr().unwrap(), "l"));
    let dialled = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&dialled);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            counted.fetch_add(1, Ordering::AcqRel);
            drop(client);
        }
    });
    let began = Instant::now();
    for _ in 0..200 {
        assert_eq!(ask(&trigger).unwrap_err().kind, UnknownKind::Transport);
    }
    // Pauses begin with 100 ms.
    let at_most = 2.0 + began.elapsed().as_secs_f64() / 0.1;
    let dialled = f64::from(dialled.load(Ordering::Acquire));
    assert!(dialled <= at_most, "{dialled} in {:?}", began.elapsed());
}
