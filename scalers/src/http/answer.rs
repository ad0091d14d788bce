//! The whole answer of a server, and what its status means.

use std::sync::Arc;

use reqwest::StatusCode;
use zeron_core::metric::{Unknown, UnknownKind};

use super::failure;
use crate::source::unknown;

/// An answer that was read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    body: Vec<u8>,
    server: Arc<str>,
}

impl Answer {
    /// Reads the body, up to `max` bytes.
    pub(super) async fn read(
        mut response: reqwest::Response,
        server: &Arc<str>,
        max: usize,
    ) -> Result<Self, Unknown> {
        let status = response.status();
        if status.is_redirection() {
            let message = format!("{server} answered {status}, and redirects are not followed");
            return Err(unknown(UnknownKind::Transport, message));
        }
        let mut body = Vec::new();
        let too_long = || {
            let message = format!("{server} answered with more than {max} bytes");
            unknown(UnknownKind::Transport, message)
        };
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| failure::of(server, &error))?
        {
            if body.len() + chunk.len() > max {
                return Err(too_long());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Self {
            status,
            body,
            server: Arc::clone(server),
        })
    }

    /// The status code.
    pub(crate) fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// The body, whatever the status.
    pub(crate) fn any_body(&self) -> &[u8] {
        &self.body
    }

    /// The body of a success.
    ///
    /// # Errors
    /// `Authentication` for 401 and 403, `Transport` with the status for every other failure.
    pub(crate) fn body(self) -> Result<Vec<u8>, Unknown> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        let kind = match self.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => UnknownKind::Authentication,
            _ => UnknownKind::Transport,
        };
        Err(unknown(
            kind,
            format!("{} answered {}", self.server, self.status),
        ))
    }

    /// As [`Answer::body`], for servers whose 404 means that `what` does not exist.
    ///
    /// # Errors
    /// `Missing` for 404, else as [`Answer::body`].
    #[cfg_attr(not(feature = "amqp"), allow(dead_code))]
    pub(crate) fn body_or_missing(self, what: &str) -> Result<Vec<u8>, Unknown> {
        if self.status == StatusCode::NOT_FOUND {
            let message = format!("{} does not know {what}", self.server);
            return Err(unknown(UnknownKind::Missing, message));
        }
        self.body()
    }
}
