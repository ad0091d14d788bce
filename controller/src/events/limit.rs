//! How many events there may be: per object, in all, and of the same words.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Notice, Reason};

/// Events of one object in a burst; then one per [`REFILL`].
const BURST: u32 = 10;
const REFILL: Duration = Duration::from_secs(30);
/// The same words of the same object are sent again (and counted up) at most so often.
const REPEAT: Duration = Duration::from_secs(60);
/// Objects remembered; beyond, those that were quiet for longest are forgotten first.
const MAX_OBJECTS: usize = 20_000;
/// Different words remembered of one object.
const MAX_WORDS: usize = 16;

/// Remembers what was said of whom.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    objects: HashMap<Arc<str>, Bucket>,
}

#[derive(Debug)]
struct Bucket {
    left: u32,
    since: Instant,
    said: Vec<(Reason, String, Instant)>,
}

impl Limiter {
    /// Whether an event may be sent now.
    pub(super) fn allows(&mut self, notice: &Notice, now: Instant) -> bool {
        self.make_room(now);
        let bucket = self
            .objects
            .entry(Arc::clone(&notice.uid))
            .or_insert(Bucket {
                left: BURST,
                since: now,
                said: Vec::new(),
            });
        bucket.refill(now);
        let is_same =
            |said: &&(Reason, String, Instant)| said.0 == notice.reason && said.1 == notice.message;
        let is_repeated = bucket
            .said
            .iter()
            .find(is_same)
            .is_some_and(|said| now.duration_since(said.2) < REPEAT);
        if is_repeated || bucket.left == 0 {
            return false;
        }
        bucket.left -= 1;
        bucket.said.retain(|said| !is_same(&said));
        if bucket.said.len() >= MAX_WORDS {
            bucket.said.remove(0);
        }
        let said = (notice.reason, notice.message.clone(), now);
        bucket.said.push(said);
        true
    }

    fn make_room(&mut self, now: Instant) {
        if self.objects.len() < MAX_OBJECTS {
            return;
        }
        let full = REFILL * BURST;
        self.objects
            .retain(|_, bucket| now.duration_since(bucket.since) < full);
        if self.objects.len() >= MAX_OBJECTS {
            self.objects.clear();
        }
    }
}

impl Bucket {
    fn refill(&mut self, now: Instant) {
        let periods = now.duration_since(self.since).as_secs() / REFILL.as_secs();
        let periods = u32::try_from(periods).unwrap_or(u32::MAX);
        if periods > 0 {
            self.left = self.left.saturating_add(periods).min(BURST);
            self.since = now;
        }
    }
}
