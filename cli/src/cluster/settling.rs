//! What is not said at once, because it may only be seen late.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;
use zeron_controller::projection::ObjectKey;

/// How long a target is missing before that is said.
pub(super) const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// Objects whose target was not seen when they were looked at, and since when. Watches of different kinds are not in step: of
/// two objects that were applied together, the target may be the one that is seen later.
#[derive(Debug, Default)]
pub(super) struct Settling(HashMap<ObjectKey, Instant>);

/// Whether what was found may be said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    Say,
    /// It was found just now: it is to be looked at again after [`SETTLED_AFTER`].
    Wait,
    /// The same, and somebody waits already.
    Waits,
}

impl Settling {
    /// Notes what was found of an object.
    pub(super) fn find(&mut self, object: &ObjectKey, is_missing: bool, now: Instant) -> Verdict {
        if !is_missing {
            self.0.remove(object);
            return Verdict::Say;
        }
        match self.0.get(object) {
            None => {
                self.0.insert(object.clone(), now);
                Verdict::Wait
            }
            Some(since) if now.duration_since(*since) < SETTLED_AFTER => Verdict::Waits,
            Some(_) => Verdict::Say,
        }
    }

    pub(super) fn forget(&mut self, object: &ObjectKey) {
        self.0.remove(object);
    }
}

#[cfg(test)]
mod tests {
    use zeron_controller::projection::ObjectKind;

    use super::*;

    #[test]
    fn what_is_missing_for_a_second_is_said_and_what_comes_meanwhile_never_was() {
        let key = ObjectKey {
            kind: ObjectKind::ScaledObject,
            namespace: "default".into(),
            name: "late".into(),
        };
        let (mut settling, now) = (Settling::default(), Instant::now());
        let after = |millis| now + Duration::from_millis(millis);
        assert_eq!(settling.find(&key, true, now), Verdict::Wait);
        assert_eq!(settling.find(&key, true, after(999)), Verdict::Waits);
        assert_eq!(settling.find(&key, false, after(999)), Verdict::Say);
        assert_eq!(settling.find(&key, true, after(1_000)), Verdict::Wait);
        assert_eq!(settling.find(&key, true, after(2_000)), Verdict::Say);
        settling.forget(&key);
        assert_eq!(settling.find(&key, true, after(2_000)), Verdict::Wait);
    }
}
