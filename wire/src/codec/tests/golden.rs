//! The bytes of version 1, as every build that speaks it writes and reads them, and what a later
//! one may add to them. Never change one of these: a new version gets its own.

use super::*;

const HELLO: &str = "0a0708011201611801";
const REPORT: &str = "124a0a460a130a026e73120a4465706c6f796d656e741a016610d0a84b19000000000000f83f\
     210000000000001c40280230013a10ffffffffffffffff0700000000000000420302ac021001";
const WAKE: &str = "1a190a130a026e73120a4465706c6f796d656e741a016610031804";
const DRAINED: &str = "223009090000000000000012130a026e73120a4465706c6f796d656e741a0166\
     1a1005000000000000000600000000000000";
const GOODBYE: &str = "2a00";
const WELCOME: &str = "0a020801";
const DRAIN: &str = "122c09090000000000000012130a026e73120a4465706c6f796d656e741a0166\
     1802220805000000000000002801";
const DRAIN_ANY: &str = "122009090000000000000012130a026e73120a4465706c6f796d656e741a01661802";
const CANCEL: &str = "190900000000000000";
const WOKEN: &str = "22130a026e73120a4465706c6f796d656e741a0166";
const SETTLED: &str = "290900000000000000";

/// The same with a field 100 that says `later`, in the frame and in each message within.
const LATER_HELLO: &str = "0a0f08011201611802a206056c61746572a206056c61746572";
const LATER_REPORT: &str = "12620a560a1b0a026e73120a4465706c6f796d656e741a0166a206056c61746572\
     10d0a84b19000000000000f83f210000000000001c40280230013a10ffffffffffffffff0700000000000000\
     420302ac02a206056c617465721001a206056c61746572a206056c61746572";
const LATER_WELCOME: &str = "0a0a0801a206056c61746572a206056c61746572";
const LATER_DRAIN: &str = "123c090900000000000000121b0a026e73120a4465706c6f796d656e741a0166\
     a206056c617465721802220805000000000000002801a206056c61746572a206056c61746572";
/// A kind of message that nobody knows yet.
const LATER_KIND: &str = "a206056c61746572";

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn f() -> FunctionId {
    FunctionId::new("ns", "Deployment", "f")
}

fn load() -> Stat {
    Stat {
        function: f(),
        at: Timestamp::from_millis(1_234),
        average_concurrency: 1.5,
        request_count: 7.0,
        in_flight: 2,
        queued: 1,
        busy: vec![(EndpointId(u64::MAX), 2), (EndpointId(7), 300)],
    }
}

fn one_drain(victims: Option<Vec<EndpointId>>) -> ToActivator {
    ToActivator::Drain(Drain {
        id: DrainId(9),
        function: f(),
        count: 2,
        victims,
    })
}

#[test]
fn what_an_activator_says_in_version_1() {
    let waking = Wake {
        function: f(),
        in_flight: 3,
        queued: 4,
    };
    let answer = Drained {
        id: DrainId(9),
        function: f(),
        endpoints: vec![EndpointId(5), EndpointId(6)],
    };
    let reported = FromActivator::Report {
        stats: vec![load()],
        is_last: true,
    };
    let greeting = FromActivator::Hello {
        versions: Versions::new(1, 1).unwrap(),
        name: "a".to_owned(),
    };
    let frames = [
        (HELLO, hello(Versions::new(1, 1).unwrap(), "a"), greeting),
        (REPORT, report(&[load()]).unwrap().remove(0), reported),
        (WAKE, wake(&waking), FromActivator::Wake(waking)),
        (DRAINED, drained(&answer), FromActivator::Drained(answer)),
        (GOODBYE, goodbye(), FromActivator::Goodbye),
    ];
    for (golden, written, meant) in frames {
        assert_eq!(written, bytes(golden), "{meant:?}");
        assert_eq!(from_activator(&bytes(golden)).unwrap(), meant);
    }
}

#[test]
fn what_an_autoscaler_says_in_version_1() {
    let orders = [
        (DRAIN, one_drain(Some(vec![EndpointId(5)]))),
        (DRAIN_ANY, one_drain(None)),
        (CANCEL, ToActivator::Cancel(DrainId(9))),
        (WOKEN, ToActivator::Woken(f())),
        (SETTLED, ToActivator::Settled(DrainId(9))),
    ];
    for (golden, meant) in orders {
        assert_eq!(order(&meant), bytes(golden), "{meant:?}");
        let read = from_autoscaler(&bytes(golden)).unwrap();
        assert_eq!(read, FromAutoscaler::Order(meant));
    }
    let read = from_autoscaler(&bytes(WELCOME)).unwrap();
    assert_eq!(read, FromAutoscaler::Welcome { version: 1 });
    assert_eq!(welcome(1), bytes(WELCOME));
}

#[test]
fn what_a_later_version_adds_is_passed_over() {
    let read = from_activator(&bytes(LATER_HELLO)).unwrap();
    let versions = Versions::new(1, 2).unwrap();
    let name = "a".to_owned();
    assert_eq!(read, FromActivator::Hello { versions, name });
    let read = from_activator(&bytes(LATER_REPORT)).unwrap();
    let (stats, is_last) = (vec![load()], true);
    assert_eq!(read, FromActivator::Report { stats, is_last });
    let read = from_autoscaler(&bytes(LATER_WELCOME)).unwrap();
    assert_eq!(read, FromAutoscaler::Welcome { version: 1 });
    let read = from_autoscaler(&bytes(LATER_DRAIN)).unwrap();
    let meant = one_drain(Some(vec![EndpointId(5)]));
    assert_eq!(read, FromAutoscaler::Order(meant));
    let kind = bytes(LATER_KIND);
    assert_eq!(from_activator(&kind).unwrap(), FromActivator::Unknown);
    assert_eq!(from_autoscaler(&kind).unwrap(), FromAutoscaler::Unknown);
}

#[test]
fn an_older_hello_names_one_version_alone() {
    let read = from_activator(&bytes("0a050801120161")).unwrap();
    let versions = Versions::new(1, 1).unwrap();
    let name = "a".to_owned();
    assert_eq!(read, FromActivator::Hello { versions, name });
    // Version 0, and a range that ends before it begins.
    for nonsense in ["0a03120161", "0a0708031201611802"] {
        let error = from_activator(&bytes(nonsense)).unwrap_err();
        assert!(matches!(error, DecodeError::Field("version")), "{error}");
    }
}
