//! A credential of a trigger comes out nowhere, whatever the trigger's type: each is given canaries, at a server that
//! says back whatever it hears.

use std::time::Duration;

use zeron_tests::canary::{self, CANARY, Case};
use zeron_tests::wait::within;
use zeron_tests::{Setup, Zeron};

/// For some fifty triggers, each with a connection or several, on a small machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn file(case: &Case) -> String {
    format!("{}.yaml", case.name)
}

fn manifest(case: &Case) -> String {
    case.manifest(r#"{name: main, command: [sleep, "3600"]}"#)
}

/// Whether it is said why the trigger has no value: what is wrong with it, or its source's words.
fn is_in_vain(zeron: &Zeron, case: &Case) -> bool {
    if case.is_wrong {
        let problems = zeron.admin("GET", "/v1/problems", "").unwrap().text();
        return problems.contains(&file(case));
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
    let cases = canary::cases();
    let (wrong, tried): (Vec<_>, Vec<_>) = cases.iter().partition(|it| it.is_wrong);
    let mut setup = Setup::new().env("ZERON_LOG", "debug,zeron=trace");
    for case in &tried {
        setup = setup.manifest(&file(case), &manifest(case));
    }
    let zeron = setup.up();
    said(&zeron, &tried);
    for case in &wrong {
        zeron.edit(&file(case), &manifest(case));
    }
    said(&zeron, &wrong);
    let shown = shown(&zeron, &cases);
    for (what, text) in &shown {
        let line = text.lines().find(|line| line.contains(CANARY));
        assert_eq!(line, None, "{what} shows it");
    }
}
