//! Claims about objects that do not go together.

use super::*;

#[test]
fn hosts_have_one_owner() {
    let elsewhere = [DEPLOYMENT, SERVICE, HTTP]
        .map(|text| text.replace("{name: ", "{namespace: other, name: "));
    let elsewhere: Vec<String> = elsewhere
        .iter()
        .map(|t| {
            t.replace("{namespace: other, name: w, service", "{name: w, service")
                .replace("{namespace: other, name: main", "{name: main")
                .replace("{namespace: other, name: TOPIC", "{name: TOPIC")
        })
        .collect();
    let message = fault(&[
        DEPLOYMENT,
        SERVICE,
        HTTP,
        &elsewhere[0],
        &elsewhere[1],
        &elsewhere[2],
    ]);
    assert!(message.contains("HTTPScaledObject other/h: spec: host h.example.com belongs to HTTPScaledObject default/h, of another namespace"), "{message}");

    let taken = HTTP.replace("h.example.com", "k.default.localhost");
    let message = fault(&[DEPLOYMENT, SERVICE, &taken, KNATIVE]);
    assert!(
        message.contains("host k.default.localhost belongs to Service default/k"),
        "{message}"
    );

    let same = INTERCEPTOR.replace("r.example.com", "h.example.com");
    let message = fault(&[DEPLOYMENT, SERVICE, HTTP, &same]);
    assert!(
        message.contains("host h.example.com with path / leads elsewhere already"),
        "{message}"
    );
}

#[test]
fn an_interceptor_route_takes_the_place_of_an_http_scaled_object_of_its_name() {
    let same = INTERCEPTOR.replace("{name: r}", "{name: h}");
    let (catalog, problems) = read(&[DEPLOYMENT, SERVICE, HTTP, &same]);
    assert_eq!(catalog.routes.len(), 1);
    assert!(
        problems[0].contains("warning") && problems[0].contains("takes their place"),
        "{problems:?}"
    );
}

#[test]
fn a_minimum_above_the_joined_maximum_is_warned_of() {
    let scaled = SCALED.replace(
        "maxReplicaCount: 5",
        "maxReplicaCount: 9\n  minReplicaCount: 8",
    );
    let message = fault(&[DEPLOYMENT, SERVICE, HTTP, &scaled]);
    assert!(
        message
            .contains("warning: ScaledObject default/so: spec: minimum 8 lies above the maximum 7"),
        "{message}"
    );
}
