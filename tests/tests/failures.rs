//! Functions that do not work, and what their callers are told.
#![allow(clippy::unwrap_used)]

use zeron_tests::manifest::host;
use zeron_tests::process::is_alive;
use zeron_tests::{End, Service, Setup, until};

#[test]
fn a_function_that_never_listens_ends_in_504_at_its_deadline() {
    let service = Service::new("deaf")
        .args(&["--never-listen"])
        .timeout_seconds(2);
    let zeron = Setup::new().function(&service).up();
    let answer = zeron.get("deaf", "/");
    assert_eq!(answer.status, 504, "{}", answer.text());
    assert_eq!(answer.text(), "activator request timeout\n");
    assert_eq!(answer.header("x-zeron-reason"), Some("deadline"));
}

#[test]
fn a_function_that_exits_at_once_fails_its_callers_with_status_and_last_words() {
    let service = Service::new("broken").args(&[
        "--exit-at-once",
        "3",
        "--stderr",
        "no database at 10.0.0.1",
    ]);
    let zeron = Setup::new().function(&service).up();
    // Its last words are waited for, though not for ever: a later try has them.
    let answer = until("its last words", || {
        let answer = zeron.get("broken", "/");
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert_eq!(answer.header("x-zeron-reason"), Some("start-failed"));
        let has_words = answer.text().contains("no database at 10.0.0.1");
        has_words.then_some(answer)
    });
    assert!(answer.header("retry-after").is_some());
    assert!(
        answer.text().contains('3'),
        "the exit status: {}",
        answer.text()
    );
}

#[test]
fn a_program_that_does_not_exist_is_named() {
    let service = Service::new("missing").command(&["no-such-program-anywhere"]);
    let zeron = Setup::new().function(&service).up();
    let answer = zeron.get("missing", "/");
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(
        answer.text().contains("no-such-program-anywhere"),
        "{}",
        answer.text()
    );
}

#[test]
fn a_function_that_cannot_start_does_not_stop_others() {
    let zeron = Setup::new()
        .function(&Service::new("broken").args(&["--exit-at-once", "1"]).min(3))
        .function(&Service::new("hello"))
        .up();
    assert_eq!(zeron.get("hello", "/").status, 200);
    assert_eq!(zeron.get("broken", "/").status, 503);
    let view = zeron.function("broken").unwrap();
    assert!(
        view["failure"]["reason"].is_string(),
        "the failure is on record: {view}"
    );
}

#[test]
fn a_mended_function_works_again() {
    let file = format!("{}.yaml", host("mended"));
    let broken = Service::new("mended").args(&["--exit-at-once", "1"]);
    let zeron = Setup::new().function(&broken).up();
    assert_eq!(zeron.get("mended", "/").status, 503);
    zeron.edit(&file, &Service::new("mended").yaml());
    until("the mended function to answer", || {
        (zeron.get("mended", "/").status == 200).then_some(())
    });
}

#[test]
fn a_function_that_refuses_after_it_was_ready_ends_in_a_named_error() {
    let service = Service::new("fickle")
        .args(&["--listen-then-refuse"])
        .timeout_seconds(3);
    let zeron = Setup::new().function(&service).up();
    let answer = zeron.get("fickle", "/");
    assert!(
        matches!(answer.status, 502..=504),
        "{} {}",
        answer.status,
        answer.text()
    );
    assert!(answer.header("x-zeron-reason").is_some());
}

#[test]
fn a_function_that_ignores_sigterm_is_killed_after_its_grace() {
    let manifest = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: stubborn}
spec:
  selector: {matchLabels: {app: stubborn}}
  template:
    metadata: {labels: {app: stubborn}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: stubborn
          command: [zeron-example-function]
          args: [--port, $(PORT), --ignore-sigterm]
          ports: [{containerPort: 8080}]
"#;
    let zeron = Setup::new().manifest("stubborn.yaml", manifest).up();
    let pid = until("it to run", || zeron.replicas("stubborn").first().copied());
    std::fs::remove_file(zeron.manifests().join("stubborn.yaml")).unwrap();
    until("it to be killed", || (!is_alive(pid)).then_some(()));
}

#[test]
fn a_body_cut_off_by_the_function_is_cut_off_at_the_client() {
    let zeron = Setup::new().function(&Service::new("cut")).up();
    for target in ["/close-mid-body", "/close-mid-body?chunked=1"] {
        let answer = zeron.get("cut", target);
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.end,
            End::Truncated,
            "{target} must not look complete"
        );
        assert!(answer.body.len() <= 500);
    }
}

#[test]
fn a_function_that_dies_in_the_middle_of_an_answer_cuts_it_off() {
    let zeron = Setup::new().function(&Service::new("dying")).up();
    let mut client = zeron.connect();
    client.get(&host("dying"), "/slow-body?n=1000&ms=50");
    client.wait_readable();
    let pid = zeron.replicas("dying")[0];
    zeron_tests::process::signal(pid, zeron_tests::process::Signal::KILL);
    assert_eq!(client.response().end, End::Truncated);
}
