//! Follows lists, sets, sorted sets and hashes by the server's keyspace notifications, where its operator has them on.
//!
//! Source: "Redis keyspace notifications": channel `__keyspace@<db>__:<key>`, message = the event. Whether they are on
//! is read, never set. Messages end in a set of keys, so however many come, memory stays.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redis::{PushInfo, PushKind, Value};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::super::connection::Connection;
use super::super::error::ReadError;
use super::lanes::{End, Lane, LaneError, by_key};
use super::{Cause, Pauses, look, note_trouble};

/// How often it is looked whether the connection is alive.
const PING_EVERY: Duration = Duration::from_secs(10);

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Channels of one SUBSCRIBE.
const CHUNK: usize = 250;

/// Events that add nothing.
const REMOVALS: &[&str] = &[
    "del",
    "evicted",
    "expire",
    "expired",
    "hdel",
    "hpersist",
    "lpop",
    "lrem",
    "ltrim",
    "move_from",
    "persist",
    "rename_from",
    "rpop",
    "spop",
    "srem",
    "zpopmax",
    "zpopmin",
    "zrem",
    "zremrangebylex",
    "zremrangebyrank",
    "zremrangebyscore",
];

/// Keys to which something was added.
#[derive(Debug, Default)]
struct Arrivals {
    keys: Mutex<HashSet<String>>,
    is_lost: AtomicBool,
    woken: Notify,
}

/// Follows the lane's keys until others are wanted or something fails.
pub(super) async fn follow(lane: &mut Lane) -> Result<End, LaneError> {
    let members = Arc::clone(&lane.members.borrow_and_update());
    let keys = by_key(&members);
    let prefix = format!("__keyspace@{}__:", lane.database());
    let arrivals = Arc::new(Arrivals::default());
    let wanted: HashSet<String> = keys.keys().cloned().collect();
    let channels: Vec<_> = wanted.iter().map(|key| format!("{prefix}{key}")).collect();
    let noted = Arc::clone(&arrivals);
    let on_message = move |message: PushInfo| note(&noted, &message, &prefix, &wanted);
    let connection = lane.connect_listening(Arc::new(on_message)).await?;
    check_setting(&connection).await?;
    for chunk in channels.chunks(CHUNK) {
        connection
            .subscribe(chunk, Instant::now() + ANSWER_WITHIN)
            .await?;
    }
    note_trouble(&members, None);
    look(&lane.reader, &members, Cause::Gap).await;

    let mut pauses = Pauses::default();
    let mut ping_at = Instant::now() + PING_EVERY;
    loop {
        pauses.end();
        let due = take(&arrivals, |key| {
            let of = keys.get(key)?;
            (!of.iter().any(|it| pauses.holds(it.handle))).then(|| of.clone())
        });
        if !due.is_empty() {
            let active = look(&lane.reader, &due, Cause::Arrival).await;
            pauses.looked(&due, &active);
        }
        let wake_at = pauses.next().map_or(ping_at, |at| at.min(ping_at));
        tokio::select! {
            changed = lane.members.changed() => {
                return Ok(if changed.is_ok() { End::Changed } else { End::Unwanted });
            }
            () = arrivals.woken.notified() => {}
            () = sleep_until(wake_at) => {}
        }
        let is_lost = arrivals.is_lost.load(Ordering::Acquire);
        if is_lost || Instant::now() >= ping_at {
            // A connection that is lost fails here, with its reason.
            connection
                .ask_one(&redis::cmd("PING"), Instant::now() + ANSWER_WITHIN)
                .await?;
            ping_at = Instant::now() + PING_EVERY;
        }
    }
}

/// Takes the keys for which `of` finds triggers to look at; the others stay.
fn take<T>(arrivals: &Arrivals, of: impl Fn(&str) -> Option<Vec<T>>) -> Vec<T> {
    let mut due = Vec::new();
    arrivals.keys.lock().retain(|key| match of(key) {
        Some(found) => {
            due.extend(found);
            false
        }
        None => true,
    });
    due
}

/// Notes what the server says. Called by the connection's own task: must not block.
fn note(arrivals: &Arrivals, message: &PushInfo, prefix: &str, wanted: &HashSet<String>) {
    match message.kind {
        PushKind::Disconnection => {
            arrivals.is_lost.store(true, Ordering::Release);
            arrivals.woken.notify_one();
        }
        PushKind::Message => {
            let key = arrival(&message.data, prefix).filter(|key| wanted.contains(*key));
            if let Some(key) = key
                && arrivals.keys.lock().insert(key.to_owned())
            {
                arrivals.woken.notify_one();
            }
        }
        _ => {}
    }
}

/// The key to which something was added.
fn arrival<'a>(message: &'a [Value], prefix: &str) -> Option<&'a str> {
    let [Value::BulkString(channel), Value::BulkString(event)] = message else {
        return None;
    };
    let event = std::str::from_utf8(event).ok()?;
    let key = std::str::from_utf8(channel).ok()?.strip_prefix(prefix)?;
    (!REMOVALS.contains(&event)).then_some(key)
}

/// Fails where the server is known to tell nothing. Who may not ask listens all the same.
async fn check_setting(connection: &Connection) -> Result<(), LaneError> {
    let mut question = redis::cmd("CONFIG");
    question.arg("GET").arg("notify-keyspace-events");
    let answer = connection
        .ask_one(&question, Instant::now() + ANSWER_WITHIN)
        .await?;
    match setting(&answer) {
        Some(setting) if !is_on(&setting) => Err(LaneError::Off(setting)),
        Some(_) => Ok(()),
        None if matches!(answer, Value::ServerError(_)) => Ok(()),
        None => Err(LaneError::Read(ReadError::Garbled {
            server: Arc::clone(&connection.server),
        })),
    }
}

/// The value of the only setting that was asked for.
fn setting(answer: &Value) -> Option<String> {
    let value = match answer {
        Value::Map(pairs) => &pairs.first()?.1,
        Value::Array(parts) => parts.get(1)?,
        _ => return None,
    };
    match value {
        Value::BulkString(text) => Some(String::from_utf8_lossy(text).into_owned()),
        _ => None,
    }
}

/// Keyspace events (`K`) of all classes (`A`), or of any that keys with elements have.
fn is_on(setting: &str) -> bool {
    setting.contains('K') && setting.contains(['A', 'l', 's', 'h', 'z'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn only_additions_to_the_key_are_arrivals() {
        let prefix = "__keyspace@2__:";
        let of = |channel: &str, event: &str| {
            arrival(&[text(channel), text(event)], prefix).map(str::to_owned)
        };
        assert_eq!(of("__keyspace@2__:jobs", "rpush"), Some("jobs".to_owned()));
        assert_eq!(of("__keyspace@2__:a:b", "sadd"), Some("a:b".to_owned()));
        assert_eq!(of("__keyspace@2__:jobs", "lpop"), None);
        assert_eq!(of("__keyspace@0__:jobs", "rpush"), None);
        assert_eq!(arrival(&[Value::Nil], prefix), None);
    }

    #[test]
    fn notifications_are_on_with_keyspace_and_a_class() {
        for on in ["AK", "AKE", "Kl", "lK", "KEz"] {
            assert!(is_on(on), "{on}");
        }
        for off in ["", "AE", "K", "Kx", "El"] {
            assert!(!is_on(off), "{off}");
        }
    }

    #[test]
    fn the_setting_is_read_in_both_protocols() {
        let name = text("notify-keyspace-events");
        let map = Value::Map(vec![(name.clone(), text("AKE"))]);
        assert_eq!(setting(&map), Some("AKE".to_owned()));
        assert_eq!(
            setting(&Value::Array(vec![name, text("")])),
            Some(String::new())
        );
        assert_eq!(setting(&Value::Array(Vec::new())), None);
    }

    #[test]
    fn many_messages_about_one_key_are_one() {
        let arrivals = Arrivals::default();
        let wanted = HashSet::from(["jobs".to_owned()]);
        for key in ["jobs", "others"] {
            for _ in 0..1_000 {
                let message = PushInfo {
                    kind: PushKind::Message,
                    data: vec![text(&format!("__keyspace@0__:{key}")), text("rpush")],
                };
                note(&arrivals, &message, "__keyspace@0__:", &wanted);
            }
        }
        assert_eq!(arrivals.keys.lock().len(), 1);
        assert_eq!(take(&arrivals, |_| None::<Vec<u8>>), Vec::<u8>::new());
        assert_eq!(take(&arrivals, |_| Some(vec![1])), [1]);
        assert!(arrivals.keys.lock().is_empty());
    }
}
