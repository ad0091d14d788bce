//! `keda.sh/v1alpha1` TriggerAuthentication and ClusterTriggerAuthentication.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::providers::{
    AwsSecretManager, AzureKeyVault, AzureServicePrincipal, GcpSecretManager, HashiCorpVault,
};

/// Where triggers' secret parameters come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TriggerAuthenticationSpec {
    /// Who the scaler is, by the platform's own means.
    pub pod_identity: Option<PodIdentity>,
    /// Keys of Secrets.
    pub secret_target_ref: Option<Vec<KeyRef>>,
    /// Keys of ConfigMaps.
    pub config_map_target_ref: Option<Vec<KeyRef>>,
    /// Variables of the scale target's containers.
    pub env: Option<Vec<EnvironmentRef>>,
    /// A file with all parameters as one JSON object, instead of everything else.
    pub file_path: Option<String>,
    /// HashiCorp Vault.
    pub hashi_corp_vault: Option<HashiCorpVault>,
    /// Azure Key Vault.
    pub azure_key_vault: Option<AzureKeyVault>,
    /// A Microsoft Entra service principal.
    pub azure_service_principal: Option<AzureServicePrincipal>,
    /// Google Cloud Secret Manager.
    pub gcp_secret_manager: Option<GcpSecretManager>,
    /// AWS Secrets Manager.
    pub aws_secret_manager: Option<AwsSecretManager>,
    /// Tokens of ServiceAccounts.
    pub bound_service_account_token: Option<Vec<BoundServiceAccountToken>>,
    /// OAuth 2.
    #[serde(rename = "oauth2")]
    pub oauth2: Option<OAuth2>,
}

/// A parameter from a key of a Secret or ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyRef {
    /// The parameter.
    pub parameter: String,
    /// The object's name.
    pub name: String,
    /// The key.
    pub key: String,
}

/// A parameter from a variable of the scale target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentRef {
    /// The parameter.
    pub parameter: String,
    /// The variable's name.
    pub name: String,
    /// The container; the first when none is given.
    pub container_name: Option<String>,
}

/// A parameter that is a token of a ServiceAccount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BoundServiceAccountToken {
    /// The parameter.
    pub parameter: String,
    /// The ServiceAccount's name.
    pub service_account_name: String,
}

/// OAuth 2 with client credentials.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
// Required beside its default, as in the original: the default is filled in before the check.
#[schemars(extend("required" = ["clientId", "tokenUrl", "type"]))]
pub struct OAuth2 {
    /// The grant.
    #[serde(rename = "type", default)]
    pub kind: OAuth2Type,
    /// The client's name.
    pub client_id: String,
    /// The client's secret.
    pub client_secret: Option<SecretValue>,
    /// Where tokens are asked for.
    pub token_url: String,
    /// What is asked for.
    pub scopes: Option<Vec<String>>,
    /// Further parameters of the question.
    pub token_url_params: Option<BTreeMap<String, String>>,
}

/// Grants of OAuth 2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub enum OAuth2Type {
    #[default]
    ClientCredentials,
}

/// A value from a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretValue {
    /// Where it is.
    pub value_from: ValueFrom,
}

/// Where a value is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ValueFrom {
    /// In this Secret.
    pub secret_key_ref: SecretKeyRef,
}

/// A key of a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretKeyRef {
    /// The Secret's name.
    pub name: String,
    /// The key.
    pub key: String,
}

/// Who the scaler is, by the platform's own means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodIdentity {
    /// The platform.
    pub provider: PodIdentityProvider,
    /// Azure: the identity.
    pub identity_id: Option<String>,
    /// Azure: its tenant, instead of the default; needs identityId.
    pub identity_tenant_id: Option<String>,
    /// Azure: its authority, instead of the default; needs identityTenantId.
    pub identity_authority_host: Option<String>,
    /// AWS: the role; not beside identityOwner.
    pub role_arn: Option<String>,
    /// AWS: the external ID for taking the role.
    #[serde(rename = "externalID")]
    pub external_id: Option<String>,
    /// Whose identity is looked for; not beside roleArn.
    pub identity_owner: Option<IdentityOwner>,
}

/// Platforms with identities for pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum PodIdentityProvider {
    AzureWorkload,
    Gcp,
    Aws,
    AwsEks,
    None,
}

/// Whose identity is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum IdentityOwner {
    Keda,
    Workload,
}

/// Who uses it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub struct TriggerAuthenticationStatus {
    /// ScaledObjects, separated by commas.
    pub scaledobjects: Option<String>,
    /// ScaledJobs, separated by commas.
    pub scaledjobs: Option<String>,
}
