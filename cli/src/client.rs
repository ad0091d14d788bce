//! Asks the admin API of a running zeron: on this machine, or of a cluster's autoscalers.

mod choice;
mod cluster;
mod error;
mod place;
mod source;

use std::io;
use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::address::AdminAddress;
use crate::admin::{ApiProblem, DecisionList, FunctionList, ProblemList, Token};
use crate::control::{ApplyReport, ApplyRequest, FunctionView, ObjectName, Problem};

pub(crate) use choice::{BothNamed, Choice, Wishes, has_kubeconfig};
pub(crate) use cluster::{Cluster, ClusterError, ClusterOptions, LogWish, Said, Scope};
pub(crate) use error::ClientError;
use place::Place;
pub(crate) use source::{Listing, Source, SourceError};

/// How long an answer may take to begin; a change may take a minute.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(70);
/// Largest answer that is read as a whole, in bytes.
const MAX_ANSWER: usize = 256 << 20;

/// A client of one running zeron. Each call uses a connection of its own.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    place: Place,
    token: Option<Token>,
    /// How long an answer may take to begin, and to be read as a whole.
    patience: Duration,
}

impl Client {
    /// A client of the admin API at `address`.
    ///
    /// # Errors
    /// When the token file cannot be used.
    pub(crate) fn new(
        address: AdminAddress,
        token_file: Option<&Path>,
    ) -> Result<Self, ClientError> {
        let read = |path: &Path| Token::read(path).map_err(|e| ClientError::Token(path.into(), e));
        Ok(Self {
            place: Place::Machine(address),
            token: token_file.map(read).transpose()?,
            patience: ANSWER_TIMEOUT,
        })
    }

    /// Every function, or those of one namespace.
    #[cfg(test)]
    pub(crate) async fn functions(
        &self,
        namespace: Option<&str>,
    ) -> Result<Vec<FunctionView>, ClientError> {
        Ok(self.list(namespace).await?.functions)
    }

    /// Every function, or those of one namespace, and which part of all they are.
    pub(crate) async fn list(&self, namespace: Option<&str>) -> Result<FunctionList, ClientError> {
        let path = match namespace {
            Some(namespace) => format!("/v1/functions?namespace={}", escape(namespace)),
            None => "/v1/functions".to_owned(),
        };
        self.get(&path).await
    }

    /// The same function as it is now.
    pub(crate) async fn function(&self, view: &FunctionView) -> Result<FunctionView, ClientError> {
        self.get(&function_path(view, "", &[])).await
    }

    /// The decisions of one function, oldest first.
    pub(crate) async fn decisions(&self, view: &FunctionView) -> Result<DecisionList, ClientError> {
        self.get(&function_path(view, "/decisions", &[])).await
    }

    /// What is wrong with the manifests as they are now.
    pub(crate) async fn problems(&self) -> Result<Vec<Problem>, ClientError> {
        Ok(self.get::<ProblemList>("/v1/problems").await?.problems)
    }

    /// Adds or replaces objects.
    pub(crate) async fn apply(&self, request: &ApplyRequest) -> Result<ApplyReport, ClientError> {
        let response = self.send(Method::POST, "/v1/apply", Some(request)).await?;
        self.decode(response).await
    }

    /// Deletes an object.
    pub(crate) async fn delete(&self, object: &ObjectName) -> Result<(), ClientError> {
        let [namespace, kind, name] =
            [&object.namespace, &object.kind, &object.name].map(|part| escape(part));
        let path = format!("/v1/objects/{namespace}/{kind}/{name}");
        self.send::<()>(Method::DELETE, &path, None).await?;
        Ok(())
    }

    /// Log lines as they come, each chunk handed to `write`, until the end.
    pub(crate) async fn logs(
        &self,
        view: &FunctionView,
        query: &[(&str, String)],
        mut write: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<io::Result<()>, ClientError> {
        let path = function_path(view, "/logs", query);
        let mut body = self.send::<()>(Method::GET, &path, None).await?.into_body();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| ClientError::Http(self.place.to_string(), e))?;
            if let Some(chunk) = frame.data_ref()
                && let Err(error) = write(chunk)
            {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let response = self.send::<()>(Method::GET, path, None).await?;
        self.decode(response).await
    }

    async fn send<T: Serialize>(
        &self,
        method: Method,
        path: &str,
        body: Option<&T>,
    ) -> Result<Response<Incoming>, ClientError> {
        let request = self.request(method, path, body)?;
        let answer = tokio::time::timeout(self.patience, self.exchange(request)).await;
        let response = answer.map_err(|_| ClientError::Timeout(self.place.to_string()))??;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refusal(response).await)
    }

    fn request<T: Serialize>(
        &self,
        method: Method,
        path: &str,
        body: Option<&T>,
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        let mut builder = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.place.host());
        if let Some(token) = &self.token {
            builder = builder.header(header::AUTHORIZATION, token.authorization());
        }
        let mut bytes = Bytes::new();
        if let Some(body) = body {
            let encoded = serde_json::to_vec(body);
            bytes = encoded
                .map_err(|e| ClientError::Decode(self.place.to_string(), e))?
                .into();
            builder = builder.header(header::CONTENT_TYPE, "application/json");
        }
        builder.body(Full::new(bytes)).map_err(ClientError::Request)
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, ClientError> {
        let stream = self.place.connect().await?;
        let failed = |e| ClientError::Http(self.place.to_string(), e);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(failed)?;
        tokio::spawn(async move {
            // What went wrong shows in the answer, or in its body.
            connection.await.ok();
        });
        sender.send_request(request).await.map_err(failed)
    }

    async fn decode<T: DeserializeOwned>(
        &self,
        response: Response<Incoming>,
    ) -> Result<T, ClientError> {
        let bytes = self.collect(response).await?;
        serde_json::from_slice(&bytes).map_err(|e| ClientError::Decode(self.place.to_string(), e))
    }

    async fn collect(&self, response: Response<Incoming>) -> Result<Bytes, ClientError> {
        let body = http_body_util::Limited::new(response.into_body(), MAX_ANSWER);
        let whole = tokio::time::timeout(self.patience, body.collect()).await;
        let whole = whole.map_err(|_| ClientError::Timeout(self.place.to_string()))?;
        Ok(whole
            .map_err(|_| ClientError::Body(self.place.to_string()))?
            .to_bytes())
    }

    async fn refusal(&self, response: Response<Incoming>) -> ClientError {
        let status = response.status();
        let bytes = self.collect(response).await.unwrap_or_default();
        let problem = serde_json::from_slice(&bytes).unwrap_or_else(|_| unexplained(status));
        ClientError::Refused(Box::new(problem))
    }
}

fn unexplained(status: StatusCode) -> ApiProblem {
    ApiProblem::new(
        status,
        format!("the answer was {status}: is this zeron's admin address?"),
    )
}

/// The path of one function by its own kind and name, which nothing else has.
fn function_path(view: &FunctionView, rest: &str, query: &[(&str, String)]) -> String {
    let id = &view.status.id;
    let [namespace, name, kind] = [id.namespace(), id.name(), id.kind()].map(escape);
    let mut path = format!("/v1/functions/{namespace}/{name}{rest}?kind={kind}");
    for (key, value) in query {
        path.push_str(&format!("&{key}={}", escape(value)));
    }
    path
}

/// Percent-encodes all but RFC 3986's unreserved characters.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}
