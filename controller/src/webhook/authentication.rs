//! Rules for TriggerAuthentication and ClusterTriggerAuthentication beyond the schema.

use serde_json::Value;

use super::review::{Findings, Question};

/// Checks either kind.
pub(super) fn check(asked: &Question<'_>) -> Findings {
    let spec = &asked.object["spec"];
    let mut errors = Vec::new();
    let is_cluster = asked.kind == "ClusterTriggerAuthentication";
    if is_given(&spec["filePath"]) {
        if !is_cluster {
            errors.push("spec.filePath: only a ClusterTriggerAuthentication takes it".to_owned());
        }
        let path = spec["filePath"].as_str().unwrap_or_default();
        if path.starts_with('/') || path.split('/').any(|part| part == "..") {
            errors.push("spec.filePath: must be relative and without `..`".to_owned());
        }
    }
    pod_identity(&spec["podIdentity"], &mut errors);
    oauth2(&spec["oauth2"], &mut errors);
    service_principal(&spec["azureServicePrincipal"], &mut errors);
    Findings {
        errors,
        warnings: Vec::new(),
    }
}

fn is_given(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}

/// Given, but empty.
fn is_empty(value: &Value) -> bool {
    value.as_str().is_some_and(str::is_empty)
}

fn pod_identity(identity: &Value, errors: &mut Vec<String>) {
    let mut refuse = |message: &str| errors.push(format!("spec.podIdentity.{message}"));
    match identity["provider"].as_str() {
        Some("azure-workload") => {
            if is_empty(&identity["identityId"]) {
                refuse("identityId: must not be empty where it is given");
            }
            if is_empty(&identity["identityTenantId"]) {
                refuse("identityTenantId: must not be empty where it is given");
            }
            let has_host = is_given(&identity["identityAuthorityHost"]);
            if has_host && !is_given(&identity["identityTenantId"]) {
                refuse("identityAuthorityHost: needs identityTenantId");
            }
        }
        Some("aws") => {
            let is_workload = identity["identityOwner"] == "workload";
            if is_given(&identity["roleArn"]) && is_workload {
                refuse("roleArn: must not stand beside identityOwner workload");
            }
            if is_given(&identity["externalID"]) && !is_given(&identity["roleArn"]) {
                refuse("externalID: needs roleArn");
            }
        }
        _ => {}
    }
}

fn oauth2(oauth2: &Value, errors: &mut Vec<String>) {
    if !oauth2.is_object() {
        return;
    }
    let mut refuse = |message: &str| errors.push(format!("spec.oauth2.{message}"));
    if oauth2["type"].is_string() && oauth2["type"] != "clientCredentials" {
        refuse("type: must be clientCredentials");
    }
    if !is_given(&oauth2["clientId"]) {
        refuse("clientId: is missing");
    }
    let url = oauth2["tokenUrl"].as_str().unwrap_or_default();
    let uri: Option<http::Uri> = url.parse().ok();
    let is_url = uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
    });
    if !is_url {
        refuse("tokenUrl: must be an http or https URL");
    }
}

fn service_principal(principal: &Value, errors: &mut Vec<String>) {
    if !principal.is_object() {
        return;
    }
    let mut refuse = |message: &str| errors.push(format!("spec.azureServicePrincipal.{message}"));
    for field in ["tenantId", "clientId"] {
        if !is_given(&principal[field]) {
            refuse(&format!("{field}: is missing"));
        }
    }
    let (secret, certificate) = (
        principal["clientSecret"].is_object(),
        principal["clientCertificate"].is_object(),
    );
    match (secret, certificate) {
        (true, true) => refuse("clientSecret: must not stand beside clientCertificate"),
        (false, false) => refuse("clientSecret: it or clientCertificate is needed"),
        _ => {}
    }
    if principal["clientCertificatePassword"].is_object() && !certificate {
        refuse("clientCertificatePassword: needs clientCertificate");
    }
    let is_private = principal["cloud"] == "Private";
    let has_endpoint = is_given(&principal["activeDirectoryEndpoint"]);
    match (is_private, has_endpoint) {
        (true, false) => refuse("activeDirectoryEndpoint: cloud Private needs it"),
        (false, true) => refuse("activeDirectoryEndpoint: only cloud Private takes it"),
        _ => {}
    }
}
