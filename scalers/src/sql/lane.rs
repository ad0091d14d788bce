//! A bounded number of connections to one database, kept from one reading to the next.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use zeron_core::metric::{Unknown, UnknownKind};

use super::back_off::BackOff;
use super::{Answer, Database};
use crate::source::unknown;

/// A connection that nobody used for so long is closed, in lanes that are not always in use.
const IDLE: Duration = Duration::from_secs(60);

/// Connections that one reading may open anew after they broke.
const MAX_REDIALS: usize = 4;

/// Up to so many connections at once.
pub(super) struct Lane<D: Database> {
    room: Semaphore,
    idle: Mutex<Vec<(D::Session, Instant)>>,
}

/// What a lane was asked, and by when it answers.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    /// The queries, in their order.
    pub(super) queries: &'a [Arc<str>],
    /// How long each may run at most.
    pub(super) limit: Duration,
    /// When the reading began that it belongs to, and may have waited since.
    pub(super) began: Instant,
    /// When the answer is due.
    pub(super) deadline: Instant,
}

impl Question<'_> {
    /// Whether at least half of a reading's time is left.
    fn has_fair_time(&self) -> bool {
        let left = self.deadline.saturating_duration_since(Instant::now());
        left * 2 >= self.deadline.saturating_duration_since(self.began)
    }
}

impl<D: Database> Lane<D> {
    /// At most `connections` at once.
    pub(super) fn new(connections: usize) -> Self {
        Self {
            room: Semaphore::new(connections),
            idle: Mutex::default(),
        }
    }

    /// Asks on one connection; one answer per query. A connection that broke since it was last used is dialled
    /// anew; a query that breaks a new one is not asked again.
    pub(super) async fn ask(
        &self,
        database: &D,
        back_off: &BackOff,
        question: Question<'_>,
    ) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(question.queries.len());
        let room = timeout_at(question.deadline, self.room.acquire()).await;
        let reason = match room {
            Ok(_room) => {
                let asked = self.ask_all(database, back_off, question, &mut answers);
                asked.await.err()
            }
            Err(_) => Some(late("other queries took all the time")),
        };
        if let Some(reason) = reason {
            answers.resize(question.queries.len(), Answer::Failed(reason));
        }
        answers
    }

    async fn ask_all(
        &self,
        database: &D,
        back_off: &BackOff,
        question: Question<'_>,
        answers: &mut Vec<Answer>,
    ) -> Result<(), Unknown> {
        for _ in 0..=MAX_REDIALS {
            let kept = self.idle.lock().pop();
            let was_kept = kept.is_some();
            // Taken out while it is in use: whatever ends this early closes it.
            let mut session = match kept {
                Some((session, _)) => session,
                None => connect(database, back_off, question).await?,
            };
            let before = answers.len();
            let rest = &question.queries[before..];
            // The server's cut must arrive before the deadline: else the connection is lost with it.
            let left = question.deadline.saturating_duration_since(Instant::now());
            let limit = question.limit.min(left * 9 / 10);
            let asked = database.ask(&mut session, rest, limit, answers);
            match timeout_at(question.deadline, asked).await {
                Err(_) => {
                    answers.push(Answer::Broke(late("there was no answer in time")));
                    return Err(late("an earlier query was not answered in time"));
                }
                Ok(Ok(())) => {
                    self.idle.lock().push((session, Instant::now()));
                    return Ok(());
                }
                // A query that is the first on a new connection broke it; else that is not certain.
                Ok(Err(reason)) if !was_kept && answers.len() == before => {
                    answers.push(Answer::Broke(reason));
                }
                Ok(Err(_)) => {}
            }
            if answers.len() == question.queries.len() {
                return Ok(());
            }
        }
        Err(unknown(
            UnknownKind::Transport,
            "the connection broke again and again",
        ))
    }

    /// Closes what nobody used for long.
    pub(super) fn close_idle(&self) {
        let mut idle = self.idle.lock();
        idle.retain(|(_, used_at)| used_at.elapsed() < IDLE);
    }
}

async fn connect<D: Database>(
    database: &D,
    back_off: &BackOff,
    question: Question<'_>,
) -> Result<D::Session, Unknown> {
    if let Some(reason) = back_off.refused() {
        return Err(reason);
    }
    let has_fair_time = question.has_fair_time();
    match timeout_at(question.deadline, database.connect()).await {
        Ok(Ok(session)) => {
            back_off.succeeded();
            Ok(session)
        }
        Ok(Err(reason)) => {
            back_off.failed(&reason);
            Err(reason)
        }
        Err(_) if has_fair_time => {
            let reason = late("cannot connect in time");
            back_off.failed(&reason);
            Err(reason)
        }
        // That says nothing about the database.
        Err(_) => Err(late("other queries left too little time to connect")),
    }
}

fn late(message: &str) -> Unknown {
    unknown(UnknownKind::Timeout, message)
}
