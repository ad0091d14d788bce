//! Triggers of every type whose credentials are canaries: what is searched for, in all that comes out, by tests of one machine and
//! of a cluster.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use serde_json::Value;

use crate::command;

/// What must not be found. It is no number, no switch, no PEM and nobody's password.
pub const CANARY: &str = "zq-canary-7f3a";

/// A function whose one trigger has canaries for credentials.
#[derive(Debug)]
pub struct Case {
    /// The name of all its objects.
    pub name: String,
    kind: String,
    /// As YAML in one line.
    metadata: String,
    credentials: Vec<(String, String)>,
    /// Whether it is refused already when it is read; otherwise its source cannot be.
    pub is_wrong: bool,
}

/// Whatever a client says is the answer, on every connection until the process ends.
fn mirror() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            std::thread::spawn(move || reflect(client));
        }
    });
    address
}

fn reflect(mut client: TcpStream) {
    let mut bytes = [0; 4096];
    while let Ok(read @ 1..) = client.read(&mut bytes) {
        if client.write_all(&bytes[..read]).is_err() {
            return;
        }
    }
}

/// The metadata of a type but for what belongs to its credentials; `None`: nothing is known of the type.
fn metadata(kind: &str, at: SocketAddr) -> Option<String> {
    let list = "listName: work";
    let stream = "stream: work, consumerGroup: workers";
    Some(match kind {
        "kafka" | "apache-kafka" => format!(
            "bootstrapServers: \"{at}\", consumerGroup: workers, topic: work, sasl: plaintext"
        ),
        "rabbitmq" => "queueName: work, mode: QueueLength, value: \"1\"".to_owned(),
        "redis" => format!("address: \"{at}\", {list}"),
        "redis-streams" => format!("address: \"{at}\", {stream}"),
        "redis-cluster" => format!("addresses: \"{at}\", {list}"),
        "redis-cluster-streams" => format!("addresses: \"{at}\", {stream}"),
        "redis-sentinel" => format!("addresses: \"{at}\", sentinelMaster: main, {list}"),
        "redis-sentinel-streams" => format!("addresses: \"{at}\", sentinelMaster: main, {stream}"),
        "nats-jetstream" => format!(
            "natsServerMonitoringEndpoint: \"{at}\", account: SHOP, stream: work, consumer: worker, push: \"true\", natsServer: \"nats://{at}\", subject: work"
        ),
        "postgresql" => "query: SELECT 1, targetQueryValue: \"1\"".to_owned(),
        "mysql" => "query: SELECT 1, queryValue: \"1\"".to_owned(),
        "prometheus" => format!("serverAddress: \"http://{at}\", query: work, threshold: \"1\""),
        "metrics-api" => {
            format!("url: \"http://{at}/\", valueLocation: work, targetValue: \"1\"")
        }
        "external" | "external-push" => format!("scalerAddress: \"{at}\""),
        _ => return None,
    })
}

/// Credentials as each type takes them, with what its metadata says beside them.
fn logins(kind: &str, at: SocketAddr) -> Vec<(&'static str, Vec<(&'static str, String)>)> {
    let canaries =
        |names: &[&'static str]| names.iter().map(|it| (*it, CANARY.to_owned())).collect();
    let login = || canaries(&["username", "password"]);
    match kind {
        "kafka"
        | "apache-kafka"
        | "redis"
        | "redis-streams"
        | "redis-cluster"
        | "redis-cluster-streams" => vec![("", login())],
        "redis-sentinel" | "redis-sentinel-streams" => {
            let names = [
                "username",
                "password",
                "sentinelUsername",
                "sentinelPassword",
            ];
            vec![("", canaries(&names))]
        }
        "rabbitmq" => ["http", "amqp"]
            .map(|scheme| ("", vec![("host", format!("{scheme}://me:{CANARY}@{at}/"))]))
            .into(),
        "nats-jetstream" => vec![("", login()), ("", canaries(&["token"]))],
        "postgresql" => {
            let uri = format!("postgresql://me:{CANARY}@{at}/db?sslmode=disable");
            vec![("", vec![("connection", uri)])]
        }
        "mysql" => vec![(
            "",
            vec![("connectionString", format!("me:{CANARY}@tcp({at})/db"))],
        )],
        "prometheus" => {
            let mut oauth: Vec<_> = canaries(&["clientID", "clientSecret", "scopes"]);
            oauth.push(("oauthTokenURI", format!("http://{at}/{CANARY}")));
            vec![
                ("authModes: basic", login()),
                ("authModes: bearer", canaries(&["bearerToken"])),
                (
                    "authModes: custom",
                    canaries(&["customAuthHeader", "customAuthValue"]),
                ),
                ("authModes: oauth", oauth),
            ]
        }
        "metrics-api" => vec![
            ("authMode: basic", login()),
            ("authMode: bearer", canaries(&["token"])),
            ("authMode: apiKey, method: query", canaries(&["apiKey"])),
        ],
        _ => Vec::new(),
    }
}

/// Every type that `zeron scalers` lists with credentials: as it takes them, and with a canary in each at once. They name a server
/// that says back whatever it hears.
///
/// # Panics
/// When a type is listed of which nothing is known here.
pub fn cases() -> Vec<Case> {
    let at = mirror();
    let listed = command(&["scalers", "-o", "json"], |_| ());
    let listed: Value = serde_json::from_str(&listed.stdout).expect("it is JSON");
    let mut cases = Vec::new();
    for it in listed["builtIn"].as_array().expect("a list of types") {
        let kind = it["type"].as_str().expect("each has a name");
        let parameters = it["parameters"].as_array().expect("each has a list");
        let secrets: Vec<_> = parameters.iter().filter(is_secret).collect();
        if secrets.is_empty() {
            continue;
        }
        let base = metadata(kind, at).unwrap_or_else(|| panic!("{kind}: give it canaries here"));
        let mut add = |more: &str, credentials: Vec<(String, String)>, is_wrong| {
            let metadata = match more {
                "" => format!("{{{base}}}"),
                more => format!("{{{base}, {more}}}"),
            };
            cases.push(Case {
                name: format!("{kind}-{}", cases.len()),
                kind: kind.to_owned(),
                metadata,
                credentials,
                is_wrong,
            });
        };
        for (more, credentials) in logins(kind, at) {
            let owned = credentials
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value));
            add(more, owned.collect(), false);
        }
        // No canary is a certificate.
        let all = secrets.iter().filter_map(|it| it["name"].as_str());
        let all = all.filter(|it| !base.contains(&format!("{it}:")));
        let all = all.map(|it| (it.to_owned(), CANARY.to_owned()));
        add("", all.collect(), true);
    }
    cases
}

/// Whether a parameter is a text that an authentication may give.
fn is_secret(parameter: &&Value) -> bool {
    let is_text = ["text", "list", "pairs"]
        .iter()
        .any(|it| parameter["type"] == *it);
    is_text && parameter["place"] != "metadata"
}

impl Case {
    /// Its objects, in one namespace: Secret, authentication, a Deployment at zero of this container, and the ScaledObject.
    pub fn manifest(&self, container: &str) -> String {
        let Self {
            name,
            kind,
            metadata,
            credentials,
            ..
        } = self;
        let (mut secret, mut references) = (String::new(), String::new());
        for (parameter, value) in credentials {
            let value = Value::from(value.as_str());
            // Writing to a string cannot fail.
            writeln!(secret, "  {parameter}: {value}").ok();
            let from = format!("parameter: {parameter}, name: {name}, key: {parameter}");
            writeln!(references, "    - {{{from}}}").ok();
        }
        // So that it is refused also where nobody looks at the canaries.
        let wrong = match self.is_wrong {
            true => "    - type: cron\n      metadata: {}\n",
            false => "",
        };
        format!(
            "apiVersion: v1
kind: Secret
metadata: {{name: {name}}}
stringData:
{secret}---
apiVersion: keda.sh/v1alpha1
kind: TriggerAuthentication
metadata: {{name: {name}}}
spec:
  secretTargetRef:
{references}---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: 0
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      containers: [{container}]
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{name: {name}}}
spec:
  scaleTargetRef: {{name: {name}}}
  pollingInterval: 1
  triggers:
    - type: {kind}
      metadata: {metadata}
      authenticationRef: {{name: {name}}}
{wrong}"
        )
    }
}
