//! Vaults and secret managers that a TriggerAuthentication may name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::authentication::{PodIdentity, SecretValue};

/// HashiCorp Vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HashiCorpVault {
    /// Its URL.
    pub address: String,
    /// Its namespace.
    pub namespace: Option<String>,
    /// How to sign in.
    pub authentication: VaultAuthentication,
    /// The role.
    pub role: Option<String>,
    /// Where the sign-in is mounted.
    pub mount: Option<String>,
    /// What to sign in with.
    pub credential: Option<VaultCredential>,
    /// What to read.
    #[schemars(length(min = 1))]
    pub secrets: Vec<VaultSecret>,
}

/// Ways to sign in to a vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum VaultAuthentication {
    Token,
    Kubernetes,
}

/// What to sign in with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VaultCredential {
    /// A token.
    pub token: Option<String>,
    /// The path of a ServiceAccount's token.
    pub service_account: Option<String>,
    /// A ServiceAccount's name.
    pub service_account_name: Option<String>,
}

/// A parameter from a vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VaultSecret {
    /// The parameter.
    pub parameter: String,
    /// The secret's path.
    pub path: String,
    /// The key within it.
    pub key: String,
    /// The engine.
    #[serde(rename = "type")]
    pub kind: Option<VaultSecretType>,
    /// For pki: the certificate to ask for.
    pub pki_data: Option<VaultPki>,
}

/// Engines of a vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub enum VaultSecretType {
    #[serde(rename = "")]
    Generic,
    SecretV2,
    Secret,
    Pki,
}

/// A certificate to ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VaultPki {
    /// Its common name.
    pub common_name: Option<String>,
    /// Its further names.
    pub alt_names: Option<String>,
    /// Its addresses.
    pub ip_sans: Option<String>,
    /// Its URIs.
    pub uri_sans: Option<String>,
    /// Its other names.
    pub other_sans: Option<String>,
    /// How long it is valid.
    pub ttl: Option<String>,
    /// How it is written.
    pub format: Option<String>,
}

/// Azure Key Vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AzureKeyVault {
    /// Its URI.
    pub vault_uri: String,
    /// What to sign in with.
    pub credentials: Option<AzureCredentials>,
    /// Who to sign in as, by the platform's own means.
    pub pod_identity: Option<PodIdentity>,
    /// Which cloud.
    pub cloud: Option<AzureCloud>,
    /// What to read.
    #[schemars(length(min = 1))]
    pub secrets: Vec<AzureSecret>,
}

/// What to sign in to Azure with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AzureCredentials {
    /// The application.
    pub client_id: String,
    /// Its tenant.
    pub tenant_id: String,
    /// Its secret.
    pub client_secret: SecretValue,
}

/// An Azure cloud.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AzureCloud {
    /// Its name; Private for one with addresses of its own.
    #[serde(rename = "type")]
    pub kind: String,
    /// For Private: the vaults' resource.
    #[serde(rename = "keyVaultResourceURL")]
    pub key_vault_resource_url: Option<String>,
    /// For Private: the directory's address.
    pub active_directory_endpoint: Option<String>,
}

/// A parameter from Azure Key Vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AzureSecret {
    /// The parameter.
    pub parameter: String,
    /// The secret's name.
    pub name: String,
    /// Its version; the newest when none is given.
    pub version: Option<String>,
}

/// A Microsoft Entra service principal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AzureServicePrincipal {
    /// The application.
    pub client_id: String,
    /// Its tenant.
    pub tenant_id: String,
    /// Its secret.
    pub client_secret: Option<SecretValue>,
    /// Its certificate.
    pub client_certificate: Option<SecretValue>,
    /// The certificate's password.
    pub client_certificate_password: Option<SecretValue>,
    /// Which cloud; AzurePublicCloud when none is given.
    pub cloud: Option<String>,
    /// For Private: the directory's address.
    pub active_directory_endpoint: Option<String>,
}

/// Google Cloud Secret Manager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GcpSecretManager {
    /// What to read.
    #[schemars(length(min = 1))]
    pub secrets: Vec<GcpSecret>,
    /// What to sign in with.
    pub credentials: Option<GcpCredentials>,
    /// Who to sign in as, by the platform's own means.
    pub pod_identity: Option<PodIdentity>,
}

/// What to sign in to Google Cloud with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GcpCredentials {
    /// The key file of a service account.
    pub client_secret: SecretValue,
}

/// A parameter from Google Cloud Secret Manager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GcpSecret {
    /// The parameter.
    pub parameter: String,
    /// The secret's ID.
    pub id: String,
    /// Its version; the newest when none is given.
    pub version: Option<String>,
}

/// AWS Secrets Manager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AwsSecretManager {
    /// What to sign in with.
    pub credentials: Option<AwsCredentials>,
    /// Who to sign in as, by the platform's own means.
    pub pod_identity: Option<PodIdentity>,
    /// Which region.
    pub region: Option<String>,
    /// What to read.
    #[schemars(length(min = 1))]
    pub secrets: Vec<AwsSecret>,
}

/// What to sign in to AWS with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AwsCredentials {
    /// The access key's ID.
    pub access_key: SecretValue,
    /// The access key's secret.
    pub access_secret_key: SecretValue,
    /// A session's token.
    pub access_token: Option<SecretValue>,
}

/// A parameter from AWS Secrets Manager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AwsSecret {
    /// The parameter.
    pub parameter: String,
    /// The secret's name.
    pub name: String,
    /// Its version.
    pub version_id: Option<String>,
    /// Its stage.
    pub version_stage: Option<String>,
    /// The key within it, where it is a JSON object.
    pub secret_key: Option<String>,
}
