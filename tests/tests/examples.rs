//! The examples do what their README says.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use zeron_tests::broker::skip;
use zeron_tests::{Raw, Setup, Zeron, manifest, until};

/// All examples, from a copy of their folder.
fn up() -> Zeron {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples"));
    let mut setup = Setup::new();
    for file in std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        if file
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            let name = file.file_name().unwrap().to_str().unwrap().to_owned();
            setup = setup.manifest(&name, &std::fs::read_to_string(&file).unwrap());
        }
    }
    for script in [
        "python/function.py",
        "node/function.js",
        "shell/function.sh",
    ] {
        setup = setup.manifest(
            script,
            &std::fs::read_to_string(folder.join(script)).unwrap(),
        );
    }
    setup.up()
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).exists())
}

#[test]
fn every_example_answers_from_zero() {
    let zeron = up();
    assert_eq!(zeron.get("hello", "/").text(), "Hello from hello-00001\n");
    assert!(zeron.get("split", "/").text().starts_with("The "));
    assert!(zeron.get("stable-split", "/").text().contains("split-v1"));
    let numbers = zeron.get("limit", "/work?ms=10").json();
    assert_eq!(numbers["max_in_flight"], 1);
    assert!(
        zeron
            .get("realtime", "/sse?n=2&ms=10")
            .text()
            .contains("event 2 of 2")
    );
    assert_eq!(
        zeron.get("orders", "/").status,
        200,
        "without a broker, requests still wake it"
    );
    until("the missing broker to be named", || {
        let listed = zeron.run(&["ls"]).stdout;
        let is_named = listed.contains("waiting for broker 127.0.0.1:9092");
        (is_named || is_taken("127.0.0.1:9092")).then_some(())
    });
}

#[test]
fn examples_in_other_languages_answer_where_they_are_installed() {
    let zeron = up();
    for (function, program) in [("python", "python3"), ("node", "node"), ("shell", "sh")] {
        if !is_installed(program) {
            skip(
                &format!("examples::{function}"),
                &format!("{program} not found"),
            );
            assert_eq!(zeron.get(function, "/").status, 404, "skipped");
            continue;
        }
        let answer = zeron.get(function, "/");
        assert_eq!(answer.status, 200, "{function}: {}", answer.text());
        assert!(
            answer.text().contains("Hello from"),
            "{function}: {}",
            answer.text()
        );
    }
}

#[test]
fn an_example_whose_program_is_missing_is_skipped_with_a_notice() {
    let python = include_str!("../../examples/python.yaml")
        .replace("requires: python3", "requires: no-such-program");
    let zeron = Setup::new().manifest("python.yaml", &python).up();
    assert_eq!(zeron.get("python", "/").status, 404);
    let told = format!(
        "{}{}",
        zeron.log(),
        zeron.admin("GET", "/v1/problems", "").unwrap().text()
    );
    assert!(told.contains("no-such-program"), "{told}");
}

#[test]
fn an_example_whose_program_was_not_built_says_so_at_once_and_in_its_answer() {
    let orders = include_str!("../../examples/orders.yaml")
        .replace("zeron-example-consumer", "zeron-not-built");
    let zeron = Setup::new().manifest("orders.yaml", &orders).up();
    let problems = zeron.admin("GET", "/v1/problems", "").unwrap().text();
    assert!(
        problems.contains("zeron-not-built is not on the PATH: no replica can start"),
        "{problems}"
    );
    let answer = zeron.get("orders", "/");
    assert_eq!(answer.status, 503);
    assert!(
        answer.text().contains("zeron-not-built"),
        "{}",
        answer.text()
    );
}

fn is_taken(address: &str) -> bool {
    Raw::try_connect(address.parse().unwrap()).is_ok()
}

#[test]
fn the_names_that_the_readme_uses_are_the_hosts_of_the_functions() {
    let readme = include_str!("../../examples/README.md");
    for name in [
        "hello",
        "limit",
        "split",
        "next-split",
        "realtime",
        "orders",
        "python",
    ] {
        assert!(readme.contains(&manifest::host(name)), "{name}");
    }
}
