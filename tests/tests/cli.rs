//! What people see: commands, their words and their exit codes.
#![allow(clippy::unwrap_used)]

use zeron_tests::{Output, Service, Setup, Zeron, command, free_address, until};

fn hello() -> Zeron {
    let zeron = Setup::new().function(&Service::new("hello")).up();
    assert_eq!(zeron.get("hello", "/").status, 200);
    zeron
}

fn ok(output: &Output) -> &str {
    assert_eq!(output.code, Some(0), "{}{}", output.stdout, output.stderr);
    &output.stdout
}

fn validate(text: &str, more: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    std::fs::write(&file, text).unwrap();
    let mut args = vec!["validate", file.to_str().unwrap()];
    args.extend(more);
    command(&args, |_| {})
}

#[test]
fn ls_lists_functions_with_their_replicas() {
    let zeron = hello();
    let output = zeron.run(&["ls"]);
    let line = ok(&output)
        .lines()
        .find(|line| line.contains("hello"))
        .unwrap();
    assert!(line.contains("Active"), "{line}");
    let json = zeron.run(&["ls", "-o", "json"]);
    assert!(
        serde_json::from_str::<serde_json::Value>(ok(&json)).is_ok(),
        "{}",
        json.stdout
    );
    ok(&zeron.run(&["ls", "-o", "yaml"]));
    ok(&zeron.run(&["ls", "-o", "wide"]));
}

#[test]
fn why_says_in_words_what_decided() {
    let zeron = hello();
    let output = zeron.run(&["why", "hello"]);
    let text = ok(&output);
    assert!(text.contains("hello"), "{text}");
    assert!(text.contains('1'), "how many: {text}");
    zeron.wait_for_zero("hello");
    let output = zeron.run(&["why", "hello"]);
    assert!(ok(&output).contains('0'), "{}", output.stdout);
}

#[test]
fn timeline_tells_how_it_came_to_be() {
    let zeron = hello();
    zeron.wait_for_zero("hello");
    let output = zeron.run(&["timeline", "hello"]);
    let lines = ok(&output)
        .lines()
        .filter(|line| !line.trim().is_empty())
        .count();
    assert!(lines >= 2, "up and down: {}", output.stdout);
}

#[test]
fn logs_print_what_replicas_wrote() {
    let service = Service::new("broken").args(&[
        "--exit-at-once",
        "1",
        "--stderr",
        "these are my last words",
    ]);
    let zeron = Setup::new().function(&service).up();
    assert_eq!(zeron.get("broken", "/").status, 503);
    until("the words to be in the log", || {
        zeron
            .run(&["logs", "broken"])
            .stdout
            .contains("these are my last words")
            .then_some(())
    });
}

#[test]
fn describe_tells_all() {
    let zeron = hello();
    let output = zeron.run(&["describe", "hello"]);
    assert!(
        ok(&output).contains("hello.default.localhost"),
        "{}",
        output.stdout
    );
}

/// A worker whose list is on a server that does not run.
fn unread() -> String {
    format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: worker}}
spec:
  selector: {{matchLabels: {{app: worker}}}}
  template:
    metadata: {{labels: {{app: worker}}}}
    spec: {{containers: [{{name: worker, command: [sleep, "600"]}}]}}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {{name: worker}}
spec:
  scaleTargetRef: {{name: worker}}
  pollingInterval: 1
  triggers:
  - {{type: redis, metadata: {{address: "{}", listName: work, listLength: "5"}}}}
"#,
        free_address()
    )
}

#[test]
fn describe_says_of_a_trigger_that_it_is_unknown_and_why() {
    let zeron = Setup::new().manifest("worker.yaml", &unread()).up();
    until("the trigger to be read", || {
        let said = zeron.run(&["describe", "worker"]).stdout;
        let row = said.lines().find(|line| line.starts_with("redis "))?;
        let is_told = row.contains("unknown: ") && row.contains("refused");
        (is_told && !row.contains(" no ")).then_some(())
    });
    let json = zeron.run(&["describe", "worker", "-o", "json"]).stdout;
    let view: serde_json::Value = serde_json::from_str(&json).unwrap();
    let reason = &view["triggers"][0]["value"]["unknown"]["reason"];
    assert_eq!(reason["kind"], "transport", "{json}");
}

#[test]
fn a_function_that_does_not_exist_is_a_failure_that_names_it() {
    let zeron = Setup::new().up();
    for name in ["why", "describe", "timeline", "logs"] {
        let output = zeron.run(&[name, "nobody"]);
        assert_eq!(
            output.code,
            Some(1),
            "{name}: {}{}",
            output.stdout,
            output.stderr
        );
        assert!(
            output.stderr.contains("nobody"),
            "{name}: {}",
            output.stderr
        );
    }
}

#[test]
fn no_running_zeron_is_a_failure_that_says_what_to_do() {
    let nowhere = format!("http://{}", zeron_tests::free_address());
    let output = command(&["ls"], |command| {
        command.env("ZERON_ADMIN", &nowhere);
    });
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert!(output.stderr.contains("zeron up"), "{}", output.stderr);
}

#[test]
fn an_option_wins_over_the_environment_and_two_that_contradict_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let run = |more: &[&str]| {
        let args = [["ls"].as_slice(), more].concat();
        command(&args, |zeron| {
            zeron.env("ZERON_ADMIN", format!("unix:{}", path("environment")));
        })
    };
    let option = format!("unix:{}", path("option"));
    let one = run(&["--admin", &option]);
    assert!(one.stderr.contains("option"), "{}", one.stderr);
    let cluster = run(&["--kubeconfig", &path("kubeconfig")]);
    assert!(cluster.stderr.contains("kubeconfig"), "{}", cluster.stderr);
    assert!(!cluster.stderr.contains("one or the other"));
    let both = run(&["--admin", &option, "--kubeconfig", &path("kubeconfig")]);
    assert_eq!(both.code, Some(64), "{}", both.stderr);
    assert!(
        both.stderr.contains("give one or the other"),
        "{}",
        both.stderr
    );
}

#[test]
fn kubeconfigs_that_are_missing_are_left_out_unless_all_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let text = "{ apiVersion: v1, kind: Config, contexts: [{ name: there, context: { cluster: c, user: u } }] }";
    std::fs::write(path("there"), text).unwrap();
    let run = |files: [&str; 2]| {
        let files = std::env::join_paths(files.map(path)).unwrap();
        command(&["ls", "--context", "nobody"], |zeron| {
            zeron.env("KUBECONFIG", files).env_remove("ZERON_ADMIN");
        })
        .stderr
    };
    let read = run(["missing", "there"]);
    assert!(
        read.contains("context") && !read.contains("missing"),
        "{read}"
    );
    let none = run(["missing", "gone"]);
    assert!(none.contains("missing") && none.contains("gone"), "{none}");
    assert!(none.contains("$KUBECONFIG"), "{none}");
}

#[test]
fn bad_usage_is_64() {
    let output = command(&["ls", "--no-such-flag"], |_| {});
    assert_eq!(output.code, Some(64), "{}", output.stderr);
    assert_eq!(command(&["up", "/no/such/folder"], |_| {}).code, Some(64));
}

#[test]
fn a_good_manifest_is_valid() {
    ok(&validate(&Service::new("hello").yaml(), &["--strict"]));
}

#[test]
fn every_example_is_valid_without_warnings() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
    let output = command(&["validate", folder, "--strict"], |_| {});
    ok(&output);
}

#[test]
fn all_mistakes_are_told_at_once_with_file_line_and_field() {
    let text = r#"apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: hello
spec:
  template:
    metadata:
      annotations:
        autoscaling.knative.dev/window: 1s
    spec:
      containerConcurrency: -1
      containers:
        - command: [zeron-example-function]
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: Bad_Name
spec:
  template:
    spec:
      containers:
        - image: example.com/image
"#;
    let output = validate(text, &[]);
    assert_eq!(output.code, Some(64), "{}", output.stderr);
    let all = format!("{}{}", output.stdout, output.stderr);
    for expected in [
        "a.yaml:9:",
        "window",
        "1s",
        "a.yaml:11:",
        "containerConcurrency",
        "-1",
        "Bad_Name",
        "a.yaml:23:",
        "command",
    ] {
        assert!(all.contains(expected), "{expected} in:\n{all}");
    }
}

#[test]
fn a_field_that_has_no_effect_is_a_warning_and_with_strict_an_error() {
    let text = Service::new("hello").yaml().replace(
        "    spec:\n      containers",
        "    spec:\n      nodeSelector: {disk: ssd}\n      containers",
    );
    let output = validate(&text, &[]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let all = format!("{}{}", output.stdout, output.stderr);
    assert!(
        all.contains("warning") && all.contains("nodeSelector"),
        "{all}"
    );
    assert_eq!(validate(&text, &["--strict"]).code, Some(64));
}

#[test]
fn broken_yaml_is_named_with_its_line() {
    let output = validate("apiVersion: v1\nkind: [Service\n", &[]);
    assert_eq!(output.code, Some(64));
    let all = format!("{}{}", output.stdout, output.stderr);
    assert!(all.contains("a.yaml:"), "{all}");
}

#[test]
fn up_refuses_a_manifest_that_is_wrong() {
    let mut zeron = Setup::new()
        .manifest("wrong.yaml", "kind: Nothing\n")
        .start();
    assert_eq!(zeron.wait().code(), Some(64), "{}", zeron.log());
    assert!(zeron.log().contains("wrong.yaml:"), "{}", zeron.log());
}

#[test]
fn metrics_count_requests_by_how_they_ended() {
    let zeron = hello();
    assert_eq!(zeron.get("nobody", "/").status, 404);
    until("both to be counted", || {
        let metrics = zeron.admin("GET", "/metrics", "").unwrap().text();
        (metrics.contains("answered") && metrics.contains("no-route")).then_some(())
    });
}

#[test]
fn completion_is_printed_for_shells() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(ok(&command(&["completion", shell], |_| {})).contains("zeron"));
    }
}

#[test]
fn simulate_prints_replicas_over_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    std::fs::write(&file, Service::new("hello").limit(1).yaml()).unwrap();
    let args = [
        "simulate",
        "--manifest",
        file.to_str().unwrap(),
        "--load",
        "0rps:10s,20rps:1m,0rps:2m",
    ];
    let output = command(&args, |_| {});
    assert!(ok(&output).contains("cold start"), "{}", output.stdout);
}
