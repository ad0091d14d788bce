//! One request and the check of its answer.

use anyhow::Result;
use bytes::{Buf, Bytes};
use http::header::{HOST, HeaderMap, RETRY_AFTER};
use http::{Request, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;

use super::Target;
use super::pool::{Lease, Pool};
use super::report::Class;
use crate::subject::origin;

/// A request ready to be sent often.
#[derive(Debug)]
pub(super) struct Exchange {
    uri: Uri,
    headers: HeaderMap,
    body: Option<Bytes>,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// How it ended.
    pub(crate) class: Class,
    /// The answer told when to come again.
    pub(crate) has_retry_after: bool,
    /// The process that answered, as our origin tells; 0: unknown.
    pub(crate) instance: u32,
    /// Most requests that this process ever had at once, as our origin tells; 0: unknown.
    pub(crate) peak: u32,
}

impl Reply {
    /// A request that got no answer.
    pub(super) fn failed(class: Class) -> Self {
        Self {
            class,
            has_retry_after: false,
            instance: 0,
            peak: 0,
        }
    }
}

impl Exchange {
    pub(super) fn new(target: &Target) -> Result<Self> {
        let mut headers = target.headers.clone();
        headers.insert(HOST, target.host.parse()?);
        Ok(Self {
            uri: target.path.parse()?,
            headers,
            body: target.body.clone(),
        })
    }

    /// Sends the request over a connection of `pool`. Dropped before the end, it closes the connection.
    pub(super) async fn run(&self, pool: &Pool) -> Reply {
        let mut lease = match pool.check_out().await {
            Ok(lease) => lease,
            Err(class) => return Reply::failed(class),
        };
        match self.on(&mut lease).await {
            Some(reply) => {
                pool.put_back(lease);
                reply
            }
            None => Reply::failed(Class::Closed),
        }
    }

    /// `None` when the connection failed.
    async fn on(&self, lease: &mut Lease) -> Option<Reply> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let response = lease.connection.sender.send_request(request).await.ok()?;
        let (head, body) = response.into_parts();
        let is_same = self.verify(body).await?;
        let class = match head.status.as_u16() {
            200 if is_same => Class::Ok,
            200 => Class::Body,
            status => Class::Status(status),
        };
        Some(Reply {
            class,
            has_retry_after: head.headers.contains_key(RETRY_AFTER),
            instance: number(&head.headers, origin::INSTANCE),
            peak: number(&head.headers, origin::PEAK),
        })
    }

    /// Reads the body to its end; whether it is the expected one. `None` when it was cut short.
    async fn verify(&self, mut body: Incoming) -> Option<bool> {
        let mut rest = self.body.clone();
        let mut is_same = true;
        while let Some(frame) = body.frame().await {
            let Ok(chunk) = frame.ok()?.into_data() else {
                continue;
            };
            if let Some(rest) = &mut rest {
                is_same &= rest.starts_with(&chunk);
                rest.advance(chunk.len().min(rest.len()));
            }
        }
        Some(is_same && rest.is_none_or(|rest| rest.is_empty()))
    }
}

fn number(headers: &HeaderMap, name: &str) -> u32 {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.and_then(|text| text.parse().ok()).unwrap_or(0)
}
