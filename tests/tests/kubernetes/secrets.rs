//! Credentials: of a Secret that may not be read, and of one that is replaced.

use serde_json::{Value, json};
use zeron_tests::broker::{Broker, PASSWORD, USER};
use zeron_tests::cluster::{Cluster, Namespace, Roles};

use super::declare::{Scaled, function};
use super::site::{DEPLOYMENT, SCALED, Site, kafka, topic};

const SECRET: &str = "v1/Secret";

/// A ScaledObject whose broker wants the credentials of a Secret, all of one name.
fn declare(namespace: &Namespace, broker: &Broker, name: &str, password: &str) {
    function(namespace, name, 0);
    namespace.apply(&documents(broker, name, password));
}

fn documents(broker: &Broker, name: &str, password: &str) -> String {
    let address = broker.ports().sasl;
    format!(
        "
apiVersion: v1
kind: Secret
metadata: {{ name: {name} }}
stringData: {{ username: {USER}, password: {password}, sasl: plaintext }}
---
apiVersion: keda.sh/v1alpha1
kind: TriggerAuthentication
metadata: {{ name: {name} }}
spec:
  secretTargetRef:
    - {{ parameter: username, name: {name}, key: username }}
    - {{ parameter: password, name: {name}, key: password }}
    - {{ parameter: sasl, name: {name}, key: sasl }}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{ name: {name} }}
spec:
  scaleTargetRef: {{ name: {name} }}
  pollingInterval: 1
  cooldownPeriod: 3
  triggers:
    - type: kafka
      metadata: {{ bootstrapServers: '{address}', consumerGroup: {name}, topic: {name}, lagThreshold: '10', offsetResetPolicy: earliest, allowIdleConsumers: 'true' }}
      authenticationRef: {{ name: {name} }}
"
    )
}

#[test]
fn a_secret_that_was_replaced_is_used_without_a_restart() {
    let Some((site, broker)) = Site::with_kafka("a_secret_that_was_replaced_is_used") else {
        return;
    };
    let namespace = &site.namespace;
    topic(broker, "rotated", 1).produce(20);
    declare(namespace, broker, "rotated", "queen-of-hearts");
    let ready = namespace.wait_reason(SCALED, "rotated", ["Ready", "False", "TriggerError"]);
    assert!(!ready.to_string().contains("queen-of-hearts"));
    assert_eq!(namespace.replicas(DEPLOYMENT, "rotated"), 0);
    namespace.patch(
        SECRET,
        "rotated",
        json!({ "stringData": { "password": PASSWORD } }),
    );
    namespace.wait_replicas(DEPLOYMENT, "rotated", 2);
    namespace.wait_condition(SCALED, "rotated", "Ready", "True");
}

#[test]
fn credentials_say_who_uses_them_and_a_status_what_was_before() {
    let Some((site, broker)) = Site::with_kafka("credentials_say_who_uses_them") else {
        return;
    };
    const CREDENTIALS: &str = "keda.sh/v1alpha1/TriggerAuthentication";
    let namespace = &site.namespace;
    let _topic = topic(broker, "signed", 1);
    function(namespace, "signed", 3);
    namespace.wait_replicas(DEPLOYMENT, "signed", 3);
    namespace.apply(&documents(broker, "signed", PASSWORD));
    namespace.wait(CREDENTIALS, "signed", "to name its user", |object| {
        (object["status"]["scaledobjects"] == "signed").then_some(())
    });
    // There is nothing to do: it goes to zero, and the status knows better.
    namespace.wait_replicas(DEPLOYMENT, "signed", 0);
    let before = |object: &Value| object["status"]["originalReplicaCount"].as_u64();
    let before = namespace.wait(SCALED, "signed", "to say what was before", before);
    assert_eq!(before, 3);
    namespace.delete(SCALED, "signed");
    namespace.wait(CREDENTIALS, "signed", "to name nobody", |object| {
        object["status"]["scaledobjects"].is_null().then_some(())
    });
}

#[test]
fn a_config_map_and_the_environment_give_credentials_too() {
    let Some((site, broker)) =
        Site::with_kafka("a_config_map_and_the_environment_give_credentials")
    else {
        return;
    };
    let namespace = &site.namespace;
    topic(broker, "mapped", 1).produce(20);
    function(namespace, "mapped", 0);
    let password = json!([{ "name": "BROKER_PASSWORD", "value": PASSWORD }]);
    let container = json!([{ "name": "function", "env": password }]);
    let template = json!({ "spec": { "template": { "spec": { "containers": container } } } });
    namespace.kubectl(&["patch", "deployment", "mapped", "-p", &template.to_string()]);
    let text = documents(broker, "mapped", "of-nobody")
        .replace("kind: Secret", "kind: ConfigMap")
        .replace("stringData:", "data:")
        .replace("secretTargetRef:", "configMapTargetRef:")
        .replace(&format!("username: {USER},"), "username: nobody,")
        .replace(
            "    - { parameter: password, name: mapped, key: password }\n",
            "",
        )
        .replace(
            "---\napiVersion: keda.sh/v1alpha1\nkind: ScaledObject",
            "  env: [{ parameter: password, name: BROKER_PASSWORD }]\n---\napiVersion: keda.sh/v1alpha1\nkind: ScaledObject",
        );
    assert!(text.contains("BROKER_PASSWORD") && !text.contains("key: password"));
    namespace.apply(&text);
    namespace.wait_reason(SCALED, "mapped", ["Ready", "False", "TriggerError"]);
    // A change of the ConfigMap is seen without a restart.
    let user = json!({ "data": { "username": USER } });
    namespace.patch("v1/ConfigMap", "mapped", user);
    namespace.wait_replicas(DEPLOYMENT, "mapped", 2);
    namespace.wait_condition(SCALED, "mapped", "Ready", "True");
}

/// Deleted when this is dropped: it is in no namespace.
struct OfCluster<'n>(&'n Namespace, String);

impl Drop for OfCluster<'_> {
    fn drop(&mut self) {
        drop(
            self.0
                .cluster()
                .try_kubectl(&["delete", "clustertriggerauthentication", &self.1]),
        );
    }
}

#[test]
fn credentials_of_the_cluster_come_from_the_namespace_that_was_given() {
    let Some((site, broker)) = Site::with_kafka("credentials_of_the_cluster") else {
        return;
    };
    let namespace = &site.namespace;
    topic(broker, "shared", 1).produce(20);
    let name = format!("{}-shared", namespace.name());
    let _end = OfCluster(namespace, name.clone());
    let text = documents(broker, "shared", PASSWORD)
        .replace(
            "kind: TriggerAuthentication\nmetadata: { name: shared }",
            &format!("kind: ClusterTriggerAuthentication\nmetadata: {{ name: {name} }}"),
        )
        .replace(
            "authenticationRef: { name: shared }",
            &format!("authenticationRef: {{ name: {name}, kind: ClusterTriggerAuthentication }}"),
        );
    assert_eq!(text.matches(&name).count(), 2);
    function(namespace, "shared", 0);
    namespace.apply(&text);
    namespace.wait_replicas(DEPLOYMENT, "shared", 2);
}

#[test]
fn parameters_come_from_the_environment_of_the_target() {
    let Some((site, broker)) = Site::with_kafka("parameters_come_from_the_environment") else {
        return;
    };
    let namespace = &site.namespace;
    topic(broker, "ambient", 1).produce(20);
    let address = broker.address();
    namespace.apply(&format!("{{ apiVersion: v1, kind: ConfigMap, metadata: {{ name: ambient }}, data: {{ broker: '{address}' }} }}"));
    function(namespace, "ambient", 0);
    let from = json!([
        { "name": "BROKER", "valueFrom": { "configMapKeyRef": { "name": "ambient", "key": "broker" } } },
        { "name": "TOPIC", "value": "ambient" },
    ]);
    let container = json!([{ "name": "function", "env": from }]);
    let template = json!({ "spec": { "template": { "spec": { "containers": container } } } });
    namespace.kubectl(&[
        "patch",
        "deployment",
        "ambient",
        "-p",
        &template.to_string(),
    ]);
    let scaled = Scaled::new("ambient", broker)
        .yaml()
        .replace(
            &format!("bootstrapServers: '{address}'"),
            "bootstrapServersFromEnv: BROKER",
        )
        .replace("topic: ambient", "topicFromEnv: TOPIC");
    namespace.apply(&scaled);
    namespace.wait_replicas(DEPLOYMENT, "ambient", 2);
}

/// Rights to all that is needed but Secrets. Deleted when this is dropped.
struct Rights<'n>(&'n Namespace);

impl<'n> Rights<'n> {
    fn grant(namespace: &'n Namespace) -> Self {
        let name = namespace.name();
        let cluster = namespace.cluster();
        cluster.apply(&format!(
            "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{ name: {name} }}
rules:
  - {{ apiGroups: [keda.sh, http.keda.sh, apps, apiextensions.k8s.io, autoscaling, coordination.k8s.io, discovery.k8s.io, events.k8s.io], resources: ['*'], verbs: ['*'] }}
  - {{ apiGroups: [''], resources: [pods, services, configmaps, events, limitranges, namespaces], verbs: ['*'] }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{ name: {name} }}
roleRef: {{ apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {name} }}
subjects: [{{ kind: ServiceAccount, name: default, namespace: {name} }}]
"
        ));
        Self(namespace)
    }
}

impl Drop for Rights<'_> {
    fn drop(&mut self) {
        for kind in ["clusterrolebinding", "clusterrole"] {
            drop(
                self.0
                    .cluster()
                    .try_kubectl(&["delete", kind, self.0.name()]),
            );
        }
    }
}

#[test]
fn a_secret_that_may_not_be_read_is_named_and_stops_nobody_else() {
    const TEST: &str = "a_secret_that_may_not_be_read_is_named";
    let Some(broker) = kafka(TEST) else { return };
    let Some(cluster) = Cluster::get(&format!("kubernetes::{TEST}")) else {
        return;
    };
    cluster.install_crds();
    let namespace = cluster.namespace("kubernetes-secret");
    let _rights = Rights::grant(&namespace);
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = namespace.account("default", folder.path());
    let _roles = Roles::of(&namespace)
        .kubeconfig(&kubeconfig)
        .activators(0)
        .start();
    topic(broker, "hidden", 1).produce(20);
    topic(broker, "open", 1).produce(20);
    declare(&namespace, broker, "hidden", PASSWORD);
    function(&namespace, "open", 0);
    namespace.apply(&Scaled::new("open", broker).yaml());
    let access = namespace.wait_reason(SCALED, "hidden", ["SecretAccess", "False", "Forbidden"]);
    let message = access["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("Secret {}/hidden", namespace.name())),
        "{message}"
    );
    let is_unready = |object: &Value| {
        let conditions = object["status"]["conditions"].as_array()?;
        let ready = conditions.iter().find(|c| c["type"] == "Ready")?;
        (ready["status"] != "True").then_some(())
    };
    namespace.wait(SCALED, "hidden", "not to be ready", is_unready);
    namespace.wait_replicas(DEPLOYMENT, "open", 2);
    assert_eq!(namespace.replicas(DEPLOYMENT, "hidden"), 0);
}
