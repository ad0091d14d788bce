//! Push: messages of a subject, followed beside the stream that keeps them.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use zeron_core::policy::{Secret, TriggerSpec};
use zeron_core::roles::{BoundTrigger, ScalerRegistry, TriggerHandle};
use zeron_scalers::{AddressPolicy, Registry};
use zeron_tests::servers::nats::{Connection, Nats};
use zeron_tests::{PATIENCE, until};

use super::{available, consumer};

/// How long nothing is said before there is no more to come: longer than the pause after a message.
const QUIET: Duration = Duration::from_millis(1_300);

/// Triggers that are followed, and what they said.
struct Followed {
    registry: Registry,
    runtime: Runtime,
    said: Receiver<(TriggerHandle, Instant)>,
    say: SyncSender<(TriggerHandle, Instant)>,
}

impl Followed {
    fn new(addresses: AddressPolicy) -> Self {
        let (say, said) = sync_channel(10_000);
        Self {
            registry: Registry::builtin(addresses),
            runtime: Runtime::new().unwrap(),
            said,
            say,
        }
    }

    fn watch(&self, spec: &TriggerSpec) -> (BoundTrigger, bool) {
        let bound = self.registry.bind(spec).unwrap();
        let say = self.say.clone();
        let on_change = move |handle| say.send((handle, Instant::now())).unwrap_or_default();
        let _guard = self.runtime.enter();
        let is_followed = bound.scaler.watch(bound.handle, Arc::new(on_change));
        (bound, is_followed)
    }

    fn follow(&self, spec: &TriggerSpec) -> BoundTrigger {
        let (bound, is_followed) = self.watch(spec);
        assert!(is_followed);
        bound
    }

    /// Publishes until somebody says something: a subject is followed a moment after it was asked for.
    fn first(&self, client: &mut Connection, subject: &str) -> TriggerHandle {
        until("the subject to be followed", || {
            client.publish_plain(subject, 1);
            self.said
                .recv_timeout(Duration::from_millis(200))
                .ok()
                .map(|(handle, _)| handle)
        })
    }

    /// Everything that is said until there is quiet.
    fn rest(&self) -> Vec<TriggerHandle> {
        let next = || self.said.recv_timeout(QUIET).ok();
        std::iter::from_fn(next).map(|(handle, _)| handle).collect()
    }
}

fn pushed(nats: &Nats, server: &str, subject: &str) -> TriggerSpec {
    let mut spec = consumer(&nats.monitoring(), "SHOP", "orders", "mailer");
    for (name, value) in [
        ("push", "true"),
        ("natsServer", server),
        ("subject", subject),
    ] {
        spec.metadata.insert(name.to_owned(), value.to_owned());
    }
    with_auth(spec, &[("username", "shop"), ("password", "shop")])
}

fn with_auth(mut spec: TriggerSpec, auth: &[(&str, &str)]) -> TriggerSpec {
    for (name, secret) in auth {
        spec.auth.insert((*name).to_owned(), Secret::new(*secret));
    }
    spec
}

fn server(nats: &Nats) -> String {
    format!("nats://{}", nats.clients())
}

#[test]
fn a_message_is_passed_on_to_the_triggers_of_its_subject_and_stays_in_the_stream() {
    let name = "a_message_is_passed_on_to_the_triggers_of_its_subject_and_stays_in_the_stream";
    let Some(nats) = available(name, Nats::start()) else {
        return;
    };
    let mut client = nats.connect_as_shop();
    client.create_stream("orders", 1);
    client.create_consumer("orders", "mailer");
    let followed = Followed::new(AddressPolicy::MACHINE);
    let subjects = ["orders", "others.*.new", "all.>"];
    let bound = subjects.map(|it| followed.follow(&pushed(&nats, &server(&nats), it)));
    for (subject, bound) in ["orders", "others.eu.new", "all.a.b"].iter().zip(&bound) {
        assert_eq!(
            followed.first(&mut client, subject),
            bound.handle,
            "{subject}"
        );
        let rest = followed.rest();
        assert!(rest.iter().all(|it| *it == bound.handle), "{rest:?}");
    }
    assert_eq!(nats.connections_of("zeron").len(), 1, "they share one");
    // Nobody took anything.
    let sources = super::Sources::default();
    let trigger = sources.bind(&consumer(&nats.monitoring(), "SHOP", "orders", "mailer"));
    let before = sources.read(&trigger).unwrap().value;
    client.publish("orders", 1);
    assert_eq!(sources.read(&trigger).unwrap().value, before + 1.0);
    followed.rest();
    // Of several, the fastest.
    let fastest = (0..5).map(|_| {
        let sent = Instant::now();
        client.publish_plain("all.x", 1);
        let (_, at) = followed.said.recv_timeout(PATIENCE).unwrap();
        followed.rest();
        at - sent
    });
    let fastest = fastest.min().unwrap();
    eprintln!("from PUB to us: {fastest:?}");
    assert!(fastest < Duration::from_millis(50), "{fastest:?}");
}

#[test]
fn a_flood_of_messages_is_few_wake_ups_and_few_messages() {
    let name = "a_flood_of_messages_is_few_wake_ups_and_few_messages";
    let Some(nats) = available(name, Nats::start()) else {
        return;
    };
    let mut client = nats.connect_as_shop();
    let followed = Followed::new(AddressPolicy::MACHINE);
    let trigger = followed.follow(&pushed(&nats, &server(&nats), "flood"));
    followed.first(&mut client, "flood");
    followed.rest();
    let sent = |nats: &Nats| {
        nats.connections_of("zeron")[0]["out_msgs"]
            .as_u64()
            .unwrap()
    };
    let (before, began) = (sent(&nats), Instant::now());
    client.publish_plain("flood", 20_000);
    let heard = followed.rest();
    // One at once and one a second, of two messages each.
    let most = began.elapsed().as_secs() + 2;
    assert!(!heard.is_empty() && heard.iter().all(|it| *it == trigger.handle));
    assert!(heard.len() as u64 <= most, "{} of {most}", heard.len());
    let messages = sent(&nats) - before;
    assert!(messages <= 2 * most, "{messages} of {}", 2 * most);
}

#[test]
fn what_is_released_is_not_heard_and_the_connection_ends_with_the_last() {
    let name = "what_is_released_is_not_heard_and_the_connection_ends_with_the_last";
    let Some(nats) = available(name, Nats::start()) else {
        return;
    };
    let mut client = nats.connect_as_shop();
    let followed = Followed::new(AddressPolicy::MACHINE);
    let [first, second] =
        ["first", "second"].map(|it| followed.follow(&pushed(&nats, &server(&nats), it)));
    followed.first(&mut client, "first");
    followed.first(&mut client, "second");
    followed.rest();
    first.scaler.release(first.handle);
    until("the subject to be left", || {
        let subscriptions = nats.connections_of("zeron")[0]["subscriptions"].as_u64();
        (subscriptions == Some(1)).then_some(())
    });
    client.publish_plain("first", 1);
    assert_eq!(followed.first(&mut client, "second"), second.handle);
    assert!(!followed.rest().contains(&first.handle));
    second.scaler.release(second.handle);
    until("the connection to end", || {
        nats.connections_of("zeron").is_empty().then_some(())
    });
}

#[test]
fn a_server_that_was_killed_is_followed_again() {
    let Some(mut nats) = available("a_server_that_was_killed_is_followed_again", Nats::start())
    else {
        return;
    };
    let followed = Followed::new(AddressPolicy::MACHINE);
    let trigger = followed.follow(&pushed(&nats, &server(&nats), "again"));
    followed.first(&mut nats.connect_as_shop(), "again");
    followed.rest();
    let trouble = || trigger.scaler.push_trouble(trigger.handle);
    assert_eq!(trouble(), None);
    nats.kill();
    until("it to be said", trouble);
    nats.restart();
    let handle = followed.first(&mut nats.connect_as_shop(), "again");
    assert_eq!(handle, trigger.handle);
    assert_eq!(trouble(), None);
}

#[test]
fn by_tls_with_the_authority_that_is_given_and_not_without() {
    let name = "by_tls_with_the_authority_that_is_given_and_not_without";
    let Some(nats) = available(name, Nats::start_with_tls()) else {
        return;
    };
    let server = format!("tls://{}", nats.clients());
    let authority = nats.authority();
    let followed = Followed::new(AddressPolicy::MACHINE);
    // Waits out some attempts of the one that is refused, beside one that is not.
    let _refused = followed.follow(&pushed(&nats, &server, "refused"));
    let trusting = pushed(&nats, &server, "secure");
    let trusting = followed.follow(&with_auth(trusting, &[("ca", &authority)]));
    let mut client = nats.connect_as_shop();
    assert_eq!(followed.first(&mut client, "secure"), trusting.handle);
    let connections = nats.connections_of("zeron");
    assert_eq!(connections.len(), 1, "{connections:?}");
    assert!(connections[0]["tls_version"].is_string(), "{connections:?}");
    client.publish_plain("refused", 1);
    assert!(followed.rest().iter().all(|it| *it == trusting.handle));
}

#[test]
fn wrong_credentials_and_forbidden_addresses_never_connect() {
    let name = "wrong_credentials_and_forbidden_addresses_never_connect";
    let Some(nats) = available(name, Nats::start()) else {
        return;
    };
    let followed = Followed::new(AddressPolicy::MACHINE);
    let wrong = with_auth(
        pushed(&nats, &server(&nats), "orders"),
        &[("password", "canary-wrong")],
    );
    let wrong = followed.follow(&wrong);
    let guarded = Followed::new(AddressPolicy::CLUSTER);
    let forbidden = guarded.follow(&pushed(&nats, &server(&nats), "orders"));
    // Enough time for several attempts: another trigger is followed meanwhile, and quiet follows.
    let right = followed.follow(&pushed(&nats, &server(&nats), "orders"));
    let mut client = nats.connect_as_shop();
    assert_eq!(followed.first(&mut client, "orders"), right.handle);
    assert!(followed.rest().iter().all(|it| *it == right.handle));
    assert!(guarded.said.try_recv().is_err());
    assert_eq!(nats.connections_of("zeron").len(), 1);
    let trouble = |it: &BoundTrigger| it.scaler.push_trouble(it.handle);
    assert_eq!(trouble(&right), None);
    let of_wrong = trouble(&wrong).unwrap();
    assert_eq!(of_wrong, "the server refused the credentials");
    assert!(trouble(&forbidden).is_some());
}

#[test]
fn without_push_nobody_connects() {
    let Some(nats) = available("without_push_nobody_connects", Nats::start()) else {
        return;
    };
    let followed = Followed::new(AddressPolicy::MACHINE);
    let mut spec = pushed(&nats, &server(&nats), "orders");
    spec.metadata.remove("push");
    assert!(!followed.watch(&spec).1);
}
