//! Documents, positions, problems and pods, as other crates see them.
#![allow(clippy::unwrap_used)]

#[path = "reading/documents.rs"]
mod documents;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;
use zeron_core::workload::{Port, ProbeCheck};
use zeron_manifest::{
    ConfigSet, Deployment, Document, Header, PortUse, Problem, Problems, Scope, parse,
    parse_duration, read_paths,
};

fn read(text: &str) -> (Vec<Document>, Vec<Problem>) {
    parse(
        &Arc::from("a.yaml"),
        &Arc::new(PathBuf::from("/folder")),
        text,
    )
}

fn one(text: &str) -> Document {
    let (mut documents, problems) = read(text);
    assert_eq!(problems, []);
    assert_eq!(documents.len(), 1);
    documents.remove(0)
}

fn shown(problems: Problems) -> Vec<String> {
    problems
        .into_sorted()
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// Reads a Deployment and returns it with all that is wrong.
fn deployment(text: &str, config: &ConfigSet, strict: bool) -> (Option<Deployment>, Vec<String>) {
    let document = one(text);
    let problems = Problems::new(strict);
    let header = Header::read(&document, &problems).unwrap();
    let scope = Scope::new(&document, &problems, Some(header.object.clone()));
    let found = Deployment::read(&scope, &header, config);
    (found, shown(problems))
}

const MINIMAL: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
spec:
  selector: {matchLabels: {app: d}}
  template:
    metadata: {labels: {app: d}}
    spec:
      containers:
      - name: main
        command: [./run]
";

#[test]
fn a_deployment_is_read_whole() {
    let text = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: d, namespace: shop}
spec:
  replicas: 3
  progressDeadlineSeconds: 20
  selector: {matchLabels: {app: d}}
  template:
    metadata: {labels: {app: d, tier: web}}
    spec:
      terminationGracePeriodSeconds: 5
      containers:
      - name: main
        command: [./run, --port, $(PORT)]
        args: [a]
        workingDir: sub
        ports: [{containerPort: 8080, name: web}]
        env: [{name: A, value: \"1\"}, {name: B}]
        resources: {limits: {cpu: 500m, memory: 64Mi}, requests: {cpu: 0.1}}
        readinessProbe:
          httpGet: {path: /ready, port: web, httpHeaders: [{name: X, value: y}]}
          periodSeconds: 2
          failureThreshold: 5
";
    let (found, problems) = deployment(text, &ConfigSet::default(), false);
    assert_eq!(problems, Vec::<String>::new());
    let found = found.unwrap();
    assert_eq!(
        (found.replicas, found.start_deadline),
        (3, Duration::from_secs(20))
    );
    assert_eq!(found.pod.port_use(), PortUse::Assigned);
    let workload = found.pod.workload(
        Some(Port::Assigned),
        Path::new("/folder"),
        found.start_deadline,
    );
    assert_eq!(workload.command, ["./run", "--port", "$(PORT)"]);
    assert_eq!(workload.working_dir, Some(PathBuf::from("/folder/sub")));
    assert_eq!(
        (workload.limits.cpu_millis, workload.limits.memory_bytes),
        (Some(500), Some(64 << 20))
    );
    // What is not requested is requested as much as it is limited to.
    assert_eq!(
        (workload.requests.cpu_millis, workload.requests.memory_bytes),
        (Some(100), Some(64 << 20))
    );
    assert_eq!(workload.termination_grace, Duration::from_secs(5));
    assert_eq!(
        workload.readiness.check,
        ProbeCheck::Http {
            path: "/ready".into(),
            headers: vec![("X".into(), "y".into())],
            port: None
        }
    );
    assert_eq!(
        (
            workload.readiness.period,
            workload.readiness.failure_threshold
        ),
        (Some(Duration::from_secs(2)), 5)
    );
}

#[test]
fn image_without_command_says_what_to_do() {
    let text = MINIMAL.replace("command: [./run]", "image: nginx:1");
    let (_, problems) = deployment(&text, &ConfigSet::default(), false);
    assert_eq!(
        problems,
        [
            "a.yaml:10:9: error: Deployment default/d: spec.template.spec.containers[0].command: is missing: programs run on this machine, \
          not in containers. Add `command: [PROGRAM, ARGUMENT...]`; the image \"nginx:1\" is not used"
        ]
    );
}

#[test]
fn all_problems_come_at_once_each_with_its_place() {
    let text = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: Bad_Name}
spec:
  replicas: many
  strategy: {type: Recreate}
  nonsense: 1
  selector: {matchLabels: {app: other}}
  template:
    spec:
      containers:
      - command: [x]
        env: [{name: A, value: 1}]
        ports: [{containerPort: 70000}]
        resources: {limits: {memory: lots}}
        readinessProbe: {exec: {command: [true]}}
";
    let (_, problems) = deployment(text, &ConfigSet::default(), false);
    let starts: Vec<String> = problems
        .iter()
        .map(|p| p.replace("Deployment default/Bad_Name: ", ""))
        .collect();
    let expected = [
        "a.yaml:3:12: error: metadata.name: \"Bad_Name\": must be",
        "a.yaml:5:3: error: spec.replicas: \"many\": must be an integer of at least 0",
        "a.yaml:6:3: warning: spec.strategy: is not supported here and has no effect",
        "a.yaml:7:3: warning: spec.nonsense: unknown field",
        "a.yaml:8:14: error: spec.selector.matchLabels: app=other is not among",
        "a.yaml:13:25: error: spec.template.spec.containers[0].env[0].value: 1: must be a string: put it in quotes",
        "a.yaml:14:18: error: spec.template.spec.containers[0].ports[0].containerPort: 70000: must be an integer from 1 to 65535",
        "a.yaml:15:30: error: spec.template.spec.containers[0].resources.limits.memory: \"lots\": must be a quantity",
        "a.yaml:16:26: warning: spec.template.spec.containers[0].readinessProbe.exec: is not supported here",
    ];
    assert_eq!(starts.len(), expected.len(), "{starts:#?}");
    for (found, expected) in starts.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\n{expected}");
    }
}

#[test]
fn strict_makes_errors_of_fields_without_effect() {
    let text = MINIMAL.replace(
        "  selector",
        "  strategy: {type: Recreate}\n  wrong: 1\n  selector",
    );
    let (_, problems) = deployment(&text, &ConfigSet::default(), true);
    assert_eq!(problems.len(), 2);
    assert!(
        problems.iter().all(|p| p.contains(": error: ")),
        "{problems:?}"
    );
}

fn config(text: &str) -> (ConfigSet, Vec<String>) {
    let (documents, _) = read(text);
    let (mut set, problems) = (ConfigSet::default(), Problems::new(false));
    for document in &documents {
        let header = Header::read(document, &problems).unwrap();
        let scope = Scope::new(document, &problems, Some(header.object.clone()));
        if header.object.kind == "Secret" {
            set.add_secret(&scope, &header);
        } else {
            set.add_config_map(&scope, &header);
        }
    }
    (set, shown(problems))
}

#[test]
fn variables_come_from_secrets_and_config_maps() {
    let (set, problems) = config(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: aGk=}\nstringData: {b: plain}\n---\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {k: v}\n",
    );
    assert_eq!(problems, Vec::<String>::new());
    let env = "        env:
        - {name: A, valueFrom: {secretKeyRef: {name: s, key: a}}}
        - {name: B, valueFrom: {secretKeyRef: {name: s, key: b}}}
        - {name: C, valueFrom: {configMapKeyRef: {name: c, key: k}}}
        - {name: D, valueFrom: {secretKeyRef: {name: s, key: none, optional: true}}}
        - {name: E, valueFrom: {secretKeyRef: {name: s, key: none}}}
        - {name: F, valueFrom: {configMapKeyRef: {name: none, key: k}}}
        - {name: G, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
        envFrom: [{prefix: P_, configMapRef: {name: c}}]
";
    let (found, problems) = deployment(&format!("{MINIMAL}{env}"), &set, false);
    let found = found.unwrap();
    let pairs: Vec<(&str, &str)> = found
        .pod
        .main()
        .env
        .iter()
        .map(|e| (e.name.as_str(), e.value.as_str()))
        .collect();
    assert_eq!(
        pairs,
        [("P_k", "v"), ("A", "hi"), ("B", "plain"), ("C", "v")]
    );
    assert_eq!(problems.len(), 3, "{problems:#?}");
    assert!(problems[0].contains("Secret default/s has no key \"none\""));
    assert!(problems[1].contains("ConfigMap default/none is not among the manifests"));
    assert!(problems[2].contains("valueFrom.fieldRef: is not supported here"));
}

#[test]
fn a_broken_secret_is_refused_without_showing_it() {
    let (_, problems) =
        config("apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: 'hunter2 !'}\n");
    assert_eq!(problems.len(), 1);
    assert!(problems[0].contains("must be base64"));
    assert!(!problems[0].contains("hunter2"));
}

#[test]
fn ports_are_assigned_fixed_or_none() {
    let port_use = |extra: &str| {
        let text = MINIMAL.replace("command: [./run]", extra);
        deployment(&text, &ConfigSet::default(), false)
            .0
            .unwrap()
            .pod
            .port_use()
    };
    assert_eq!(port_use("command: [./run]"), PortUse::None);
    assert_eq!(port_use("command: [./run, '$(PORT)']"), PortUse::Assigned);
    assert_eq!(
        port_use("command: [sh, -c, 'serve ${PORT}']"),
        PortUse::Assigned
    );
    assert_eq!(
        port_use("command: [sh, -c, 'serve $PORT']"),
        PortUse::Assigned
    );
    assert_eq!(
        port_use("command: [sh, -c, 'serve $PORTAL']"),
        PortUse::None
    );
    let fixed = port_use("command: [./run]\n        ports: [{containerPort: 8080}]");
    assert_eq!(fixed, PortUse::Fixed(8080.try_into().unwrap()));
}

#[test]
fn folders_are_read_in_order_and_files_keep_their_names() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["b", "kustomized"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    for (name, text) in [
        ("a.yaml", "x: 1"),
        ("b/c.yml", "x: 2"),
        ("d.json", "{\"x\": 3}"),
        ("e.txt", "x: 4"),
        (".f.yaml", "x: 5"),
        ("kustomized/g.yaml", "x: 6"),
        ("kustomized/kustomization.yaml", "x: 7"),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let missing = folder.path().join("missing.yaml");
    let sources = read_paths(&[folder.path().to_owned(), missing.clone()]);
    let values: Vec<_> = sources
        .documents
        .iter()
        .map(|d| d.value["x"].clone())
        .collect();
    assert_eq!(values, [json!(1), json!(2), json!(3)]);
    assert!(sources.documents[1].file.ends_with("b/c.yml"));
    assert!(sources.documents[1].folder.ends_with("b"));
    assert_eq!(sources.problems.len(), 1);
    assert!(
        sources.problems[0]
            .to_string()
            .contains("missing.yaml:1:1: error: cannot be read")
    );
}

#[test]
fn durations_are_gos() {
    let cases = [
        ("30s", 30_000),
        ("1m30s", 90_000),
        ("1.5h", 5_400_000),
        ("300ms", 300),
        ("0", 0),
        (".5s", 500),
    ];
    for (text, millis) in cases {
        assert_eq!(
            parse_duration(text),
            Ok(Duration::from_millis(millis)),
            "{text}"
        );
    }
    for text in [
        "",
        "60",
        "-1s",
        "1d",
        "s",
        "1..5s",
        "1s ",
        "99999999999999999999h",
    ] {
        assert!(parse_duration(text).is_err(), "{text}");
    }
}

#[test]
fn quantities_round_up() {
    let cases = [
        ("500m", 500),
        ("2", 2_000),
        ("1.5", 1_500),
        ("1.1", 1_100),
        ("1n", 1),
        ("1e3", 1_000_000),
        ("0.1", 100),
        ("1Ki", 1_024_000),
    ];
    for (text, millis) in cases {
        assert_eq!(
            text.parse::<zeron_manifest::Quantity>().unwrap().millis(),
            millis,
            "{text}"
        );
    }
    for text in ["", "m", "1x", "-1", "1.1.1", "1e99", "Mi"] {
        assert!(text.parse::<zeron_manifest::Quantity>().is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "[-:a-c \\n&*\\[\\]{}#'\"!<>|?,0-9.~%]{0,80}") {
        let (documents, _) = read(&text);
        for document in documents {
            let _ = Header::read(&document, &Problems::new(false));
        }
    }

    #[test]
    fn no_duration_or_quantity_panics(text in "[0-9.eEmKMsuhn+-]{0,30}") {
        parse_duration(&text).ok();
        text.parse::<zeron_manifest::Quantity>().ok();
    }
}
