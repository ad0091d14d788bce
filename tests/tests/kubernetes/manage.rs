//! `--manage labelled`: only objects that say so are ours.

use std::time::Duration;

use zeron_tests::cluster::{Cluster, Roles};
use zeron_tests::wait::throughout;

use super::declare::{function, http_scaled};
use super::http::until_routed_by;
use super::site::{DEPLOYMENT, HTTP_SCALED};

#[test]
fn only_labelled_objects_are_acted_on_where_that_is_asked_for() {
    let Some(cluster) = Cluster::get("kubernetes::only_labelled_objects_are_acted_on") else {
        return;
    };
    cluster.install_crds();
    let namespace = cluster.namespace("kubernetes-labelled");
    let labelled = ["--manage", "labelled"];
    let roles = Roles::of(&namespace)
        .activator_args(&labelled)
        .autoscaler_args(&labelled)
        .controller_args(&labelled)
        .start();
    function(&namespace, "others", 1);
    function(&namespace, "ours", 1);
    namespace.apply(&http_scaled("others", "", ""));
    namespace.apply(&http_scaled(
        "ours",
        "labels: { zeron.dev/manage: 'true' }",
        "",
    ));
    namespace.wait_replicas(DEPLOYMENT, "ours", 0);
    until_routed_by(&roles, "ours.example");
    throughout(Duration::from_secs(4), "it is left alone", || {
        namespace.replicas(DEPLOYMENT, "others") == 1
    });
    assert_eq!(roles.get("others.example", "/").status, 404);
    let others = namespace.get(HTTP_SCALED, "others").unwrap();
    assert!(others["metadata"]["finalizers"].is_null(), "{others:#}");
    assert!(others["status"].is_null(), "{others:#}");
}

#[test]
fn a_route_without_hosts_takes_every_request_where_that_is_allowed() {
    let Some(cluster) = Cluster::get("kubernetes::a_route_without_hosts_takes_every_request")
    else {
        return;
    };
    cluster.install_crds();
    let namespace = cluster.namespace("kubernetes-any");
    let any = ["--allow-catch-all", namespace.name()];
    let roles = Roles::of(&namespace)
        .activator_args(&any)
        .autoscaler_args(&any)
        .controllers(0)
        .start();
    function(&namespace, "any", 0);
    namespace.apply(&http_scaled("any", "", "").replace("hosts: [any.example]", ""));
    until_routed_by(&roles, "whoever.example");
    namespace.wait_condition(HTTP_SCALED, "any", "Ready", "True");
}
