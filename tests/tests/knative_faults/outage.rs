//! Our parts cannot reach the API server for a minute.

use std::thread;
use std::time::Duration;

use zeron_tests::knative::{Knative, Part, Side, Template};
use zeron_tests::wait::last;

use super::api::{Api, Mode};
use super::replicas::{RATE, STEADY, WINDOW, restarts, steady};

const OUTAGE: Duration = Duration::from_secs(60);
/// How long a caller waits who asks in an outage: for the Lease that was lost, then for a pod.
const HELD: Duration = Duration::from_secs(90);
/// When a revision at zero is asked for: as long before the end as its caller waits at least.
const BEFORE_END: Duration = Duration::from_secs(15);

#[test]
fn without_the_api_server_for_a_minute_warm_requests_are_answered_and_counts_stay() {
    const TEST: &str =
        "without_the_api_server_for_a_minute_warm_requests_are_answered_and_counts_stay";
    let Some(knative) = Knative::alone(TEST, Side::Ours) else {
        return;
    };
    let namespace = knative.cluster().namespace("kn-f-api");
    let api = Api::before(&knative);
    let at_zero = Template::new().scaling("initial-scale", "0");
    let cold = knative.revision(&namespace, "cold", &at_zero).ready();
    let warm = steady(&knative, &namespace, "warm");
    let load = warm.load(RATE);
    warm.wait_pods(STEADY);
    // A window without load is over.
    last(WINDOW);
    let history = warm.history();
    let before = Part::ALL.map(|part| restarts(&knative, part));

    api.set(Mode::Gone);
    last(OUTAGE / 2);
    api.set(Mode::Silent);
    let meanwhile = knative.revision(&namespace, "meanwhile", &at_zero);
    last(OUTAGE / 2 - BEFORE_END);
    let request = cold.request();
    let waits = thread::spawn(move || request.send_within("/", HELD).map(|answer| answer.status));
    last(BEFORE_END);
    api.set(Mode::Pass);

    assert_eq!(waits.join().unwrap().unwrap(), 200, "asked for meanwhile");
    let request = meanwhile.ready().request();
    assert_eq!(request.send("/").unwrap().status, 200, "declared meanwhile");
    let counts = history.end();
    let outcome = load.end();
    println!("replicas {counts:?}");
    outcome.assert_all_answered("API server away");
    assert_eq!(counts, [STEADY as u64]);
    assert_eq!(
        Part::ALL.map(|part| restarts(&knative, part)),
        before,
        "nobody was ended for it"
    );
}
