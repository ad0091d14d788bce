//! OAuth 2.0 client credentials (RFC 6749, section 4.4): a token is fetched once and kept until it expires.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use zeron_core::metric::{Unknown, UnknownKind};
use zeron_core::policy::Secret;

use super::auth::bearer;
use super::{Header, HttpClient, Url, shown};
use crate::source::unknown;

/// A token is fetched anew so long before it expires.
const EARLY: Duration = Duration::from_secs(10);
/// How long a token counts whose server does not say it.
const DEFAULT_LIFE: Duration = Duration::from_secs(300);
/// Longer lives are cut: a server's number must not overflow a clock.
const MAX_LIFE: Duration = Duration::from_secs(24 * 3600);

/// Where tokens come from, and what is shown for them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct OAuth {
    uri: Url,
    client: Secret,
    secret: Secret,
    form: Vec<(String, Secret)>,
}

/// Shows no credentials: the URL may hold some too.
impl fmt::Debug for OAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OAuth({})", shown(&self.uri))
    }
}

/// A token server's answer.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    #[serde(default)]
    expires_in: Option<f64>,
}

impl OAuth {
    /// Tokens of `uri` for `scopes`; `further` are parameters as in a query.
    pub(super) fn new(
        uri: Url,
        client: Secret,
        secret: Secret,
        scopes: &[String],
        further: &Secret,
    ) -> Self {
        let mut form = vec![("grant_type".to_owned(), Secret::new("client_credentials"))];
        if !scopes.is_empty() {
            form.push(("scope".to_owned(), Secret::new(scopes.join(" "))));
        }
        let mut query = Url::parse("form:").expect("a constant URL");
        query.set_query(Some(further.expose()));
        let pairs = query.query_pairs();
        let pairs = pairs.filter(|(name, _)| !name.is_empty());
        form.extend(pairs.map(|(name, value)| (name.into_owned(), Secret::new(value))));
        Self {
            uri,
            client,
            secret,
            form,
        }
    }

    /// Asks for a token: the credentials in the header, as servers must take them, else in the form.
    async fn fetch(&self, client: &HttpClient, deadline: Duration) -> Result<Granted, Unknown> {
        let end = Instant::now() + deadline;
        let basic = (self.client.expose().to_owned(), self.secret.clone());
        let answer = client
            .post_form(&self.uri, Some(&basic), &self.form, deadline)
            .await?;
        let body = if matches!(answer.status(), 400 | 401) {
            let mut form = self.form.clone();
            form.push(("client_id".to_owned(), self.client.clone()));
            form.push(("client_secret".to_owned(), self.secret.clone()));
            let left = end.saturating_duration_since(Instant::now());
            let answer = client.post_form(&self.uri, None, &form, left).await?;
            refused(&self.uri, answer.status())?;
            answer.body()?
        } else {
            answer.body()?
        };
        serde_json::from_slice(&body).map_err(|_| {
            let message = format!("{} answered with no token", shown(&self.uri));
            unknown(UnknownKind::Parse, message)
        })
    }
}

/// RFC 6749, section 5.2: wrong credentials are answered by 400 or 401.
fn refused(uri: &Url, status: u16) -> Result<(), Unknown> {
    match status {
        400 | 401 => Err(unknown(
            UnknownKind::Authentication,
            format!("{} gives no token for these credentials", shown(uri)),
        )),
        _ => Ok(()),
    }
}

/// The token of one client, fetched by whoever needs it first.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    kept: Mutex<Option<Kept>>,
}

#[derive(Debug)]
struct Kept {
    token: Secret,
    until: Instant,
}

impl Tokens {
    /// The header that shows a token.
    ///
    /// # Errors
    /// Where there is none within `deadline`.
    pub(crate) async fn header(
        &self,
        oauth: &OAuth,
        client: &HttpClient,
        deadline: Duration,
    ) -> Result<Header, Unknown> {
        let fetching = async {
            let mut kept = self.kept.lock().await;
            if let Some(kept) = kept.as_ref().filter(|it| Instant::now() < it.until) {
                return Ok(bearer(&kept.token));
            }
            let granted = oauth.fetch(client, deadline).await?;
            let token = Secret::new(granted.access_token);
            let header = bearer(&token);
            *kept = Some(Kept {
                token,
                until: Instant::now() + life(granted.expires_in),
            });
            Ok(header)
        };
        let fetched = tokio::time::timeout(deadline, fetching).await;
        fetched.unwrap_or_else(|_| {
            let message = format!("{} gave no token in time", shown(&oauth.uri));
            Err(unknown(UnknownKind::Timeout, message))
        })
    }

    /// A server refused the token: the next one is fetched.
    pub(crate) async fn forget(&self) {
        *self.kept.lock().await = None;
    }
}

fn life(expires_in: Option<f64>) -> Duration {
    let life = expires_in.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    life.map_or(DEFAULT_LIFE, |life| life.min(MAX_LIFE))
        .saturating_sub(EARLY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_has_grant_scopes_and_further_parameters() {
        let uri = Url::parse("http://host/token").unwrap();
        let scopes = ["a".to_owned(), "b".to_owned()];
        let further = Secret::new("audience=x%20y&resource=z");
        let oauth = OAuth::new(uri, Secret::new("c"), Secret::new("s"), &scopes, &further);
        let form: Vec<_> = oauth
            .form
            .iter()
            .map(|(name, value)| (name.as_str(), value.expose()))
            .collect();
        let wanted = [
            ("grant_type", "client_credentials"),
            ("scope", "a b"),
            ("audience", "x y"),
            ("resource", "z"),
        ];
        assert_eq!(form, wanted);
    }

    #[test]
    fn lives_that_are_none_are_replaced_and_long_ones_cut() {
        assert_eq!(life(Some(70.0)), Duration::from_secs(60));
        assert_eq!(life(Some(3.0)), Duration::ZERO);
        assert_eq!(life(Some(f64::NAN)), DEFAULT_LIFE - EARLY);
        assert_eq!(life(None), DEFAULT_LIFE - EARLY);
        assert_eq!(life(Some(1e300)), DEFAULT_LIFE - EARLY);
        assert_eq!(life(Some(1e9)), MAX_LIFE - EARLY);
    }
}
