//! Lists, explanations and histories, joined from all autoscalers.

use serde_json::Value;
use zeron_tests::until;

use super::site::{DEPLOYMENT, SCALED, Site};

#[test]
fn functions_of_both_autoscalers_are_shown_once_and_explained() {
    let Some(site) = Site::get("functions_of_both_autoscalers_are_shown_once_and_explained") else {
        return;
    };
    let names = site.names("shown");
    for name in &names {
        site.function(name, 0, "begun");
    }
    let admin = site.namespace.cluster().kubeconfig();
    let own = || {
        let mut listed = site.listed(admin);
        listed.retain(|name| names.contains(name));
        listed
    };
    let listed = until("all four to be listed", || {
        Some(own()).filter(|listed| listed.len() >= names.len())
    });
    let mut wanted = names.clone();
    wanted.sort();
    assert_eq!(listed, wanted, "each once, in order");
    let everywhere = site.said(&["ls", "-A"]);
    for name in &names {
        let is_its = |row: &&str| row.split_whitespace().any(|word| word == name);
        let rows = everywhere.lines().filter(is_its);
        assert_eq!(rows.count(), 1, "{everywhere}");
        let why = until("it to be decided", || {
            let why = site.said(&["why", name]);
            why.contains("Decided ").then_some(why)
        });
        assert!(why.contains("It is at zero."), "{why}");
        let described = site.said(&["describe", name]);
        assert!(described.contains("cron"), "{described}");
        let all = site.said(&["timeline", name, "-a"]);
        assert!(all.starts_with("TIME "), "{all}");
        let decision: Value =
            serde_json::from_str(&site.said(&["why", name, "-o", "json"])).unwrap();
        assert_eq!(decision["desired"], 0);
    }
}

#[test]
fn a_change_shows_in_the_timeline_and_problems_beside_the_list() {
    let Some(site) = Site::get("a_change_shows_in_the_timeline_and_problems_beside_the_list")
    else {
        return;
    };
    site.function("changing", 0, "begun");
    let admin = site.namespace.cluster().kubeconfig();
    until("it to be listed", || {
        site.listed(admin)
            .contains(&"changing".to_owned())
            .then_some(())
    });
    site.floor("changing", 2);
    site.namespace.wait_replicas(DEPLOYMENT, "changing", 2);
    let line = until("the change to be told", || {
        let timeline = site.said(&["timeline", "changing"]);
        let line = timeline.lines().find(|line| line.contains("-> 2"))?;
        Some(line.to_owned())
    });
    assert!(line.contains("min"), "{line}");
    let why = site.said(&["why", "changing"]);
    assert!(why.contains("2 wanted"), "{why}");

    // Its target does not exist: no function, and nobody would see it in the list.
    site.namespace.apply(
        "
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: { name: nowhere }
spec:
  scaleTargetRef: { name: no-such-target }
  triggers:
    - type: cron
      metadata: { timezone: UTC, start: 0 1 29 2 *, end: 0 2 29 2 *, desiredReplicas: '1' }
",
    );
    let output = until("the problem to be told beside the list", || {
        let output = site.zeron(&["ls"]);
        output.stderr.contains("/nowhere: ").then_some(output)
    });
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let of_it = |line: &&str| line.contains("/nowhere: ");
    assert_eq!(output.stderr.lines().filter(of_it).count(), 1);
    assert!(output.stdout.contains("changing"), "{}", output.stdout);
    site.namespace.delete(SCALED, "nowhere");
}
