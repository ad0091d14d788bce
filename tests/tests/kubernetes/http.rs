//! Requests: an HTTPScaledObject, and an InterceptorRoute with its ScaledObject.

use std::time::Duration;

use serde_json::Value;
use zeron_tests::cluster::Installation;
use zeron_tests::wait::within;
use zeron_tests::{Raw, until};

use super::declare::{example, function, http_scaled};
use super::site::{DEPLOYMENT, SCALED, Site};

#[test]
fn a_request_for_its_host_wakes_a_deployment_and_quiet_lets_it_sleep() {
    let Some(site) = Site::get("a_request_for_its_host_wakes_a_deployment") else {
        return;
    };
    let namespace = &site.namespace;
    namespace.apply(&example!(namespace, "http.yaml"));
    // No ingress runs here: that it is well formed is all that shows.
    namespace.apply(&example!(namespace, "ingress.yaml"));
    namespace.wait_replicas(DEPLOYMENT, "greeter", 0);
    namespace.wait_pods("app=greeter", 0);
    let answer = site.roles.get("greeter.example.com", "/");
    assert_eq!((answer.status, answer.text().trim()), (200, "Hello"));
    assert_eq!(answer.header("x-keda-http-cold-start"), Some("true"));
    let answer = site.roles.get("greeter.example.com", "/");
    assert_eq!(answer.header("x-keda-http-cold-start"), Some("false"));
    namespace.wait_replicas(DEPLOYMENT, "greeter", 0);
}

#[test]
fn an_interceptor_route_with_its_scaled_object_wakes_a_deployment() {
    let Some(site) = Site::get("an_interceptor_route_with_its_scaled_object") else {
        return;
    };
    let namespace = &site.namespace;
    namespace.apply(&example!(namespace, "interceptor-route.yaml"));
    namespace.wait_replicas(DEPLOYMENT, "routed", 0);
    assert_eq!(site.roles.get("routed.example.com", "/").status, 200);
    namespace.wait_replicas(DEPLOYMENT, "routed", 0);
}

#[test]
fn an_http_scaled_object_has_a_scaled_object_that_kubectl_shows() {
    let Some(site) = Site::get("an_http_scaled_object_has_a_scaled_object") else {
        return;
    };
    let namespace = &site.namespace;
    function(namespace, "parent", 0);
    namespace.apply(&http_scaled("parent", "", "replicas: { min: 0, max: 7 }"));
    let exists = |object: &Value| (!object.is_null()).then(|| object.clone());
    let child = namespace.wait(SCALED, "parent", "to be made", exists);
    assert_eq!(child["spec"]["maxReplicaCount"], 7);
    assert_eq!(child["spec"]["cooldownPeriod"], 2);
    assert_eq!(
        child["spec"]["triggers"][0]["metadata"]["httpScaledObject"],
        "parent"
    );
    assert_eq!(
        child["metadata"]["ownerReferences"][0]["kind"],
        "HTTPScaledObject"
    );
}

#[test]
fn requests_at_once_scale_out_to_as_many_replicas_as_they_need() {
    let Some(site) = Site::get("requests_at_once_scale_out") else {
        return;
    };
    let namespace = &site.namespace;
    function(namespace, "wide", 0);
    let fields =
        "replicas: { min: 0, max: 4 }\n  scalingMetric: { concurrency: { targetValue: 1 } }";
    namespace.apply(&http_scaled("wide", "", fields));
    until_routed(&site, "wide.example");
    let mut clients: Vec<Raw> = (0..4).map(|_| site.roles.activators[0].connect()).collect();
    for client in &mut clients {
        client.get("wide.example", "/work?ms=6000");
    }
    namespace.wait_replicas(DEPLOYMENT, "wide", 4);
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
    }
    namespace.wait_replicas(DEPLOYMENT, "wide", 0);
}

#[test]
fn a_function_sees_the_host_and_the_client_and_no_forged_ones() {
    let Some(site) = Site::get("a_function_sees_the_host_and_the_client") else {
        return;
    };
    let namespace = &site.namespace;
    function(namespace, "echo", 0);
    namespace.apply(&http_scaled("echo", "", ""));
    until_routed(&site, "echo.example");
    let mut client = site.roles.activators[0].connect();
    let own = client.local().ip().to_string();
    let forged = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n";
    client.send(format!(
        "GET /echo HTTP/1.1\r\nHost: echo.example\r\n{forged}\r\n"
    ));
    let echo = client.response().json();
    assert_eq!(header(&echo, "host"), ["echo.example"]);
    assert_eq!(header(&echo, "x-forwarded-for"), [own]);
    assert_eq!(header(&echo, "x-forwarded-proto"), ["http"]);
    assert_eq!(header(&echo, "x-forwarded-host"), ["echo.example"]);
}

#[test]
fn one_host_leads_to_two_deployments_by_path() {
    let Some(site) = Site::get("one_host_leads_to_two_deployments_by_path") else {
        return;
    };
    let namespace = &site.namespace;
    for (name, prefix) in [("left-hand", "/left"), ("right-hand", "/right")] {
        function(namespace, name, 0);
        let object = http_scaled(name, "", &format!("pathPrefixes: ['{prefix}']"));
        namespace.apply(&object.replace(
            &format!("hosts: [{name}.example]"),
            "hosts: [hands.example]",
        ));
    }
    let awake = |name: &str| namespace.replicas(DEPLOYMENT, name);
    until("the path to be routed", || {
        (site.roles.get("hands.example", "/right/x").text().trim() == "no such path").then_some(())
    });
    assert_eq!((awake("left-hand"), awake("right-hand")), (0, 1));
    assert_eq!(site.roles.get("hands.example", "/elsewhere").status, 404);
}

#[test]
fn a_request_rate_scales_out() {
    let Some(site) = Site::get("a_request_rate_scales_out") else {
        return;
    };
    let namespace = &site.namespace;
    function(namespace, "rated", 0);
    let rate = "scalingMetric: { requestRate: { targetValue: 1, window: 20s, granularity: 1s } }";
    let fields = format!("replicas: {{ min: 0, max: 3 }}\n  {rate}");
    namespace.apply(&http_scaled("rated", "", &fields));
    until_routed(&site, "rated.example");
    // More than three a second, over the window.
    let mut client = site.roles.activators[0].connect();
    for _ in 0..100 {
        assert_eq!(client.get("rated.example", "/").response().status, 200);
    }
    namespace.wait_replicas(DEPLOYMENT, "rated", 3);
}

#[test]
fn a_placeholder_answers_while_its_function_wakes() {
    let Some(site) = Site::get("a_placeholder_answers_while_its_function_wakes") else {
        return;
    };
    let namespace = &site.namespace;
    function(namespace, "held", 0);
    let route = example!(namespace, "interceptor-route.yaml").replace("routed", "held");
    let objects: Vec<_> = route.split("---").skip(2).collect();
    let with =
        "  coldStart: { placeholder: { response: { statusCode: 503, body: please wait } } }\n";
    let held =
        objects
            .join("---")
            .replacen("  scalingMetric:", &format!("{with}  scalingMetric:"), 1);
    namespace.apply(&held);
    until("the placeholder", || {
        let answer = site.roles.get("held.example.com", "/");
        (answer.status == 503 && answer.text() == "please wait").then_some(())
    });
    until("the function", || {
        (site.roles.get("held.example.com", "/").text().trim() == "Hello").then_some(())
    });
}

#[test]
fn many_requests_at_zero_are_one_write_and_all_are_answered() {
    const TEST: &str = "many_requests_at_zero_are_one_write";
    let Some(site) = Site::get(TEST) else { return };
    let namespace = &site.namespace;
    let Some(audit) = namespace.cluster().audit() else {
        return zeron_tests::broker::skip(TEST, "the API server's audit log is not here");
    };
    function(namespace, "crowd", 0);
    namespace.apply(&http_scaled("crowd", "", ""));
    until_routed(&site, "crowd.example");
    namespace.wait_replicas(DEPLOYMENT, "crowd", 0);
    namespace.wait_pods("app=crowd", 0);
    let writes = || {
        let writes = audit.scale_writes(namespace.name(), "crowd");
        let took_effect = writes.iter().filter(|write| write.took_effect());
        took_effect
            .filter_map(|write| write.replicas())
            .collect::<Vec<_>>()
    };
    until("the way to zero to be logged", || {
        (writes().last() == Some(&0)).then_some(())
    });
    let before = writes().len();
    let mut clients: Vec<Raw> = (0..50)
        .map(|_| site.roles.activators[0].connect())
        .collect();
    for client in &mut clients {
        client.get("crowd.example", "/");
    }
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
    }
    let woken = until("the wake-up to be logged", || {
        Some(writes().split_off(before)).filter(|woken| !woken.is_empty())
    });
    assert_eq!(woken[0], 1);
    assert_eq!(
        woken.iter().filter(|&&count| count == 1).count(),
        1,
        "{woken:?}"
    );
}

#[test]
fn the_add_ons_older_fields_are_understood() {
    let Some(site) = Site::get("the_add_ons_older_fields_are_understood") else {
        return;
    };
    let namespace = &site.namespace;
    function(namespace, "elder", 0);
    namespace.apply(
        "
apiVersion: http.keda.sh/v1alpha1
kind: HTTPScaledObject
metadata: { name: elder }
spec:
  hosts: [elder.example]
  targetPendingRequests: 50
  scaleTargetRef: { deployment: elder, service: elder, port: 80 }
",
    );
    until_routed(&site, "elder.example");
    assert_eq!(namespace.replicas(DEPLOYMENT, "elder"), 1);
}

#[test]
fn a_host_of_nobody_is_not_found() {
    let Some(site) = Site::get("a_host_of_nobody_is_not_found") else {
        return;
    };
    assert_eq!(site.roles.get("nobody.example", "/").status, 404);
}

/// Waits until the activator knows a host; the function is awake then.
pub(crate) fn until_routed(site: &Site, host: &str) {
    until_routed_by(&site.roles, host);
}

/// The same with roles of a test's own.
pub(crate) fn until_routed_by(roles: &Installation, host: &str) {
    // On a machine with much else to do a pod may take longer to start than one request waits.
    within(
        Duration::from_secs(90),
        &format!("{host} to be routed"),
        || {
            let mut client = roles.activators[0].connect();
            let answer = client.get(host, "/status?code=204").try_response();
            answer.ok().filter(|answer| answer.status == 204).map(drop)
        },
    );
}

/// The values of a header, as the function saw it.
pub(crate) fn header(echo: &Value, name: &str) -> Vec<String> {
    let fields = echo["headers"].as_array().unwrap().iter();
    fields
        .filter(|field| field[0] == name)
        .map(|field| field[1].as_str().unwrap().to_owned())
        .collect()
}
