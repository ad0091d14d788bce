//! One server: its connection, made on first use, and the pause after a failure.

use std::iter;
use std::sync::Arc;

use redis::{Cmd, Value};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::backoff::Backoff;
use super::connection::{Access, Connection};
use super::error::ReadError;
use super::key::Host;
use super::sentinel::Sentinels;

/// Commands in one pipeline: about a millisecond of the server's only thread.
const CHUNK: usize = 1_000;

/// Where a server is.
#[derive(Debug)]
pub(super) enum Place {
    /// There.
    At(Host),
    /// Where the sentinels say that the master is.
    Master(Sentinels),
}

/// One server and the connection to it.
#[derive(Debug)]
pub(super) struct Node {
    place: Place,
    pub(super) access: Arc<Access>,
    /// Whom to name before a connection was made.
    shown: Arc<str>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    connection: Option<Connection>,
    backoff: Backoff,
    /// The last failure, which stands until then.
    failed: Option<(Instant, ReadError)>,
}

impl Node {
    pub(super) fn new(place: Place, access: Arc<Access>) -> Self {
        let shown = match &place {
            Place::At(host) => host.to_string().into(),
            Place::Master(sentinels) => sentinels.master.as_str().into(),
        };
        Self {
            place,
            access,
            shown,
            state: Mutex::default(),
        }
    }

    /// Asks all `commands` in bounded pipelines: one answer each, in their order.
    pub(super) async fn run(
        &self,
        commands: &[Cmd],
        deadline: Instant,
    ) -> Vec<Result<Value, ReadError>> {
        let mut answers = Vec::with_capacity(commands.len());
        for chunk in commands.chunks(CHUNK) {
            match self.ask(chunk, deadline).await {
                Ok(values) => answers.extend(values.into_iter().map(Ok)),
                Err(error) => {
                    let rest = commands.len() - answers.len();
                    answers.extend(iter::repeat_n(Err(error), rest));
                    break;
                }
            }
        }
        answers
    }

    /// Where it is now.
    pub(super) async fn locate(&self, deadline: Instant) -> Result<Host, ReadError> {
        match &self.place {
            Place::At(host) => Ok(host.clone()),
            Place::Master(sentinels) => sentinels.find(deadline).await,
        }
    }

    async fn ask(&self, commands: &[Cmd], deadline: Instant) -> Result<Vec<Value>, ReadError> {
        let (connection, is_old) = self.connection(deadline).await?;
        let answers = connection.ask(commands, deadline).await;
        let connection = match &answers {
            // A server that restarts, or closes idle connections, is there again at once.
            Err(error) if is_old && error.is_lost() => {
                let dropping = self.drop_connection(&connection);
                timeout_at(deadline, dropping).await.ok();
                self.connection(deadline).await?.0
            }
            _ => {
                self.note(&connection, &answers, deadline).await;
                return answers;
            }
        };
        let answers = connection.ask(commands, deadline).await;
        self.note(&connection, &answers, deadline).await;
        answers
    }

    /// The connection, and whether it was there before.
    async fn connection(&self, deadline: Instant) -> Result<(Connection, bool), ReadError> {
        let Ok(mut state) = timeout_at(deadline, self.state.lock()).await else {
            return Err(ReadError::Timeout {
                server: Arc::clone(&self.shown),
            });
        };
        if let Some(connection) = state.connection.as_ref().filter(|it| it.is_open()) {
            return Ok((connection.clone(), true));
        }
        state.connection = None;
        if let Some((until, error)) = &state.failed
            && Instant::now() < *until
        {
            return Err(error.clone());
        }
        match self.connect(deadline).await {
            Ok(connection) => {
                state.connection = Some(connection.clone());
                Ok((connection, false))
            }
            Err(error) => {
                state.fail(&error);
                Err(error)
            }
        }
    }

    async fn connect(&self, deadline: Instant) -> Result<Connection, ReadError> {
        let host = self.locate(deadline).await?;
        let connection = self.access.connect(&host, deadline).await?;
        if matches!(self.place, Place::Master(_)) {
            check_master(&connection, deadline).await?;
        }
        Ok(connection)
    }

    /// Whoever connects anew holds the state, perhaps longer than this reading may take: then it is his news
    /// that counts.
    async fn note(
        &self,
        connection: &Connection,
        answers: &Result<Vec<Value>, ReadError>,
        deadline: Instant,
    ) {
        let Ok(mut state) = timeout_at(deadline, self.state.lock()).await else {
            return;
        };
        match answers {
            Ok(_) => {
                state.backoff.succeeded();
                state.failed = None;
            }
            Err(error) if error.is_of_connection() => {
                state.fail(error);
                state.forget(connection);
            }
            Err(_) => {}
        }
    }

    async fn drop_connection(&self, connection: &Connection) {
        self.state.lock().await.forget(connection);
    }
}

impl State {
    fn fail(&mut self, error: &ReadError) {
        let pause = self.backoff.failed();
        self.failed = Some((Instant::now() + pause, error.clone()));
    }

    /// Somebody else may have made another one meanwhile, which stays.
    fn forget(&mut self, connection: &Connection) {
        if self.connection.as_ref().is_some_and(|it| it.is(connection)) {
            self.connection = None;
        }
    }
}

/// Sentinels may name a server for a moment that has been demoted. One that does not say its role is taken at their word.
async fn check_master(connection: &Connection, deadline: Instant) -> Result<(), ReadError> {
    let role = connection.ask_one(&redis::cmd("ROLE"), deadline).await?;
    let Value::Array(parts) = role else {
        return Ok(());
    };
    match parts.first() {
        Some(Value::BulkString(role)) if role != b"master" => Err(ReadError::NotMaster {
            server: Arc::clone(&connection.server),
        }),
        _ => Ok(()),
    }
}
