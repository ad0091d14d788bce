//! `authModes`: what requests to a server show, as KEDA's authentication has it.

use zeron_core::policy::Secret;

use super::oauth::OAuth;
use super::{Basic, Header, Url, parse_url};
use crate::parameters::{Parameter, Parameters, Place};
use crate::tls::{self, TlsSettings};

pub(crate) const AUTH_MODES: Parameter = Parameter::list(
    "authModes",
    "what requests show: basic, bearer, tls, custom, oauth or apiKey, as far as this type knows it",
)
.from(Place::Either);
pub(crate) const AUTH_MODE: Parameter =
    Parameter::list("authMode", "the same as authModes").from(Place::Either);
pub(crate) const USERNAME: Parameter = Parameter::secret("username", "user of basic");
pub(crate) const PASSWORD: Parameter = Parameter::secret("password", "password of basic");
pub(crate) const BEARER_TOKEN: Parameter = Parameter::secret("bearerToken", "token of bearer");
pub(crate) const TOKEN: Parameter = Parameter::secret("token", "the same as bearerToken");
pub(crate) const CUSTOM_AUTH_HEADER: Parameter =
    Parameter::secret("customAuthHeader", "name of the header of custom");
pub(crate) const CUSTOM_AUTH_VALUE: Parameter =
    Parameter::secret("customAuthValue", "value of the header of custom");
pub(crate) const OAUTH_TOKEN_URI: Parameter = Parameter::secret(
    "oauthTokenURI",
    "where oauth gets tokens, by client credentials",
);
pub(crate) const SCOPES: Parameter =
    Parameter::list("scopes", "scopes that oauth asks for").from(Place::Auth);
pub(crate) const SCOPE: Parameter =
    Parameter::list("scope", "the same as scopes").from(Place::Auth);
pub(crate) const CLIENT_ID: Parameter = Parameter::secret("clientID", "client of oauth");
pub(crate) const CLIENT_SECRET: Parameter =
    Parameter::secret("clientSecret", "secret of the client of oauth");
pub(crate) const ENDPOINT_PARAMS: Parameter = Parameter::secret(
    "endpointParams",
    "further parameters for oauthTokenURI: a=b&c=d",
);
pub(crate) const API_KEY: Parameter =
    Parameter::text("apiKey", "key of apiKey").from(Place::Either);
pub(crate) const METHOD: Parameter = Parameter::choice(
    "method",
    &["header", "query"],
    "where the key of apiKey is shown",
)
.from(Place::Either)
.default("header");
pub(crate) const KEY_PARAM_NAME: Parameter = Parameter::text(
    "keyParamName",
    "name of the header or query parameter of apiKey; X-API-KEY or api_key",
)
.from(Place::Either);

/// What is shown to a server. Part of what tells two clients of one server apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct HttpAuth {
    /// User and password.
    pub(crate) basic: Option<Basic>,
    /// Headers.
    pub(crate) headers: Vec<Header>,
    /// A parameter of the query.
    pub(crate) query: Option<Header>,
    /// Where tokens come from.
    pub(crate) oauth: Option<OAuth>,
    /// Whom to trust, and the certificate to show.
    pub(crate) tls: TlsSettings,
}

impl HttpAuth {
    /// Reads the modes, of those that are `known`, and what they need.
    pub(crate) fn read(parameters: &mut Parameters<'_>, known: &[&str]) -> Self {
        let modes = modes(parameters, known);
        let has = |mode: &str| modes.iter().any(|it| it == mode);
        let mut auth = Self {
            tls: tls(parameters, has("tls")),
            ..Self::default()
        };
        if has("basic") {
            let user = needed(parameters, &USERNAME, "basic");
            let password = parameters.secret(&PASSWORD).unwrap_or_default();
            auth.basic = Some((user.expose().to_owned(), password));
        }
        if has("bearer") {
            let token = parameters.secret(&BEARER_TOKEN);
            let token = token.or_else(|| parameters.secret(&TOKEN));
            let token = token.unwrap_or_else(|| needed(parameters, &BEARER_TOKEN, "bearer"));
            auth.headers.push(bearer(&token));
        }
        if has("custom") {
            let name = needed(parameters, &CUSTOM_AUTH_HEADER, "custom");
            let value = needed(parameters, &CUSTOM_AUTH_VALUE, "custom");
            auth.headers.push((name.expose().to_owned(), value));
        }
        if has("oauth") {
            auth.oauth = oauth(parameters);
        }
        if has("apiKey") {
            auth.api_key(parameters);
        }
        auth
    }

    fn api_key(&mut self, parameters: &mut Parameters<'_>) {
        let key = needed(parameters, &API_KEY, "apiKey");
        let name = parameters.text(&KEY_PARAM_NAME);
        if parameters.choice(&METHOD) == Some("query") {
            self.query = Some((name.unwrap_or("api_key").to_owned(), key));
        } else {
            self.headers
                .push((name.unwrap_or("X-API-KEY").to_owned(), key));
        }
    }

    /// `url` with the parameter that is shown in the query, which replaces one of that name.
    pub(crate) fn complete(&self, url: &Url) -> Url {
        let mut complete = url.clone();
        if let Some((name, value)) = &self.query {
            let others = url.query_pairs().filter(|(it, _)| it != name);
            let mut pairs = complete.query_pairs_mut();
            pairs.clear().extend_pairs(others);
            pairs.append_pair(name, value.expose());
        }
        complete
    }
}

/// The header of a bearer token.
pub(super) fn bearer(token: &Secret) -> Header {
    let value = format!("Bearer {}", token.expose());
    ("Authorization".to_owned(), Secret::new(value))
}

/// The modes that are asked for: each known, and at most one that names a user.
fn modes(parameters: &mut Parameters<'_>, known: &[&str]) -> Vec<String> {
    let mut modes = parameters.list(&AUTH_MODES);
    modes.extend(parameters.list(&AUTH_MODE));
    for mode in &modes {
        if !known.contains(&mode.as_str()) {
            let known = known.join(", ");
            // The words may come from a Secret: what is unknown is not repeated.
            let message = format!("authModes: a mode is not known here, expected {known}");
            parameters.problem(&AUTH_MODES, message);
        }
    }
    let named = ["bearer", "basic", "oauth"];
    let count = named
        .iter()
        .filter(|it| modes.iter().any(|mode| mode == *it));
    if count.count() > 1 {
        let message = "authModes: bearer, basic and oauth exclude each other";
        parameters.problem(&AUTH_MODES, message);
    }
    modes
}

/// A CA counts in every mode, a certificate in its own.
fn tls(parameters: &mut Parameters<'_>, shows_certificate: bool) -> TlsSettings {
    let mut settings = TlsSettings {
        ca: parameters.secret(&tls::CA),
        is_unverified: parameters.flag(&tls::UNSAFE_SSL),
        ..TlsSettings::default()
    };
    if shows_certificate {
        settings.certificate = Some(needed(parameters, &tls::CERT, "tls"));
        settings.key = Some(needed(parameters, &tls::KEY, "tls"));
    }
    if !parameters.has_errors() {
        settings.check(parameters);
    }
    settings
}

fn oauth(parameters: &mut Parameters<'_>) -> Option<OAuth> {
    let uri = needed(parameters, &OAUTH_TOKEN_URI, "oauth");
    let client = needed(parameters, &CLIENT_ID, "oauth");
    let secret = needed(parameters, &CLIENT_SECRET, "oauth");
    let mut scopes = parameters.list(&SCOPES);
    if scopes.is_empty() {
        scopes = parameters.list(&SCOPE);
    }
    let further = parameters.secret(&ENDPOINT_PARAMS).unwrap_or_default();
    match parse_url(uri.expose()) {
        Ok(uri) => Some(OAuth::new(uri, client, secret, &scopes, &further)),
        Err(what) => {
            if !uri.expose().is_empty() {
                parameters.problem(&OAUTH_TOKEN_URI, format!("oauthTokenURI {what}"));
            }
            None
        }
    }
}

fn needed(parameters: &mut Parameters<'_>, parameter: &Parameter, mode: &str) -> Secret {
    parameters.secret(parameter).unwrap_or_else(|| {
        let message = format!("{} is required by authModes {mode}", parameter.name);
        parameters.problem(parameter, message);
        Secret::default()
    })
}

#[cfg(test)]
mod tests;
