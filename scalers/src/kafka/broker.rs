//! One broker: its connection, kept from one reading to the next, and how long to leave it alone after a failure.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use super::connection::Connection;
use super::endpoint::Endpoint;
use super::error::ReadError;
use super::protocol::{Request, Response};
use super::security::Access;

/// Not dialled again for so long after a first failure, then twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// And never longer.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// What is to be asked, or why it cannot be.
pub(crate) type Made = Result<Vec<Request>, ReadError>;

/// Makes requests in the versions that a connection's broker speaks.
pub(crate) type Make<'a> = &'a (dyn Fn(&Connection) -> Made + Send + Sync);

/// A broker, connected to when it is first asked.
#[derive(Debug)]
pub(crate) struct Broker {
    name: Arc<str>,
    endpoint: Endpoint,
    access: Arc<Access>,
    /// One exchange at a time.
    connection: tokio::sync::Mutex<Option<Connection>>,
    failed: Mutex<Option<Failed>>,
}

#[derive(Clone, Debug)]
struct Failed {
    error: ReadError,
    pause: Duration,
    until: Instant,
}

impl Broker {
    /// The broker at `endpoint`.
    pub(crate) fn new(endpoint: Endpoint, access: Arc<Access>) -> Self {
        Self {
            name: endpoint.to_string().into(),
            endpoint,
            access,
            connection: tokio::sync::Mutex::default(),
            failed: Mutex::default(),
        }
    }

    /// Its address, for messages.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether the last exchange failed.
    pub(crate) fn is_failing(&self) -> bool {
        self.failed.lock().is_some()
    }

    /// Sends what `make` makes, all at once, and reads an answer to each, until `deadline`.
    pub(crate) async fn ask(
        &self,
        deadline: Instant,
        make: Make<'_>,
    ) -> Result<Vec<Response>, ReadError> {
        // Whoever holds it has a deadline too, and notes what went wrong.
        let slot = timeout_at(deadline, self.connection.lock()).await;
        let mut slot = slot.map_err(|_| self.late())?;
        let outcome = self.ask_through(&mut slot, deadline, make).await;
        match &outcome {
            Ok(_) => *self.failed.lock() = None,
            Err(error) => self.note(error, slot.is_some()),
        }
        outcome
    }

    /// Takes the connection away while it is used: one that is left in the middle is closed.
    async fn ask_through(
        &self,
        slot: &mut Option<Connection>,
        deadline: Instant,
        make: Make<'_>,
    ) -> Result<Vec<Response>, ReadError> {
        if let Some(connection) = slot.take().filter(Connection::is_current) {
            let outcome = self.exchange(slot, connection, deadline, make).await;
            // A connection that lay idle may have been closed meanwhile, which says nothing about the broker.
            if !matches!(outcome, Err(ReadError::Unreachable { .. })) {
                return outcome;
            }
        }
        self.check_pause()?;
        let opening = Connection::open(&self.name, &self.endpoint, &self.access, deadline);
        let connection = opening.await?;
        self.exchange(slot, connection, deadline, make).await
    }

    async fn exchange(
        &self,
        slot: &mut Option<Connection>,
        mut connection: Connection,
        deadline: Instant,
        make: Make<'_>,
    ) -> Result<Vec<Response>, ReadError> {
        let requests = match make(&connection) {
            Ok(requests) => requests,
            Err(error) => {
                *slot = Some(connection);
                return Err(error);
            }
        };
        let answers = timeout_at(deadline, connection.ask(&requests)).await;
        let answers = answers.map_err(|_| self.late())??;
        *slot = Some(connection);
        Ok(answers)
    }

    fn check_pause(&self) -> Result<(), ReadError> {
        match &*self.failed.lock() {
            Some(failed) if Instant::now() < failed.until => Err(failed.error.clone()),
            _ => Ok(()),
        }
    }

    /// Notes a failure of the connection; one that is answered from memory changes nothing.
    fn note(&self, error: &ReadError, is_connected: bool) {
        let mut failed = self.failed.lock();
        let now = Instant::now();
        let is_paused = failed.as_ref().is_some_and(|failed| now < failed.until);
        if is_connected || is_paused {
            return;
        }
        let pause = failed.as_ref().map_or(FIRST_PAUSE, |it| it.pause * 2);
        let pause = pause.min(MAX_PAUSE);
        *failed = Some(Failed {
            error: error.clone(),
            pause,
            until: now + pause,
        });
    }

    fn late(&self) -> ReadError {
        ReadError::Timeout {
            broker: self.name.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
