//! Why an admin API gave no answer.

use std::io;

use super::cluster::ForwardError;
use crate::address::AdminAddress;
use crate::admin::{ApiProblem, TokenError};

/// Why there is no answer. Places are named as `http://HOST:PORT`, `unix:PATH` or `pod NAMESPACE/NAME`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody listens.
    #[error("no zeron is running at {0}: start one with `zeron up PATH`")]
    NotRunning(AdminAddress),
    /// The connection failed.
    #[error("{0} cannot be reached")]
    Connect(String, #[source] io::Error),
    /// The API server does not lead to the pod.
    #[error("{0} cannot be reached")]
    Forward(String, #[source] ForwardError),
    /// Too slow.
    #[error("{0} did not answer in time")]
    Timeout(String),
    /// The connection broke, or the other side does not speak HTTP.
    #[error("{0} did not answer as expected")]
    Http(String, #[source] hyper::Error),
    /// The answer is not what this version understands.
    #[error("the answer of {0} cannot be read: is it a zeron of this version?")]
    Decode(String, #[source] serde_json::Error),
    /// The answer is too large to hold.
    #[error("the answer of {0} is too large or was cut off")]
    Body(String),
    /// It was understood and refused.
    #[error("{}", .0.detail)]
    Refused(Box<ApiProblem>),
    /// The token file.
    #[error("{}", .0.display())]
    Token(std::path::PathBuf, #[source] TokenError),
    /// A request could not be put together: a name that does not fit into a path.
    #[error("not a valid name")]
    Request(#[source] hyper::http::Error),
}
