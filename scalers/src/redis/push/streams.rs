//! Follows streams by one `XREAD BLOCK` for all of them: no group, nothing is consumed.
//!
//! It reads on from the newest entry that was there when a stream was looked at, so nothing is missed between two commands. A
//! stream whose entry was seen is left out for a moment, so that a busy one costs a bounded number of readings; then it is
//! looked at again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, ServerError, Value};
use tokio::time::{Instant, sleep_until};

use super::super::connection::Connection;
use super::super::error::ReadError;
use super::super::reader::Reader;
use super::lanes::{End, Lane, LaneError, Members, by_key};
use super::{Cause, Followed, Pauses, look, note_trouble};

/// Longest block: how often it is looked whether the connection is alive, and whether a stream was made anew.
const BLOCK: Duration = Duration::from_secs(30);

/// How much later than it was told the server may answer.
const LATE: Duration = Duration::from_secs(5);

/// How long a key is left out that is no stream, or that the user may not read.
const WRONG_FOR: Duration = Duration::from_secs(30);

/// Streams whose newest entries are asked for at once: they come with what is in them.
const CHUNK: usize = 100;

/// The streams of one lane on one connection.
struct Following {
    reader: Arc<Reader>,
    connection: Connection,
    members: Members,
    keys: HashMap<String, Vec<Arc<Followed>>>,
    /// After which entry each stream is followed.
    positions: HashMap<String, String>,
    pauses: Pauses,
    /// Keys that are known not to be followed.
    refused: HashSet<String>,
    /// Those that were not followed until now.
    gaps: Vec<Arc<Followed>>,
}

/// Follows the lane's streams until others are wanted or something fails.
pub(super) async fn follow(lane: &mut Lane) -> Result<End, LaneError> {
    let members = Arc::clone(&lane.members.borrow_and_update());
    let mut following = Following {
        reader: Arc::clone(&lane.reader),
        connection: lane.connect().await?,
        keys: by_key(&members),
        positions: HashMap::new(),
        pauses: Pauses::default(),
        refused: HashSet::new(),
        gaps: members.to_vec(),
        members,
    };
    following.close_gaps().await?;
    following.try_all().await?;
    loop {
        tokio::select! {
            changed = lane.members.changed() => {
                return Ok(if changed.is_ok() { End::Changed } else { End::Unwanted });
            }
            done = following.turn() => done?,
        }
    }
}

impl Following {
    /// Waits for the next arrival, and tells of it.
    async fn turn(&mut self) -> Result<(), LaneError> {
        let over = self.pauses.end();
        let over = self.members.iter().filter(|it| over.contains(&it.handle));
        self.gaps.extend(over.cloned());
        self.close_gaps().await?;
        let ready: Vec<String> = self
            .keys
            .iter()
            .filter(|(_, of)| !of.iter().any(|it| self.pauses.holds(it.handle)))
            .map(|(key, _)| key.clone())
            .collect();
        let left = self.pauses.next();
        let left = left.map(|at| at.saturating_duration_since(Instant::now()));
        let block = left.map_or(BLOCK, |left| left.clamp(Duration::from_millis(1), BLOCK));
        let answer = self.read(&ready, block).await?;
        if let Value::ServerError(error) = &answer {
            return self.leave_out(&ready, error).await;
        }
        // Few keys, as a rule none: this is passed at every arrival.
        for key in self.refused.extract_if(|key| ready.contains(key)) {
            note_trouble(self.keys.get(&key).map_or(&[], Vec::as_slice), None);
        }
        match answer {
            Value::Nil if block == BLOCK => self.gaps = self.members.to_vec(),
            Value::Nil => {}
            answer => self.tell(&answer).await?,
        }
        Ok(())
    }

    /// Before anything is said to be followed: which keys may be.
    async fn try_all(&mut self) -> Result<(), LaneError> {
        let keys: Vec<String> = self.keys.keys().cloned().collect();
        let refused = refused(&self.connection, &keys).await?;
        if let Some((_, error)) = refused.iter().find(|(_, error)| !is_of_key(error)) {
            return Err(ReadError::from_server(&self.connection.server, error).into());
        }
        note_trouble(&self.members, None);
        self.pause(&refused);
        Ok(())
    }

    /// First where the streams end, then what they count: what comes later is an arrival.
    async fn close_gaps(&mut self) -> Result<(), ReadError> {
        let gaps = std::mem::take(&mut self.gaps);
        for chunk in gaps.chunks(CHUNK) {
            let keys: Vec<_> = chunk.iter().map(|it| it.trigger.measure.key()).collect();
            let questions: Vec<_> = keys.iter().map(|key| newest(key)).collect();
            let deadline = Instant::now() + LATE;
            let answers = self.connection.ask(&questions, deadline).await?;
            for (key, answer) in keys.into_iter().zip(answers) {
                self.positions.insert(key.to_owned(), position(&answer));
            }
        }
        look(&self.reader, &gaps, Cause::Gap).await;
        Ok(())
    }

    /// Waits for an entry of any of `keys`; without keys, for the pause to end.
    async fn read(&self, keys: &[String], block: Duration) -> Result<Value, ReadError> {
        if keys.is_empty() {
            sleep_until(Instant::now() + block).await;
            return Ok(Value::Nil);
        }
        let mut request = xread();
        let millis = u64::try_from(block.as_millis()).unwrap_or(0).max(1);
        request.arg("BLOCK").arg(millis).arg("STREAMS").arg(keys);
        for key in keys {
            request.arg(self.positions.get(key).map_or("$", String::as_str));
        }
        let deadline = Instant::now() + block + LATE;
        self.connection.ask_one(&request, deadline).await
    }

    /// One key that cannot be read refuses the whole XREAD: such keys are left out for a while.
    async fn leave_out(&mut self, keys: &[String], error: &ServerError) -> Result<(), LaneError> {
        let wrong = match is_of_key(error) {
            true => refused(&self.connection, keys).await?,
            false => Vec::new(),
        };
        if wrong.is_empty() {
            return Err(ReadError::from_server(&self.connection.server, error).into());
        }
        self.pause(&wrong);
        Ok(())
    }

    fn pause(&mut self, refused: &[(&str, ServerError)]) {
        for (key, error) in refused {
            let of = self.keys.get(*key).map_or(&[][..], Vec::as_slice);
            let trouble = format!("{} may not be followed: {}", key, error.code());
            note_trouble(of, Some(&trouble));
            self.refused.insert((*key).to_owned());
            for it in of {
                self.pauses.set(it.handle, WRONG_FOR);
            }
        }
    }

    async fn tell(&mut self, answer: &Value) -> Result<(), LaneError> {
        let arrived = arrived(answer, &self.keys);
        if arrived.is_empty() {
            let server = Arc::clone(&self.connection.server);
            return Err(ReadError::Garbled { server }.into());
        }
        let active = look(&self.reader, &arrived, Cause::Arrival).await;
        self.pauses.looked(&arrived, &active);
        Ok(())
    }
}

/// Asks for the newest entry.
fn newest(key: &str) -> Cmd {
    let mut request = redis::cmd("XREVRANGE");
    request.arg(key).arg("+").arg("-").arg("COUNT").arg(1);
    request
}

/// The id of the newest entry; a user that may not ask follows from what is newest when XREAD comes.
fn position(answer: &Value) -> String {
    let Value::Array(entries) = answer else {
        return "$".to_owned();
    };
    let id = entries.first().and_then(|entry| match entry {
        Value::Array(parts) => parts.first(),
        _ => None,
    });
    match id {
        Some(Value::BulkString(id)) => String::from_utf8_lossy(id).into_owned(),
        _ => "0".to_owned(),
    }
}

/// Whether others on the same connection may be followed all the same.
fn is_of_key(error: &ServerError) -> bool {
    matches!(error.code(), "WRONGTYPE" | "NOPERM")
}

/// The keys that cannot be read, and why.
async fn refused<'a>(
    connection: &Connection,
    keys: &'a [String],
) -> Result<Vec<(&'a str, ServerError)>, ReadError> {
    let requests: Vec<_> = keys
        .iter()
        .map(|key| {
            let mut request = xread();
            request.arg("STREAMS").arg(key.as_str()).arg("$");
            request
        })
        .collect();
    let answers = connection.ask(&requests, Instant::now() + LATE).await?;
    let refused = keys
        .iter()
        .zip(answers)
        .filter_map(|(key, answer)| match answer {
            Value::ServerError(error) => Some((key.as_str(), error)),
            _ => None,
        });
    Ok(refused.collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn streams_are_followed_from_their_newest_entry() {
        let entry = Value::Array(vec![text("7-1"), Value::Array(vec![text("a"), text("1")])]);
        assert_eq!(position(&Value::Array(vec![entry])), "7-1");
        assert_eq!(position(&Value::Array(Vec::new())), "0");
        let refused = redis::parse_redis_value(b"-NOPERM no\r\n").unwrap();
        assert_eq!(position(&refused), "$");
    }
}
