//! The autoscaler that leads is killed; another one follows it.

use std::thread;
use std::time::{Duration, Instant};

use zeron_tests::cluster::Namespace;
use zeron_tests::knative::{Knative, Part, Side, Template};
use zeron_tests::process::{Signal, signal};
use zeron_tests::wait::{last, within};

use super::replicas::{RATE, STEADY, Two, WINDOW, delete, process, ready_pods, steady, text};

/// How long a caller waits who asks while nobody leads: for a Lease to run out, then for a pod.
const HELD: Duration = Duration::from_secs(90);

fn at_zero<'n>(
    knative: &Knative,
    namespace: &'n Namespace,
    name: &str,
) -> zeron_tests::knative::Revision<'n> {
    let template = Template::new().scaling("initial-scale", "0");
    knative.revision(namespace, name, &template).ready()
}

#[test]
fn a_killed_leader_is_followed_and_cold_requests_are_served_and_no_replica_goes() {
    const TEST: &str =
        "a_killed_leader_is_followed_and_cold_requests_are_served_and_no_replica_goes";
    let Some(knative) = Knative::alone(TEST, Side::Ours) else {
        return;
    };
    let _lease = knative.configure(
        "config-leader-election",
        &[
            ("lease-duration", "15s"),
            ("renew-deadline", "10s"),
            ("retry-period", "2s"),
        ],
    );
    let _two = Two::of(&knative, Part::Autoscaler);
    knative.roll(Part::Autoscaler);
    let namespace = knative.cluster().namespace("kn-f-leader");
    let cold = at_zero(&knative, &namespace, "cold").request();
    let warm = steady(&knative, &namespace, "warm");
    let load = warm.load(RATE);
    warm.wait_pods(STEADY);
    // A window without load is over.
    last(WINDOW);
    let history = warm.history();

    let pods = ready_pods(&knative, Part::Autoscaler, 2);
    let (old, victim) = within(HELD, "one of them to lead", || {
        let leader = knative.leader()?;
        let pod = pods
            .iter()
            .find(|pod| text(pod, "/metadata/name") == leader)?;
        Some((leader, pod))
    });
    let killed = Instant::now();
    signal(process(victim, "/zeron"), Signal::KILL);
    // It does not come back under its name.
    delete(&knative, victim, &["--grace-period=0", "--force"]);
    let cold = thread::spawn(move || cold.send_within("/", HELD).map(|answer| answer.status));
    within(HELD, "another to lead", || {
        knative.leader().filter(|leader| *leader != old)
    });
    let followed = killed.elapsed();
    let status = cold.join().unwrap();
    let served = killed.elapsed();
    // What is known of a function that is asked all the time grows for a window.
    last(WINDOW);
    let counts = history.end();
    let outcome = load.end();
    println!(
        "followed after {followed:?}, a cold request served after {served:?}, replicas {counts:?}"
    );
    assert_eq!(status.unwrap(), 200);
    outcome.assert_all_answered("leader killed");
    assert_eq!(counts, [STEADY as u64]);
}
