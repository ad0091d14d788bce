//! A credential of a trigger comes out nowhere, whatever the trigger's type: each is given canaries, at a server that
//! says back whatever it hears.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use serde_json::Value;
use zeron_tests::wait::within;
use zeron_tests::{Setup, Zeron, command};

/// What must not be found. It is no number, no switch and no PEM.
const CANARY: &str = "zq-canary-7f3a";

/// For some fifty triggers, each with a connection or several, on a small machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A trigger with credentials.
struct Case {
    name: String,
    kind: String,
    /// As YAML in one line.
    metadata: String,
    credentials: Vec<(String, String)>,
    /// Whether it is refused already when it is read.
    is_wrong: bool,
}

impl Case {
    fn file(&self) -> String {
        format!("{}.yaml", self.name)
    }
}

/// Whatever a client says is the answer, on every connection until the process ends.
fn mirror() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
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

/// Every type that `zeron scalers` lists with credentials: as it takes them, and with a canary in each at once.
fn cases(at: SocketAddr) -> Vec<Case> {
    let listed = command(&["scalers", "-o", "json"], |_| ());
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    let mut cases = Vec::new();
    for it in listed["builtIn"].as_array().unwrap() {
        let kind = it["type"].as_str().unwrap();
        let secrets: Vec<_> = it["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .filter(is_secret)
            .collect();
        if secrets.is_empty() {
            continue;
        }
        let base = metadata(kind, at).unwrap_or_else(|| panic!("{kind}: give it canaries here"));
        let mut add = |more: &str, credentials: Vec<(String, String)>, is_wrong| {
            let name = format!("{kind}-{}", cases.len());
            let metadata = match more {
                "" => format!("{{{base}}}"),
                more => format!("{{{base}, {more}}}"),
            };
            let kind = kind.to_owned();
            cases.push(Case {
                name,
                kind,
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

fn manifest(case: &Case) -> String {
    let Case {
        name,
        kind,
        metadata,
        credentials,
        ..
    } = case;
    let (mut secret, mut references) = (String::new(), String::new());
    for (parameter, value) in credentials {
        writeln!(secret, "  {parameter}: {}", Value::from(value.as_str())).unwrap();
        writeln!(
            references,
            "    - {{parameter: {parameter}, name: {name}, key: {parameter}}}"
        )
        .unwrap();
    }
    // So that it is refused also where nobody looks at the canaries.
    let wrong = match case.is_wrong {
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
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      containers: [{{name: main, command: [sleep, \"3600\"]}}]
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

/// Whether it is said why the trigger has no value: what is wrong with it, or its source's words.
fn is_in_vain(zeron: &Zeron, case: &Case) -> bool {
    if case.is_wrong {
        let problems = zeron.admin("GET", "/v1/problems", "").unwrap().text();
        return problems.contains(&case.file());
    }
    let function = zeron.function(&case.name).unwrap_or_default();
    let mut triggers = function["triggers"].as_array().into_iter().flatten();
    triggers.any(|it| {
        let reason = &it["value"]["unknown"]["reason"];
        reason["message"].is_string() && reason["kind"] != "notRead"
    })
}

/// Waits until it is said of each why it is in vain.
fn said(zeron: &Zeron, cases: &[&Case]) {
    for case in cases {
        within(
            PATIENCE,
            &format!("{} to be tried in vain", case.name),
            || is_in_vain(zeron, case).then_some(()),
        );
    }
}

/// All that comes out, and what brought it out.
fn shown(zeron: &Zeron, cases: &[Case]) -> Vec<(String, String)> {
    let mut shown = vec![("the log".to_owned(), zeron.log())];
    for path in ["/metrics", "/v1/functions", "/v1/problems"] {
        let answer = zeron.admin("GET", path, "").unwrap();
        shown.push((path.to_owned(), answer.text()));
    }
    let mut run = |arguments: &[&str]| {
        let output = zeron.run(arguments);
        let text = format!("{}{}", output.stdout, output.stderr);
        shown.push((arguments.join(" "), text));
    };
    run(&["ls", "-a"]);
    run(&["ls", "-a", "-o", "json"]);
    for Case { name, .. } in cases {
        for verb in ["describe", "why", "timeline"] {
            run(&[verb, name]);
            run(&[verb, name, "-o", "json"]);
        }
    }
    shown
}

#[test]
fn a_credential_of_a_trigger_comes_out_nowhere_whatever_its_type() {
    let cases = cases(mirror());
    let (wrong, tried): (Vec<_>, Vec<_>) = cases.iter().partition(|it| it.is_wrong);
    let mut setup = Setup::new().env("ZERON_LOG", "debug,zeron=trace");
    for case in &tried {
        setup = setup.manifest(&case.file(), &manifest(case));
    }
    let zeron = setup.up();
    said(&zeron, &tried);
    for case in &wrong {
        zeron.edit(&case.file(), &manifest(case));
    }
    said(&zeron, &wrong);
    let shown = shown(&zeron, &cases);
    for (what, text) in &shown {
        let line = text.lines().find(|line| line.contains(CANARY));
        assert_eq!(line, None, "{what} shows it");
    }
}
