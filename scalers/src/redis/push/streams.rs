//! Follows streams by one `XREAD BLOCK` for all of them, from what is newest: no group, nothing is consumed.
//!
//! A stream whose entry was seen is left out for a moment, so that a busy stream costs a bounded number of readings. What
//! arrives meanwhile is seen by a look once it is followed again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Value};
use tokio::time::{Instant, sleep, sleep_until};

use super::super::connection::Connection;
use super::super::error::ReadError;
use super::lanes::{End, Lane, LaneError, by_key};
use super::{Cause, Followed, Pauses, look};

/// Longest block: how often it is looked whether the connection is alive.
const BLOCK: Duration = Duration::from_secs(30);

/// How much later than it was told the server may answer.
const LATE: Duration = Duration::from_secs(5);

/// How long after XREAD was sent a look sees what XREAD did not.
const SETTLE: Duration = Duration::from_millis(5);

/// How long a key is left out that is no stream, or that the user may not read.
const WRONG_FOR: Duration = Duration::from_secs(30);

/// Follows the lane's streams until others are wanted or something fails.
pub(super) async fn follow(lane: &mut Lane) -> Result<End, LaneError> {
    let members = Arc::clone(&lane.members.borrow_and_update());
    let keys = by_key(&members);
    let connection = lane.connect().await?;
    let mut pauses = Pauses::default();
    let mut gaps: Vec<_> = members.to_vec();
    loop {
        let over = pauses.end();
        gaps.extend(
            members
                .iter()
                .filter(|it| over.contains(&it.handle))
                .cloned(),
        );
        let ready: Vec<&str> = keys
            .iter()
            .filter(|(_, of)| !of.iter().any(|it| pauses.holds(it.handle)))
            .map(|(key, _)| key.as_str())
            .collect();
        let now = Instant::now();
        let left = pauses.next().map(|at| at.saturating_duration_since(now));
        let block = left.map_or(BLOCK, |left| left.clamp(Duration::from_millis(1), BLOCK));
        let reader = Arc::clone(&lane.reader);
        let closing = std::mem::take(&mut gaps);
        let waiting = async {
            let looking = async {
                if !closing.is_empty() {
                    sleep(SETTLE).await;
                    look(&reader, &closing, Cause::Gap).await;
                }
            };
            tokio::join!(read(&connection, &ready, block), looking).0
        };
        let answer = tokio::select! {
            changed = lane.members.changed() => {
                return Ok(if changed.is_ok() { End::Changed } else { End::Unwanted });
            }
            answer = waiting => answer?,
        };
        match answer {
            // Between two blocks nobody follows.
            Value::Nil if block == BLOCK => gaps = members.to_vec(),
            Value::Nil => {}
            Value::ServerError(error) => {
                let is_of_key = matches!(error.code(), "WRONGTYPE" | "NOPERM");
                let wrong = if is_of_key {
                    wrong(&connection, &ready).await?
                } else {
                    Vec::new()
                };
                if wrong.is_empty() {
                    return Err(ReadError::from_server(&connection.server, &error).into());
                }
                for it in wrong.iter().filter_map(|key| keys.get(*key)).flatten() {
                    pauses.set(it.handle, WRONG_FOR);
                }
            }
            answer => {
                let arrived = arrived(&answer, &keys);
                if arrived.is_empty() {
                    let server = Arc::clone(&connection.server);
                    return Err(ReadError::Garbled { server }.into());
                }
                let active = look(&lane.reader, &arrived, Cause::Arrival).await;
                pauses.looked(&arrived, &active);
            }
        }
    }
}

/// Waits for an entry of any of `keys`; without keys, for the pause to end.
async fn read(connection: &Connection, keys: &[&str], block: Duration) -> Result<Value, ReadError> {
    if keys.is_empty() {
        sleep_until(Instant::now() + block).await;
        return Ok(Value::Nil);
    }
    let mut request = xread();
    request
        .arg("BLOCK")
        .arg(u64::try_from(block.as_millis()).unwrap_or(0).max(1));
    request.arg("STREAMS").arg(keys).arg(vec!["$"; keys.len()]);
    connection
        .ask_one(&request, Instant::now() + block + LATE)
        .await
}

/// One key that cannot be read refuses the whole XREAD: these are they.
async fn wrong<'a>(connection: &Connection, keys: &[&'a str]) -> Result<Vec<&'a str>, ReadError> {
    let requests: Vec<_> = keys
        .iter()
        .map(|key| {
            let mut request = xread();
            request.arg("STREAMS").arg(*key).arg("$");
            request
        })
        .collect();
    let answers = connection.ask(&requests, Instant::now() + LATE).await?;
    let answers = keys.iter().zip(answers);
    let wrong = answers.filter(|(_, answer)| matches!(answer, Value::ServerError(_)));
    Ok(wrong.map(|(key, _)| *key).collect())
}

/// One entry of each stream is enough.
fn xread() -> Cmd {
    let mut request = redis::cmd("XREAD");
    request.arg("COUNT").arg(1);
    request
}

/// The triggers of the streams that an answer names: pairs of key and entries.
fn arrived(answer: &Value, keys: &HashMap<String, Vec<Arc<Followed>>>) -> Vec<Arc<Followed>> {
    let Value::Array(streams) = answer else {
        return Vec::new();
    };
    let names = streams.iter().filter_map(|stream| match stream {
        Value::Array(parts) => match parts.first() {
            Some(Value::BulkString(name)) => std::str::from_utf8(name).ok(),
            _ => None,
        },
        _ => None,
    });
    names
        .filter_map(|name| keys.get(name))
        .flatten()
        .cloned()
        .collect()
}
