//! HTTP client of sources: bounded in time, bytes and connections, and it dials only what triggers may reach.
//!
//! Addresses are checked after resolution, on every connection; redirects are not followed; proxies of
//! the environment are not used. Messages name host and port alone: a path or a query may be a secret.

mod answer;
pub(crate) mod auth;
mod backoff;
mod failure;
mod oauth;
mod resolver;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, redirect};
use tokio::sync::Semaphore;
use zeron_core::metric::{Unknown, UnknownKind};
use zeron_core::policy::Secret;

use crate::AddressPolicy;
use crate::source::unknown;
use crate::tls::TlsSettings;
use backoff::Backoff;
use resolver::Resolver;

pub(crate) use answer::Answer;
pub(crate) use oauth::Tokens;
pub(crate) use reqwest::Url;

/// Requests of one client at once, and idle connections that it keeps.
const MAX_REQUESTS: usize = 8;
/// Bytes of a body, unless the source says otherwise.
const MAX_BODY: usize = 4 << 20;
/// An address that swallows packets leaves time for the next one of the same name.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// A header and its value.
pub(crate) type Header = (String, Secret);

/// A user and a password.
pub(crate) type Basic = (String, Secret);

/// A client of HTTP servers with one kind of TLS; its connections live as long as it does.
#[derive(Debug)]
pub(crate) struct HttpClient {
    client: Result<reqwest::Client, Unknown>,
    policy: AddressPolicy,
    slots: Semaphore,
    backoff: Backoff,
    max_body: usize,
}

impl HttpClient {
    /// A client without a connection. Settings that are wrong make every request fail.
    pub(crate) fn new(policy: AddressPolicy, tls: &TlsSettings) -> Self {
        Self {
            client: build(policy.clone(), tls),
            policy,
            slots: Semaphore::new(MAX_REQUESTS),
            backoff: Backoff::default(),
            max_body: MAX_BODY,
        }
    }

    /// The same, for bodies of up to so many bytes.
    #[must_use]
    pub(crate) fn with_max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Sends a GET and reads the whole answer within `deadline`.
    ///
    /// # Errors
    /// `Configuration` where the address may not be reached or a header is none; `Transport`, also for a
    /// redirect or a body that is too long; `Timeout`. Other statuses are the [`Answer`]'s.
    pub(crate) async fn get(
        &self,
        url: &Url,
        headers: &[Header],
        basic: Option<&Basic>,
        deadline: Duration,
    ) -> Result<Answer, Unknown> {
        let build = |client: &reqwest::Client| client.request(Method::GET, url.clone());
        self.send(url, headers, basic, deadline, build).await
    }

    /// Sends a form by POST, as [`HttpClient::get`] does.
    ///
    /// # Errors
    /// As [`HttpClient::get`].
    pub(crate) async fn post_form(
        &self,
        url: &Url,
        basic: Option<&Basic>,
        form: &[(String, Secret)],
        deadline: Duration,
    ) -> Result<Answer, Unknown> {
        let build = |client: &reqwest::Client| {
            let body = encode(form);
            let request = client.request(Method::POST, url.clone()).body(body);
            request.header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        };
        self.send(url, &[], basic, deadline, build).await
    }

    /// Sends JSON by POST, as [`HttpClient::get`] does.
    ///
    /// # Errors
    /// As [`HttpClient::get`].
    pub(crate) async fn post_json(
        &self,
        url: &Url,
        headers: &[Header],
        json: &Secret,
        deadline: Duration,
    ) -> Result<Answer, Unknown> {
        let build = |client: &reqwest::Client| {
            let request = client.request(Method::POST, url.clone());
            let request = request.header(CONTENT_TYPE, "application/json");
            request.body(json.expose().to_owned())
        };
        self.send(url, headers, None, deadline, build).await
    }

    async fn send(
        &self,
        url: &Url,
        headers: &[Header],
        basic: Option<&Basic>,
        deadline: Duration,
        build: impl Fn(&reqwest::Client) -> reqwest::RequestBuilder,
    ) -> Result<Answer, Unknown> {
        let client = self.client.as_ref().map_err(Unknown::clone)?;
        let server: Arc<str> = shown(url).into();
        self.check_literal(url)?;
        let mut request = build(client).headers(header_map(headers)?);
        if let Some((user, password)) = basic {
            request = request.basic_auth(user, Some(password.expose()));
        }
        let answered = tokio::time::timeout(deadline, self.exchange(request, &server));
        answered.await.unwrap_or_else(|_| {
            let message = format!("{server} did not answer within {deadline:?}");
            Err(unknown(UnknownKind::Timeout, message))
        })
    }

    async fn exchange(
        &self,
        request: reqwest::RequestBuilder,
        server: &Arc<str>,
    ) -> Result<Answer, Unknown> {
        let slot = self.slots.acquire().await;
        let _slot = slot.expect("the semaphore is never closed");
        self.backoff.check(server)?;
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                let reason = failure::of(server, &error);
                // What was connected is there: only who cannot be dialled is left alone for a while.
                if error.is_connect() {
                    self.backoff.failed(server, &reason);
                }
                return Err(reason);
            }
        };
        self.backoff.reached(server);
        Answer::read(response, server, self.max_body).await
    }

    /// Literal addresses are dialled without asking the resolver.
    fn check_literal(&self, url: &Url) -> Result<(), Unknown> {
        let host = url.host_str().unwrap_or("");
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        match bare.parse::<IpAddr>() {
            Ok(address) => self.policy.check(host, std::iter::once(address)),
            Err(_) => Ok(()),
        }
    }
}

fn build(policy: AddressPolicy, tls: &TlsSettings) -> Result<reqwest::Client, Unknown> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls.client_config()?)
        .dns_resolver(Resolver::new(policy))
        .no_proxy()
        .redirect(redirect::Policy::none())
        .referer(false)
        .user_agent(concat!("zeron/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_WITHIN)
        .pool_max_idle_per_host(MAX_REQUESTS)
        .tcp_nodelay(true)
        .build()
        .map_err(|error| {
            let message = format!("no HTTP client can be made: {}", failure::cause(&error));
            unknown(UnknownKind::Configuration, message)
        })
}

/// A URL of a trigger: `http` or `https`, with a host.
///
/// # Errors
/// What is wrong with it, without repeating it: it may hold a password.
pub(crate) fn parse_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "is no URL such as http://host:port/path")?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        _ => Err("is neither http nor https"),
    }
}

/// Scheme, host and port of a URL: what messages may say of it.
pub(crate) fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or("");
    match url.port_or_known_default() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    }
}

/// The headers; their values are never shown.
fn header_map(headers: &[Header]) -> Result<HeaderMap, Unknown> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let wrong = |what: &str| {
            let message = format!("{what} of header {name:?} is not allowed in HTTP");
            unknown(UnknownKind::Configuration, message)
        };
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("the name"))?;
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| wrong("the value"))?;
        value.set_sensitive(true);
        map.append(key, value);
    }
    Ok(map)
}

/// `application/x-www-form-urlencoded`, as the URL standard has it.
fn encode(form: &[(String, Secret)]) -> String {
    let mut url = Url::parse("form:").expect("a constant URL");
    for (name, value) in form {
        url.query_pairs_mut().append_pair(name, value.expose());
    }
    url.query().unwrap_or("").to_owned()
}

#[cfg(test)]
mod tests;
