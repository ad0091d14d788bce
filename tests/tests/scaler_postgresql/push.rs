use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use zeron_core::policy::TriggerSpec;
use zeron_core::roles::{BoundTrigger, ScalerRegistry, TriggerHandle};
use zeron_scalers::{AddressPolicy, Registry};
use zeron_tests::servers::postgresql::{DATABASE, PASSWORD, Postgres, USER};
use zeron_tests::servers::triggers::TIMEOUT;
use zeron_tests::{PATIENCE, until};

use super::world::{by_string, own, shared, unique, with};

/// Triggers that are followed, and what they said.
pub(crate) struct Followed {
    registry: Registry,
    runtime: Runtime,
    said: Receiver<(TriggerHandle, Instant)>,
    say: SyncSender<(TriggerHandle, Instant)>,
    /// Tells the connections of this test from others.
    name: String,
}

impl Followed {
    pub(crate) fn new() -> Self {
        let (say, said) = sync_channel(10_000);
        Self {
            registry: Registry::builtin(AddressPolicy::MACHINE),
            runtime: Runtime::new().unwrap(),
            said,
            say,
            name: unique("push"),
        }
    }

    pub(crate) fn spec(&self, address: SocketAddr, channel: &str) -> TriggerSpec {
        let name = &self.name;
        let login =
            format!("postgresql://{USER}:{PASSWORD}@{address}/{DATABASE}?application_name={name}");
        let trigger = with(by_string(&login, "SELECT 1", &[]), "push", "true");
        with(trigger, "channel", channel)
    }

    pub(crate) fn follow(&self, spec: &TriggerSpec) -> BoundTrigger {
        let bound = self.registry.bind(spec).unwrap();
        let say = self.say.clone();
        let on_change = move |handle| say.send((handle, Instant::now())).unwrap_or_default();
        let _guard = self.runtime.enter();
        assert!(bound.scaler.watch(bound.handle, Arc::new(on_change)));
        bound
    }

    /// Waits until there are so many of its connections.
    fn until_connections(&self, server: &Postgres, wanted: &str) {
        let name = &self.name;
        let count =
            format!("SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}'");
        until(&format!("{wanted} connections"), || {
            (server.ask(&count) == wanted).then_some(())
        });
    }

    /// Evaluates a trigger.
    pub(crate) fn read(&self, trigger: &BoundTrigger) -> f64 {
        let handles = [trigger.handle];
        let read = trigger.scaler.evaluate(&handles, TIMEOUT);
        self.runtime.block_on(read).remove(0).unwrap()[0].value
    }

    /// Notifies until somebody says something: a connection listens a moment after it was asked to.
    pub(crate) fn first(&self, server: &Postgres, channel: &str) -> TriggerHandle {
        until("the connection to listen", || {
            notify(server, channel);
            self.said
                .recv_timeout(Duration::from_millis(200))
                .ok()
                .map(|(handle, _)| handle)
        })
    }

    /// Everything that was said until now and for a moment.
    pub(crate) fn rest(&self) -> Vec<TriggerHandle> {
        let next = || self.said.recv_timeout(Duration::from_millis(300)).ok();
        std::iter::from_fn(next).map(|(handle, _)| handle).collect()
    }
}

pub(crate) fn notify(server: &Postgres, channel: &str) {
    server.ask(&format!("NOTIFY \"{}\"", channel.replace('"', "\"\"")));
}

#[test]
fn a_notification_is_passed_on_to_the_triggers_of_its_channel_within_50_ms() {
    let name = "a_notification_is_passed_on_to_the_triggers_of_its_channel_within_50_ms";
    let Some(server) = shared(name) else { return };
    let followed = Followed::new();
    let names = [unique("Jobs"), unique("odd \"name\""), unique("others")];
    let bound: Vec<_> = names
        .iter()
        .map(|it| followed.follow(&followed.spec(server.address(), it)))
        .collect();
    let twin = followed.follow(&followed.spec(server.address(), &names[0]));
    for (name, bound) in names.iter().zip(&bound) {
        followed.first(server, name);
        followed.rest();
        notify(server, name);
        let (first, _) = followed.said.recv_timeout(PATIENCE).unwrap();
        let mut heard = followed.rest();
        heard.push(first);
        heard.sort();
        heard.dedup();
        let mut expected = vec![bound.handle];
        expected.extend((name == &names[0]).then_some(twin.handle));
        expected.sort();
        assert_eq!(heard, expected, "{name}");
    }
    // All of them on one connection.
    followed.until_connections(server, "1");
    // Of several, the fastest: psql itself takes longer than the way from the server to us.
    let fastest = (0..5).map(|_| {
        let sent = format!(
            "NOTIFY {}; SELECT extract(epoch FROM clock_timestamp())",
            names[2]
        );
        let sent: f64 = server.ask(&sent).parse().unwrap();
        let (_, at) = followed.said.recv_timeout(PATIENCE).unwrap();
        let since = std::time::SystemTime::now() - at.elapsed();
        let heard = since
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs_f64();
        followed.rest();
        heard - sent
    });
    let fastest = fastest.fold(f64::INFINITY, f64::min);
    eprintln!("from NOTIFY to us: {:.1} ms", fastest * 1e3);
    assert!(fastest < 0.05, "{fastest}");
}

#[test]
fn a_flood_of_notifications_is_few_wake_ups() {
    let Some(server) = shared("a_flood_of_notifications_is_few_wake_ups") else {
        return;
    };
    let followed = Followed::new();
    let channel = unique("flood");
    let trigger = followed.follow(&followed.spec(server.address(), &channel));
    followed.first(server, &channel);
    followed.rest();
    let began = Instant::now();
    server.ask(&format!(
        "SELECT count(pg_notify('{channel}', n::text)) FROM generate_series(1, 20000) AS n"
    ));
    let (first, _) = followed.said.recv_timeout(PATIENCE).unwrap();
    let mut heard = followed.rest();
    heard.push(first);
    // One in 50 ms at most.
    let most = began.elapsed().as_millis() / 50 + 1;
    assert!(heard.len() as u128 <= most, "{} of {most}", heard.len());
    assert!(heard.iter().all(|it| *it == trigger.handle));
}

#[test]
fn what_is_released_is_not_heard_and_the_connection_ends_with_the_last() {
    let name = "what_is_released_is_not_heard_and_the_connection_ends_with_the_last";
    let Some(server) = shared(name) else { return };
    let followed = Followed::new();
    let names = [unique("first"), unique("second")];
    let [first, second] =
        [0, 1].map(|at| followed.follow(&followed.spec(server.address(), &names[at])));
    followed.first(server, &names[0]);
    followed.first(server, &names[1]);
    followed.rest();
    first.scaler.release(first.handle);
    until("the channel to be left", || {
        notify(server, &names[0]);
        followed.rest().is_empty().then_some(())
    });
    assert_eq!(followed.first(server, &names[1]), second.handle);
    followed.until_connections(server, "1");
    second.scaler.release(second.handle);
    followed.until_connections(server, "0");
}

#[test]
fn a_connection_that_broke_listens_again() {
    let Some(mut server) = own("a_connection_that_broke_listens_again") else {
        return;
    };
    let followed = Followed::new();
    let channel = unique("again");
    let trigger = followed.follow(&followed.spec(server.address(), &channel));
    assert_eq!(followed.first(&server, &channel), trigger.handle);
    let name = &followed.name;
    server.ask(&format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = '{name}'"
    ));
    followed.rest();
    assert_eq!(followed.first(&server, &channel), trigger.handle);
    server.kill();
    followed.rest();
    server.run();
    assert_eq!(followed.first(&server, &channel), trigger.handle);
}

#[test]
fn without_push_nobody_listens() {
    let Some(server) = shared("without_push_nobody_listens") else {
        return;
    };
    let followed = Followed::new();
    let mut spec = followed.spec(server.address(), "jobs");
    spec.metadata.remove("push");
    let bound = followed.registry.bind(&spec).unwrap();
    let _guard = followed.runtime.enter();
    assert!(!bound.scaler.watch(bound.handle, Arc::new(|_| {})));
}
