//! Which subjects are subscribed, and when again: pure.
//!
//! The server ends each subscription by itself after two messages. The first is passed on at once; a pause later the
//! subject is subscribed anew. If the second came meanwhile, there may have been more: that is passed on too. So nothing
//! is overlooked, and a busy subject costs two messages a pause.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

/// Between two subscriptions of a subject on which there are messages.
const PAUSE: Duration = Duration::from_secs(1);

/// Messages after which the server ends a subscription.
const MESSAGES: u32 = 2;

/// The number of a subscription.
pub(super) type Sid = u64;

/// All subscriptions of one connection.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    subscribed: BTreeMap<String, Subscription>,
    last: Sid,
}

#[derive(Debug)]
struct Subscription {
    sid: Sid,
    /// The one that it replaced: its last message may still be on its way.
    before: Option<Sid>,
    messages: u32,
    /// Set from the first message on.
    again_at: Option<Instant>,
}

/// What a look at the subscriptions comes to.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// To be sent to the server.
    pub(super) commands: String,
    /// Subjects on which there are messages.
    pub(super) active: BTreeSet<String>,
    /// When to look again.
    pub(super) next: Option<Instant>,
}

impl Turn {
    /// A subscription that ends by itself.
    fn subscribe(&mut self, subject: &str, sid: Sid) {
        self.commands.push_str(&format!(
            "SUB {subject} {sid}\r\nUNSUB {sid} {MESSAGES}\r\n"
        ));
    }

    fn unsubscribe(&mut self, sid: Sid) {
        self.commands.push_str(&format!("UNSUB {sid}\r\n"));
    }
}

impl Subscriptions {
    /// From now on these subjects and no others.
    pub(super) fn want(&mut self, wanted: &BTreeSet<String>, turn: &mut Turn) {
        self.subscribed.retain(|subject, it| {
            let is_wanted = wanted.contains(subject);
            if !is_wanted {
                turn.unsubscribe(it.sid);
            }
            is_wanted
        });
        for subject in wanted {
            if !self.subscribed.contains_key(subject) {
                self.last += 1;
                turn.subscribe(subject, self.last);
                let new = Subscription {
                    sid: self.last,
                    before: None,
                    messages: 0,
                    again_at: None,
                };
                self.subscribed.insert(subject.clone(), new);
            }
        }
    }

    /// So many `messages` came of each since the last look.
    pub(super) fn look(&mut self, messages: &HashMap<Sid, u32>, now: Instant, turn: &mut Turn) {
        let came = |sid: Sid| messages.get(&sid).copied().unwrap_or(0);
        for (subject, it) in &mut self.subscribed {
            it.messages = it.messages.saturating_add(came(it.sid));
            // Counted apart: it brings this subscription no nearer to its end.
            let is_late = it.before.is_some_and(|sid| came(sid) > 0);
            if (it.messages > 0 || is_late) && it.again_at.is_none() {
                turn.active.insert(subject.clone());
                it.again_at = Some(now + PAUSE);
            }
            if it.again_at.is_some_and(|at| at <= now) {
                let has_ended = it.messages >= MESSAGES;
                self.last += 1;
                turn.subscribe(subject, self.last);
                if has_ended {
                    turn.active.insert(subject.clone());
                } else {
                    turn.unsubscribe(it.sid);
                }
                *it = Subscription {
                    sid: self.last,
                    before: Some(it.sid),
                    messages: 0,
                    again_at: has_ended.then(|| now + PAUSE),
                };
            }
            turn.next = turn.next.into_iter().chain(it.again_at).min();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subjects(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|it| (*it).to_owned()).collect()
    }

    fn look(all: &mut Subscriptions, messages: &[(Sid, u32)], now: Instant) -> Turn {
        let mut turn = Turn::default();
        all.look(&messages.iter().copied().collect(), now, &mut turn);
        turn
    }

    #[test]
    fn what_is_wanted_is_subscribed_once_and_left_when_it_is_not() {
        let (mut all, mut turn) = (Subscriptions::default(), Turn::default());
        all.want(&subjects(&["a", "b.>"]), &mut turn);
        assert_eq!(
            turn.commands,
            "SUB a 1\r\nUNSUB 1 2\r\nSUB b.> 2\r\nUNSUB 2 2\r\n"
        );
        let mut turn = Turn::default();
        all.want(&subjects(&["b.>", "c"]), &mut turn);
        assert_eq!(turn.commands, "UNSUB 1\r\nSUB c 3\r\nUNSUB 3 2\r\n");
        let turn = look(&mut all, &[(1, 1)], Instant::now());
        assert!(turn.active.is_empty(), "the subscription is over");
        assert_eq!((&*turn.commands, turn.next), ("", None));
    }

    #[test]
    fn the_first_message_counts_at_once_and_the_subject_is_subscribed_anew() {
        let (mut all, now) = (Subscriptions::default(), Instant::now());
        all.want(&subjects(&["a"]), &mut Turn::default());
        let turn = look(&mut all, &[(1, 1)], now);
        assert_eq!(
            (turn.active, turn.next),
            (subjects(&["a"]), Some(now + PAUSE))
        );
        assert_eq!(turn.commands, "");
        let turn = look(&mut all, &[], now + PAUSE);
        assert!(turn.active.is_empty() && turn.next.is_none());
        assert_eq!(turn.commands, "SUB a 2\r\nUNSUB 2 2\r\nUNSUB 1\r\n");
    }

    #[test]
    fn a_message_of_the_replaced_subscription_counts_and_ends_no_other() {
        let (mut all, now) = (Subscriptions::default(), Instant::now());
        all.want(&subjects(&["a"]), &mut Turn::default());
        look(&mut all, &[(1, 1)], now);
        let replaced = look(&mut all, &[], now + PAUSE);
        assert_eq!(replaced.commands, "SUB a 2\r\nUNSUB 2 2\r\nUNSUB 1\r\n");
        let late = look(&mut all, &[(1, 1)], now + PAUSE);
        assert_eq!(
            (late.active, late.next),
            (subjects(&["a"]), Some(now + PAUSE * 2))
        );
        // The second subscription had one message of its own: the server has not ended it.
        let turn = look(&mut all, &[(2, 1)], now + PAUSE * 2);
        assert_eq!(turn.commands, "SUB a 3\r\nUNSUB 3 2\r\nUNSUB 2\r\n");
    }

    #[test]
    fn a_subject_with_more_messages_counts_once_a_pause_and_nothing_is_overlooked() {
        let (mut all, mut now) = (Subscriptions::default(), Instant::now());
        all.want(&subjects(&["a"]), &mut Turn::default());
        assert_eq!(look(&mut all, &[(1, 2)], now).active.len(), 1);
        assert!(look(&mut all, &[(1, 9)], now + PAUSE / 2).active.is_empty());
        now += PAUSE;
        let turn = look(&mut all, &[], now);
        assert_eq!(turn.active.len(), 1, "there may have been a third one");
        assert_eq!(turn.commands, "SUB a 2\r\nUNSUB 2 2\r\n");
        assert_eq!(turn.next, Some(now + PAUSE));
        assert!(look(&mut all, &[(2, 1)], now).active.is_empty());
        let turn = look(&mut all, &[], now + PAUSE);
        assert!(turn.active.is_empty(), "the one was before the last look");
        assert_eq!(turn.commands, "SUB a 3\r\nUNSUB 3 2\r\nUNSUB 2\r\n");
    }
}
