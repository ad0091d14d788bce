//! Who connects to us: bound tokens of service accounts, checked by the API server.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kube::Client;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;
use thiserror::Error;
use tokio::sync::Semaphore;
use zeron_core::Timestamp;

use crate::api::{CallError, Caller, Content, JSON};
use crate::counters::{Counters, Verb};
use crate::pods::wall;

/// Bytes of a token; bound tokens have about a thousand.
const TOKEN_LIMIT: usize = 16 << 10;
/// Answers that are remembered.
const CACHE_LIMIT: usize = 1024;
/// Reviews under way at once; one more waits.
const PARALLEL: usize = 8;

/// Whom we believe.
#[derive(Clone, Debug)]
pub struct TokenConfig {
    /// What the token must be for, such as `zeron-autoscaler`.
    pub audience: String,
    /// Service accounts that may connect, as namespace and name.
    pub accounts: BTreeSet<(String, String)>,
    /// How long an answer is believed at most: a pod that is deleted takes its token with it.
    pub max_age: Duration,
    /// For one review.
    pub timeout: Duration,
}

impl TokenConfig {
    /// Believes the accounts of `audience` for up to ten minutes.
    pub fn new<'a>(audience: &str, accounts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let owned = |(namespace, name): (&str, &str)| (namespace.to_owned(), name.to_owned());
        Self {
            audience: audience.to_owned(),
            accounts: accounts.into_iter().map(owned).collect(),
            max_age: Duration::from_secs(600),
            timeout: Duration::from_secs(5),
        }
    }
}

/// Who a token says that its bearer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Namespace of the service account.
    pub namespace: String,
    /// The service account.
    pub account: String,
    /// The pod that the token is bound to.
    pub pod: Option<String>,
    /// When the token ends, if it says so.
    pub expires: Option<Timestamp>,
}

/// A token that proves nothing.
#[derive(Debug, Error)]
pub enum TokenError {
    /// Empty, or longer than any token.
    #[error("this is no token")]
    Malformed,
    /// The API server does not accept it.
    #[error("the API server does not accept the token: {0}")]
    Rejected(String),
    /// It is for somebody else.
    #[error("the token is not for {0}")]
    Audience(String),
    /// It is another account's.
    #[error("{0} may not connect")]
    Account(String),
    /// It could not be checked.
    #[error("the token could not be checked")]
    Call(#[source] CallError),
}

/// Checks tokens by `TokenReview`. Needs `create` on `tokenreviews`.
pub struct TokenReviewer {
    caller: Caller,
    config: TokenConfig,
    known: Mutex<HashMap<Box<str>, (Identity, Timestamp)>>,
    permits: Semaphore,
}

impl fmt::Debug for TokenReviewer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenReviewer")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Review {
    #[serde(default)]
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    authenticated: bool,
    audiences: Vec<String>,
    error: String,
    user: User,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct User {
    username: String,
    extra: HashMap<String, Vec<String>>,
}

impl TokenReviewer {
    /// Checks by `client`.
    pub fn new(client: Client, config: TokenConfig, counters: Arc<Counters>) -> Self {
        Self {
            caller: Caller::new(client, counters, config.timeout),
            config,
            known: Mutex::default(),
            permits: Semaphore::new(PARALLEL),
        }
    }

    /// Who the bearer of `token` is. A good answer is remembered until the token ends.
    ///
    /// # Errors
    /// [`TokenError`]; nothing is remembered of it.
    pub async fn authenticate(&self, token: &str) -> Result<Identity, TokenError> {
        let token = token.trim();
        if token.is_empty() || token.len() > TOKEN_LIMIT {
            return Err(TokenError::Malformed);
        }
        let expires = expiry(token);
        if let Some(identity) = self.recall(token) {
            return Ok(identity);
        }
        // The semaphore is never closed.
        let _permit = self.permits.acquire().await.ok();
        // Somebody else may have asked for the same meanwhile.
        if let Some(identity) = self.recall(token) {
            return Ok(identity);
        }
        let status = self.review(token).await.map_err(TokenError::Call)?;
        let identity = self.judge(status, expires)?;
        self.remember(token, &identity);
        Ok(identity)
    }

    async fn review(&self, token: &str) -> Result<Status, CallError> {
        self.caller.counters.token_reviews.inc();
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [self.config.audience]},
        });
        let path = "/apis/authentication.k8s.io/v1/tokenreviews";
        let content = Content::new(JSON, &review);
        let review: Review = self.caller.call(Verb::create, path, Some(content)).await?;
        Ok(review.status)
    }

    fn judge(&self, status: Status, expires: Option<Timestamp>) -> Result<Identity, TokenError> {
        if !status.authenticated {
            return Err(TokenError::Rejected(status.error));
        }
        // An API server that does not know audiences answers none.
        if !status.audiences.contains(&self.config.audience) {
            return Err(TokenError::Audience(self.config.audience.clone()));
        }
        let name = status.user.username;
        let account = name.strip_prefix("system:serviceaccount:");
        let account = account.and_then(|account| account.split_once(':'));
        let account = account.map(|(namespace, name)| (namespace.to_owned(), name.to_owned()));
        let allowed = account.filter(|account| self.config.accounts.contains(account));
        let Some((namespace, account)) = allowed else {
            return Err(TokenError::Account(name));
        };
        let mut pod = status.user.extra;
        let pod = pod.remove("authentication.kubernetes.io/pod-name");
        Ok(Identity {
            namespace,
            account,
            pod: pod.and_then(|names| names.into_iter().next()),
            expires,
        })
    }

    fn recall(&self, token: &str) -> Option<Identity> {
        let known = self.known.lock();
        let (identity, until) = known.get(token)?;
        (*until > wall()).then(|| identity.clone())
    }

    fn remember(&self, token: &str, identity: &Identity) {
        let now = wall();
        let latest = now + self.config.max_age;
        let until = identity
            .expires
            .map_or(latest, |expires| expires.min(latest));
        let mut known = self.known.lock();
        if known.len() >= CACHE_LIMIT {
            known.retain(|_, (_, until)| *until > now);
        }
        if known.len() < CACHE_LIMIT {
            known.insert(token.into(), (identity.clone(), until));
        }
    }
}

/// `exp` of a JSON Web Token. Not checked: only ever shortens what the API server accepted.
fn expiry(token: &str) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Claims {
        exp: u64,
    }
    let payload = token.split('.').nth(1)?;
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: Claims = serde_json::from_slice(&payload).ok()?;
    Some(Timestamp::from_secs(claims.exp))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::{AtomicUsize, Ordering};

    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::Value;

    use super::*;

    /// Answers every review alike, and counts.
    fn reviewer(status: Value) -> (TokenReviewer, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let service = tower::service_fn(move |_: Request<Body>| {
            count.fetch_add(1, Ordering::Relaxed);
            let body = json!({ "status": status }).to_string().into_bytes();
            async move { Ok::<_, tower::BoxError>(Response::new(Body::from(body))) }
        });
        let config = TokenConfig::new("zeron-autoscaler", [("zeron-system", "zeron-activator")]);
        let client = Client::new(service, "default");
        (
            TokenReviewer::new(client, config, Arc::new(Counters::new())),
            asked,
        )
    }

    fn accepted(user: &str) -> Value {
        json!({"authenticated": true, "audiences": ["zeron-autoscaler"], "user": {
            "username": user,
            "extra": {"authentication.kubernetes.io/pod-name": ["zeron-activator-1"]},
        }})
    }

    fn token(exp: u64) -> String {
        let claims = json!({ "exp": exp }).to_string();
        format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims))
    }

    const ACTIVATOR: &str = "system:serviceaccount:zeron-system:zeron-activator";

    #[tokio::test]
    async fn a_good_token_is_asked_for_once_until_it_ends() {
        let (reviewer, asked) = reviewer(accepted(ACTIVATOR));
        let good = token(u64::MAX / 2_000_000);
        for _ in 0..3 {
            let identity = reviewer.authenticate(&good).await.unwrap();
            assert_eq!(identity.account, "zeron-activator");
            assert_eq!(identity.pod.as_deref(), Some("zeron-activator-1"));
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        // One that is over by its own words is asked for each time.
        for _ in 0..2 {
            reviewer.authenticate(&token(1)).await.unwrap();
        }
        assert_eq!(asked.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn other_accounts_other_audiences_and_bad_tokens_are_refused() {
        let (other, _) = reviewer(accepted("system:serviceaccount:default:default"));
        let refused = other.authenticate("x").await.unwrap_err();
        assert!(matches!(refused, TokenError::Account(_)), "{refused}");
        let (elsewhere, _) =
            reviewer(json!({"authenticated": true, "user": {"username": ACTIVATOR}}));
        let refused = elsewhere.authenticate("x").await.unwrap_err();
        assert!(matches!(refused, TokenError::Audience(_)), "{refused}");
        let (bad, asked) =
            reviewer(json!({"authenticated": false, "error": "invalid bearer token"}));
        let refused = bad.authenticate("x").await.unwrap_err();
        assert!(matches!(refused, TokenError::Rejected(_)), "{refused}");
        for nonsense in [String::new(), "x".repeat(TOKEN_LIMIT + 1)] {
            assert!(matches!(
                bad.authenticate(&nonsense).await,
                Err(TokenError::Malformed)
            ));
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
}
