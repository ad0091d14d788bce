//! Events on objects, in KEDA's words.

use zeron_tests::until;

use super::declare::{Scaled, function};
use super::site::{DEPLOYMENT, Site, topic};

#[test]
fn events_tell_of_waking_and_sleeping_and_why() {
    let Some((site, broker)) = Site::with_kafka("events_tell_of_waking_and_sleeping") else {
        return;
    };
    let namespace = &site.namespace;
    let topic = topic(broker, "eventful", 1);
    topic.produce(20);
    function(namespace, "eventful", 0);
    namespace.apply(&Scaled::new("eventful", broker).yaml());
    namespace.wait_replicas(DEPLOYMENT, "eventful", 2);
    topic.consume_but("eventful", 0);
    namespace.wait_replicas(DEPLOYMENT, "eventful", 0);
    let message = |reason: &str| {
        until(&format!("an event {reason}"), || {
            let events = namespace.events("eventful");
            events.into_iter().find(|(said, _)| said == reason)
        })
        .1
    };
    let woken = message("KEDAScaleTargetActivated");
    assert!(woken.contains("from 0 to 2"), "{woken}");
    assert!(
        woken.contains("kafka") || woken.contains("eventful"),
        "{woken}"
    );
    let asleep = message("KEDAScaleTargetDeactivated");
    assert!(asleep.contains("from 2 to 0"), "{asleep}");
}
