//! HashiCorp Vault's HTTP API: signs in, and reads keys and values of both versions.
//!
//! Source: <https://developer.hashicorp.com/vault/api-docs>, `auth/kubernetes`, `secret/kv`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache as Moka;
use serde_json::Value;
use zeron_core::metric::{Unknown, UnknownKind};
use zeron_core::policy::{Secret, VaultEngine, VaultParameters, VaultSecret, VaultSignIn};

use super::Values;
use crate::address::AddressPolicy;
use crate::http::{Header, HttpClient, Url, parse_url, shown};
use crate::source::unknown;
use crate::tls::TlsSettings;

/// Where a pod's own token is.
const ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
/// How long the token of a sign-in is used; Vault's default lease is 32 days, its shortest usual one 15 minutes.
const SIGNED_IN_FOR: Duration = Duration::from_secs(5 * 60);
/// More sign-ins than this are made again sooner.
const SIGN_INS: u64 = 1_000;

/// Vaults whose connections are kept; of more, those that were not asked for longest are dialled again.
const CLIENTS: u64 = 256;
/// A vault that nobody asked for so long is left alone.
const UNUSED_FOR: Duration = Duration::from_secs(10 * 60);

/// Address, namespace, mount and role.
type SignInKey = (String, Option<String>, String, String);

/// All vaults.
#[derive(Debug)]
pub(super) struct Vaults {
    addresses: AddressPolicy,
    /// By server: one that hangs keeps nobody's requests to others waiting.
    clients: Moka<String, Arc<HttpClient>>,
    tokens: Moka<SignInKey, Secret>,
}

impl Vaults {
    pub(super) fn new(addresses: AddressPolicy) -> Self {
        Self {
            addresses,
            clients: Moka::builder()
                .max_capacity(CLIENTS)
                .time_to_idle(UNUSED_FOR)
                .build(),
            tokens: Moka::builder()
                .max_capacity(SIGN_INS)
                .time_to_live(SIGNED_IN_FOR)
                .build(),
        }
    }

    /// All parameters that `vault` names; each path is read once.
    pub(super) async fn read(
        &self,
        vault: &VaultParameters,
        timeout: Duration,
    ) -> Result<Values, Unknown> {
        let read = tokio::time::timeout(timeout, self.read_all(vault, timeout)).await;
        let values = read.unwrap_or_else(|_| {
            let message = format!("{} did not answer within {timeout:?}", server(vault));
            Err(unknown(UnknownKind::Timeout, message))
        });
        if let (Err(failure), VaultSignIn::Kubernetes { mount, role }) = (&values, &vault.sign_in)
            && failure.kind == UnknownKind::Authentication
        {
            // The token may have been taken back: the next read signs in again.
            self.tokens.invalidate(&key(vault, mount, role)).await;
        }
        values
    }

    async fn read_all(
        &self,
        vault: &VaultParameters,
        timeout: Duration,
    ) -> Result<Values, Unknown> {
        let headers = self.headers(vault, timeout).await?;
        let client = self.client(vault).await;
        let mut answers: BTreeMap<&str, Value> = BTreeMap::new();
        let mut values = BTreeMap::new();
        for secret in &vault.secrets {
            if !answers.contains_key(secret.path.as_str()) {
                let url = url(vault, &secret.path)?;
                let answer = client.get(&url, &headers, None, timeout).await?;
                let body = answer.body_or_missing(&secret.path)?;
                answers.insert(&secret.path, json(vault, &body)?);
            }
            let value = find(secret, &answers[secret.path.as_str()]);
            let value = value.ok_or_else(|| {
                let message = format!(
                    "{}: {} has no key {}",
                    server(vault),
                    secret.path,
                    secret.key
                );
                unknown(UnknownKind::Missing, message)
            })?;
            values.insert(secret.parameter.clone(), value);
        }
        Ok(Arc::new(values))
    }

    async fn client(&self, vault: &VaultParameters) -> Arc<HttpClient> {
        let make = async {
            Arc::new(HttpClient::new(
                self.addresses.clone(),
                &TlsSettings::default(),
            ))
        };
        self.clients.get_with(server(vault), make).await
    }

    async fn headers(
        &self,
        vault: &VaultParameters,
        timeout: Duration,
    ) -> Result<Vec<Header>, Unknown> {
        let token = match &vault.sign_in {
            VaultSignIn::Token(token) => token.clone(),
            VaultSignIn::Kubernetes { mount, role } => {
                let key = key(vault, mount, role);
                let signed_in = self.sign_in(vault, mount, role, timeout);
                let token = self.tokens.try_get_with(key, signed_in).await;
                token.map_err(|failure| (*failure).clone())?
            }
        };
        let mut headers = namespace(vault);
        headers.push(("X-Vault-Token".to_owned(), token));
        Ok(headers)
    }

    async fn sign_in(
        &self,
        vault: &VaultParameters,
        mount: &str,
        role: &str,
        timeout: Duration,
    ) -> Result<Secret, Unknown> {
        let jwt = tokio::fs::read_to_string(ACCOUNT_TOKEN)
            .await
            .map_err(|error| {
                let message = format!("{ACCOUNT_TOKEN}: {error}");
                unknown(UnknownKind::Authentication, message)
            })?;
        let body = serde_json::json!({ "role": role, "jwt": jwt.trim() });
        let url = url(vault, &format!("auth/{mount}/login"))?;
        let client = self.client(vault).await;
        let answer = client
            .post_json(
                &url,
                &namespace(vault),
                &Secret::new(body.to_string()),
                timeout,
            )
            .await?;
        let answer = json(vault, &answer.body()?)?;
        let token = answer["auth"]["client_token"].as_str().map(Secret::new);
        token.ok_or_else(|| {
            let message = format!("{}: the sign-in gave no token", server(vault));
            unknown(UnknownKind::Authentication, message)
        })
    }
}

/// Scheme, host and port: an address may hold a password.
pub(super) fn server(vault: &VaultParameters) -> String {
    parse_url(&vault.address).map_or_else(|_| "vault".to_owned(), |url| shown(&url))
}

fn key(vault: &VaultParameters, mount: &str, role: &str) -> SignInKey {
    let (address, namespace) = (vault.address.clone(), vault.namespace.clone());
    (address, namespace, mount.to_owned(), role.to_owned())
}

fn namespace(vault: &VaultParameters) -> Vec<Header> {
    let namespace = vault.namespace.iter();
    namespace
        .map(|name| ("X-Vault-Namespace".to_owned(), Secret::new(name)))
        .collect()
}

fn url(vault: &VaultParameters, path: &str) -> Result<Url, Unknown> {
    parse_url(&format!("{}/v1/{path}", vault.address)).map_err(|wrong| {
        let message = format!("the address of the vault {wrong}");
        unknown(UnknownKind::Configuration, message)
    })
}

fn json(vault: &VaultParameters, body: &[u8]) -> Result<Value, Unknown> {
    serde_json::from_slice(body).map_err(|_| {
        let message = format!("{}: the answer is no JSON", server(vault));
        unknown(UnknownKind::Parse, message)
    })
}

/// The value of a key, as its engine keeps it. Numbers and booleans count as their text.
fn find(secret: &VaultSecret, answer: &Value) -> Option<Secret> {
    let (first, second) = (&answer["data"], &answer["data"]["data"]);
    let values = match secret.engine {
        VaultEngine::First => first,
        VaultEngine::Second => second,
        VaultEngine::Generic if second.is_object() => second,
        VaultEngine::Generic => first,
    };
    match values.get(&secret.key)? {
        Value::String(text) => Some(Secret::new(text)),
        value @ (Value::Number(_) | Value::Bool(_)) => Some(Secret::new(value.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn found(engine: VaultEngine, answer: &Value) -> Option<String> {
        let secret = VaultSecret {
            parameter: "password".to_owned(),
            path: "secret/data/kafka".to_owned(),
            key: "pass".to_owned(),
            engine,
        };
        find(&secret, answer).map(|it| it.expose().to_owned())
    }

    #[test]
    fn both_versions_of_keys_and_values_are_read() {
        let first = json!({ "data": { "pass": "one" } });
        let second = json!({ "data": { "data": { "pass": "two" }, "metadata": {} } });
        assert_eq!(found(VaultEngine::First, &first).as_deref(), Some("one"));
        assert_eq!(found(VaultEngine::Second, &second).as_deref(), Some("two"));
        assert_eq!(found(VaultEngine::Generic, &first).as_deref(), Some("one"));
        assert_eq!(found(VaultEngine::Generic, &second).as_deref(), Some("two"));
    }

    #[test]
    fn a_missing_key_is_missing_and_not_empty() {
        let answer = json!({ "data": { "other": "x" } });
        assert_eq!(found(VaultEngine::Generic, &answer), None);
        assert_eq!(found(VaultEngine::Second, &json!({})), None);
    }
}
