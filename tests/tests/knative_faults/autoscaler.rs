//! The autoscaler that leads is killed; another one follows it.

use std::thread;
use std::time::{Duration, Instant};

use zeron_tests::cluster::Namespace;
use zeron_tests::knative::{Knative, NAMESPACE, Part, Side, Template};
use zeron_tests::process::{Signal, signal};
use zeron_tests::until;
use zeron_tests::wait::last;

use super::replicas::{RATE, STEADY, Two, delete, process, ready_pods, steady, text};

const LEASE: &str = "autoscaler-bucket-00-of-01";
/// How long a Lease counts here, and how often others look at it.
const DURATION: Duration = Duration::from_secs(15);
const RETRY: Duration = Duration::from_secs(2);
/// A pod's start, on a machine with much else to do.
const COLD: Duration = Duration::from_secs(10);

/// The name of the pod that leads.
fn leader(knative: &Knative) -> String {
    until("somebody to lead", || {
        let output = "jsonpath={.spec.holderIdentity}";
        let lease = [
            "get",
            "lease",
            LEASE,
            "--namespace",
            NAMESPACE,
            "--output",
            output,
        ];
        let holder = knative.cluster().kubectl(&lease);
        let (name, _) = holder.split_once('_')?;
        Some(name.to_owned())
    })
}

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
    last(Duration::from_secs(15));
    let history = warm.history();

    let pods = ready_pods(&knative, Part::Autoscaler, 2);
    let old = leader(&knative);
    let victim = pods
        .iter()
        .find(|pod| text(pod, "/metadata/name") == old)
        .unwrap();
    let killed = Instant::now();
    signal(process(victim, "/zeron"), Signal::KILL);
    // It does not come back under its name.
    delete(&knative, victim, &["--grace-period=0", "--force"]);
    let cold = thread::spawn(move || cold.send("/").map(|answer| answer.status));
    until("another to lead", || {
        (leader(&knative) != old).then_some(())
    });
    let followed = killed.elapsed();
    let status = cold.join().unwrap();
    let served = killed.elapsed();
    // What is known of a function that is asked all the time grows for a window.
    last(Duration::from_secs(15));
    let counts = history.end();
    let outcome = load.end();
    println!(
        "followed after {followed:?}, a cold request served after {served:?}, replicas {counts:?}"
    );
    assert_eq!(status.unwrap(), 200);
    assert!(served < DURATION + 2 * RETRY + COLD, "{served:?}");
    outcome.assert_all_answered("leader killed");
    assert_eq!(counts, [STEADY as u64]);
}
