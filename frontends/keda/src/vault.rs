//! `hashiCorpVault` of a TriggerAuthentication: what is read there when the trigger is.

use zeron_core::policy::{
    RemoteParameters, Secret, VaultEngine, VaultParameters, VaultSecret, VaultSignIn,
};
use zeron_manifest::{Fields, Node};

/// Where KEDA expects the method `kubernetes` unless it is told otherwise.
const MOUNT: &str = "kubernetes";

/// Reads it; `None`, with problems, where something is wrong. The sign-in `kubernetes` shows our own token to
/// whatever address is named, and reads what we may read: that is the administrator's to allow.
pub(crate) fn read(vault: &Fields<'_>, is_cluster: bool) -> Option<RemoteParameters> {
    let address = vault.required_string("address");
    let namespace = vault.string("namespace").filter(|name| !name.is_empty());
    let sign_in = sign_in(vault);
    let is_refused = !is_cluster && matches!(sign_in, Some(VaultSignIn::Kubernetes { .. }));
    if is_refused {
        vault.error(
            "authentication",
            "kubernetes: only a ClusterTriggerAuthentication may sign in as Zeron itself",
        );
    }
    let items = vault.items("secrets");
    if items.is_empty() {
        vault.error("secrets", "at least one is needed");
    }
    let secrets: Vec<_> = items.iter().map(secret).collect();
    Some(RemoteParameters::Vault(VaultParameters {
        address: address?.trim_end_matches('/').to_owned(),
        namespace: namespace.map(str::to_owned),
        sign_in: sign_in?,
        secrets: secrets.into_iter().collect::<Option<_>>()?,
    }))
    .filter(|_| !items.is_empty() && !is_refused)
}

fn sign_in(vault: &Fields<'_>) -> Option<VaultSignIn> {
    let ways = [("token", true), ("kubernetes", false)];
    let Some(is_token) = vault.choice("authentication", &ways) else {
        if !vault.has("authentication") {
            vault.error("authentication", "is missing");
        }
        vault.accept(&["credential", "role", "mount"]);
        return None;
    };
    let credential = vault.fields("credential");
    let (role, mount) = (vault.string("role"), vault.string("mount"));
    if is_token {
        credential.accept(&["serviceAccount", "serviceAccountName"]);
        let token = credential.required_string("token")?;
        return Some(VaultSignIn::Token(Secret::new(token)));
    }
    // Whoever names a path would have us read any file of ours; a name needs a right to make tokens.
    credential.unsupported(&["serviceAccount", "serviceAccountName"]);
    credential.accept(&["token"]);
    let Some(role) = role.filter(|role| !role.is_empty()) else {
        vault.error("role", "is missing; the sign-in `kubernetes` needs it");
        return None;
    };
    let mount = mount.filter(|mount| !mount.is_empty()).unwrap_or(MOUNT);
    Some(VaultSignIn::Kubernetes {
        mount: mount.trim_matches('/').to_owned(),
        role: role.to_owned(),
    })
}

fn secret(node: &Node<'_>) -> Option<VaultSecret> {
    let fields = node.fields();
    let engines = [
        ("", Some(VaultEngine::Generic)),
        ("secret", Some(VaultEngine::First)),
        ("secretV2", Some(VaultEngine::Second)),
        ("pki", None),
    ];
    let engine = fields.choice("type", &engines);
    fields.accept(&["pkiData"]);
    if engine == Some(None) {
        fields.error("type", "pki: certificates cannot be asked for here");
    }
    let parameter = fields.required_string("parameter");
    let path = fields.required_string("path");
    let key = fields.required_string("key");
    Some(VaultSecret {
        parameter: parameter?.to_owned(),
        path: path?.trim_matches('/').to_owned(),
        key: key?.to_owned(),
        engine: engine.unwrap_or(Some(VaultEngine::Generic))?,
    })
}
