//! Where parameters come from beside the manifest.

use super::*;

const AUTHENTICATION: &str = "\
---
apiVersion: keda.sh/v1alpha1
kind: TriggerAuthentication
metadata: {name: ta}
spec:
  secretTargetRef: [{parameter: password, name: s, key: p}, {parameter: x, name: s, key: none}]
  configMapTargetRef: [{parameter: username, name: c, key: u}]
  env: [{parameter: sasl, name: OTHER, containerName: side}]
  azureKeyVault: {vaultUri: a}
---
{apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {p: hunter2}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {u: me}}
";

#[test]
fn parameters_come_from_secrets_config_maps_and_variables() {
    let triggers = "  triggers: [{type: kafka, authenticationRef: {name: ta}, metadata: {bootstrapServersFromEnv: BROKERS}}]\n";
    let set = read(&format!("{}{DEPLOYMENT}{AUTHENTICATION}", scaled(triggers)));
    let group = set.group.unwrap();
    let TriggerSource::Scaler(spec) = &metric(&group).triggers[0].source else {
        panic!("not a scaler")
    };
    let auth: Vec<_> = spec
        .auth
        .iter()
        .map(|(k, v)| (k.as_str(), v.expose()))
        .collect();
    assert_eq!(
        auth,
        [("password", "hunter2"), ("sasl", "o"), ("username", "me")]
    );
    assert_eq!(spec.metadata["bootstrapServers"], "b:9092");
    assert!(spec.from_environment.contains("bootstrapServers"));
    let own: Vec<&String> = set
        .problems
        .iter()
        .filter(|p| p.contains("TriggerAuthentication"))
        .collect();
    assert_eq!(own.len(), 2, "{own:?}");
    assert!(
        own.iter()
            .any(|p| p.contains("Secret default/s has no key \"none\""))
    );
    assert!(
        own.iter()
            .any(|p| p.contains("spec.azureKeyVault: is not supported here"))
    );
    assert!(!format!("{:?}{:?}", set.problems, group).contains("hunter2"));
}

const VAULT: &str = "\
---
apiVersion: keda.sh/v1alpha1
kind: TriggerAuthentication
metadata: {name: ta}
spec:
  hashiCorpVault:
    address: https://vault:8200/
    authentication: token
    credential: {token: hunter2}
    secrets: [{parameter: password, path: secret/data/kafka, key: pass, type: secretV2}]
";

const VAULT_TRIGGERS: &str =
    "  triggers: [{type: kafka, authenticationRef: {name: ta}, metadata: {a: b}}]\n";

fn remote(text: &str) -> (Vec<RemoteParameters>, Vec<String>) {
    let set = read(&format!("{}{DEPLOYMENT}{text}", scaled(VAULT_TRIGGERS)));
    let group = set.group.unwrap();
    let TriggerSource::Scaler(spec) = &metric(&group).triggers[0].source else {
        panic!("not a scaler")
    };
    (spec.remote.clone(), set.problems)
}

#[test]
fn a_vault_is_read_when_the_trigger_is() {
    let (remote, problems) = remote(VAULT);
    let [RemoteParameters::Vault(vault)] = &remote[..] else {
        panic!("{remote:?}: {problems:?}")
    };
    assert_eq!(vault.address, "https://vault:8200");
    assert_eq!(vault.secrets[0].engine, VaultEngine::Second);
    assert!(!format!("{remote:?}").contains("hunter2"));
}

#[test]
fn what_a_vault_needs_is_said_all_at_once() {
    let broken = VAULT
        .replace("authentication: token", "authentication: kubernetes")
        .replace("path: secret/data/kafka, ", "")
        .replace("secretV2", "pki");
    let (remote, problems) = remote(&broken);
    assert!(remote.is_empty());
    for wanted in [
        "spec.hashiCorpVault.role: is missing",
        "spec.hashiCorpVault.secrets[0].path: is missing",
        "spec.hashiCorpVault.secrets[0].type: pki",
    ] {
        assert!(
            problems.iter().any(|problem| problem.contains(wanted)),
            "{wanted}: {problems:?}"
        );
    }
}

#[test]
fn only_cluster_authentications_sign_in_to_a_vault_as_ourselves() {
    let ours = VAULT.replace(
        "authentication: token",
        "authentication: kubernetes\n    role: scaler",
    );
    let (refused, problems) = remote(&ours);
    assert!(refused.is_empty());
    assert!(
        problems
            .iter()
            .any(|it| it.contains("only a ClusterTriggerAuthentication"))
    );
    let cluster = ours.replace("kind: TriggerAuth", "kind: ClusterTriggerAuth");
    let triggers = VAULT_TRIGGERS.replace(
        "{name: ta}",
        "{name: ta, kind: ClusterTriggerAuthentication}",
    );
    let set = read(&format!("{}{DEPLOYMENT}{cluster}", scaled(&triggers)));
    let group = set.group.unwrap();
    let TriggerSource::Scaler(spec) = &metric(&group).triggers[0].source else {
        panic!("not a scaler")
    };
    assert_eq!(spec.remote.len(), 1, "{:?}", set.problems);
}

#[test]
fn only_cluster_authentications_read_files_and_only_below_the_folder() {
    let kinds = VAULT.split("  hashiCorpVault").next().unwrap();
    let (remote_files, problems) = remote(&format!("{kinds}  filePath: creds.json\n"));
    assert!(remote_files.is_empty());
    assert!(
        problems
            .iter()
            .any(|it| it.contains("only a ClusterTriggerAuthentication"))
    );
    let cluster = format!("{kinds}  filePath: PATH\n");
    let cluster = cluster.replace("kind: TriggerAuth", "kind: ClusterTriggerAuth");
    let triggers = VAULT_TRIGGERS.replace(
        "{name: ta}",
        "{name: ta, kind: ClusterTriggerAuthentication}",
    );
    let of = |path: &str| {
        let text = cluster.replace("PATH", path);
        let set = read(&format!("{}{DEPLOYMENT}{text}", scaled(&triggers)));
        let group = set.group.unwrap();
        let TriggerSource::Scaler(spec) = &metric(&group).triggers[0].source else {
            panic!("not a scaler")
        };
        (spec.remote.clone(), set.problems)
    };
    assert_eq!(
        of("a/b.json").0,
        [RemoteParameters::File {
            path: "a/b.json".to_owned()
        }]
    );
    let (refused, problems) = of("../b.json");
    assert!(refused.is_empty());
    assert!(
        problems.iter().any(|it| it.contains("must be relative")),
        "{problems:?}"
    );
}
