use zeron_core::metric::UnknownKind;
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::ScalerRegistry;
use zeron_tests::servers::redis::{MASTER, Options, Redis, Sentinel};
use zeron_tests::until;

use super::world::{ask, bind, or_skip, read, redis, registry, trigger, value, with, with_auth};

fn list(sentinel: &Sentinel, name: &str) -> TriggerSpec {
    let address = sentinel.address().to_string();
    let given = [
        ("addresses", address.as_str()),
        ("sentinelMaster", MASTER),
        ("listName", name),
    ];
    trigger("redis-sentinel", &given)
}

#[test]
fn the_master_is_found_by_the_sentinel() {
    let name = "the_master_is_found_by_the_sentinel";
    let Some(master) = redis(name) else { return };
    let Some(sentinel) = or_skip(name, Sentinel::start(master.address(), None)) else {
        return;
    };
    master.feed("RPUSH l a b\nXADD x * a 1\nSELECT 2\nRPUSH l a\n");
    let spec = list(&sentinel, "l");
    assert_eq!(value(&spec), 2.0);
    assert_eq!(value(&with(spec.clone(), &[("databaseIndex", "2")])), 1.0);
    let address = sentinel.address().to_string();
    let given = [
        ("addresses", address.as_str()),
        ("sentinelMaster", MASTER),
        ("stream", "x"),
    ];
    assert_eq!(value(&trigger("redis-sentinel-streams", &given)), 1.0);
    // A sentinel that is gone does not matter while another answers.
    let both = format!("127.0.0.1:1,{address}");
    assert_eq!(value(&with(spec.clone(), &[("addresses", &both)])), 2.0);

    let error = read(&with(spec, &[("sentinelMaster", "another")])).unwrap_err();
    assert_eq!(error.kind, UnknownKind::Missing, "{}", error.message);
    assert!(error.message.contains("\"another\""), "{}", error.message);
}

#[test]
fn sentinels_have_credentials_of_their_own() {
    let name = "sentinels_have_credentials_of_their_own";
    let Some(master) = redis(name) else { return };
    let sentinel = Sentinel::start(master.address(), Some("canary"));
    let Some(sentinel) = or_skip(name, sentinel) else {
        return;
    };
    master.cli(&["RPUSH", "l", "a"]);
    let spec = list(&sentinel, "l");
    assert_eq!(
        value(&with_auth(spec.clone(), &[("sentinelPassword", "canary")])),
        1.0
    );
    for wrong in [
        with_auth(spec.clone(), &[("sentinelPassword", "canary-2")]),
        spec,
    ] {
        let error = read(&wrong).unwrap_err();
        assert_eq!(error.kind, UnknownKind::Authentication, "{}", error.message);
        assert!(!error.message.contains("canary"), "{}", error.message);
    }
}

#[test]
fn a_failover_is_followed() {
    let name = "a_failover_is_followed";
    let Some(mut master) = redis(name) else {
        return;
    };
    let of = format!("127.0.0.1 {}", master.address().port());
    let replica = Redis::start_with(&Options::with(&[("replicaof", &of)]));
    let Some(replica) = or_skip(name, replica) else {
        return;
    };
    let Some(sentinel) = or_skip(name, Sentinel::start(master.address(), None)) else {
        return;
    };
    master.cli(&["RPUSH", "l", "a", "b"]);
    let trigger = registry().bind(&list(&sentinel, "l")).unwrap();
    assert_eq!(ask(&trigger).unwrap().value, 2.0);
    until("the replica to be known and equal", || {
        let known = sentinel.cli(&["SENTINEL", "replicas", MASTER]);
        (known.contains(&replica.address().port().to_string())
            && replica.cli(&["LLEN", "l"]) == "2")
            .then_some(())
    });

    master.kill();
    until("the new master to be read", || {
        let answer = ask(&trigger);
        assert!(
            answer.is_err() || answer.as_ref().unwrap().value == 2.0,
            "{answer:?}"
        );
        (answer.is_ok() && replica.cli(&["ROLE"]).starts_with("master")).then_some(())
    });
    replica.cli(&["RPUSH", "l", "c"]);
    assert_eq!(ask(&trigger).unwrap().value, 3.0);
}

#[test]
fn no_sentinel_that_answers_is_unknown() {
    let given = [
        ("addresses", "127.0.0.1:1,127.0.0.1:2"),
        ("sentinelMaster", MASTER),
        ("listName", "l"),
    ];
    let trigger = bind(&trigger("redis-sentinel", &given));
    assert_eq!(ask(&trigger).unwrap_err().kind, UnknownKind::Transport);
}
