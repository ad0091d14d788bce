//! Objects of the HTTP add-on.

use super::*;

#[test]
fn an_http_scaled_object_says_workload_service_and_since_when() {
    let object = json!({
        "metadata": {"name": "orders", "namespace": "shop"},
        "spec": {"scaleTargetRef": {"name": "web", "service": "web-svc", "port": 8080}},
    });
    let good = report(ObjectKind::HttpScaledObject, Outcome::Ok);
    let after = patched(
        object.clone(),
        &patch(&object, &seen(&good, &[], 0)).unwrap(),
    );
    assert_eq!(after["status"]["targetWorkload"], "apps/v1/Deployment/web");
    assert_eq!(after["status"]["targetService"], "web-svc:8080");
    assert_eq!(said(&after, "Ready"), ("True", "Reconciled"));
    let ready = condition(&after, "Ready");
    assert_eq!(ready["lastTransitionTime"], "2027-01-15T08:00:00Z");
    assert_eq!(ready["observedGeneration"], 3);
    assert_eq!(patch(&after, &seen(&good, &[], 500)), None);
    let owner = ObjectKey::new(ObjectKind::HttpScaledObject, "other", "older");
    let taken = Conflict::Host {
        host: "a.example.com".to_owned(),
        owner,
    };
    let bad = report(ObjectKind::HttpScaledObject, Outcome::Conflict(taken));
    let after = patched(after.clone(), &patch(&after, &seen(&bad, &[], 60)).unwrap());
    assert_eq!(said(&after, "Ready"), ("False", "HostConflict"));
    assert_eq!(said(&after, "HostConflict"), ("True", "HostTaken"));
    assert_eq!(
        condition(&after, "Ready")["lastTransitionTime"],
        "2027-01-15T08:01:00Z"
    );
}

#[test]
fn a_mesh_is_said() {
    let report = report(ObjectKind::InterceptorRoute, Outcome::Ok);
    let object = json!({"metadata": {}, "spec": {}});
    let observation = Observation {
        is_through_service: true,
        ..seen(&report, &[], 0)
    };
    let after = patched(object.clone(), &patch(&object, &observation).unwrap());
    assert_eq!(
        said(&after, "MeshCompatibility"),
        ("True", "ServiceAddress")
    );
    assert_eq!(said(&after, "Ready"), ("True", "Reconciled"));
}

/// `status.address.url` as the object and what leads to it say.
fn url(kind: ObjectKind, spec: &Value, service: Option<&str>, outcome: Outcome) -> Value {
    let report = ObjectReport {
        address: service.map(str::to_owned),
        ..report(kind, outcome)
    };
    let object = json!({"metadata": {}, "spec": spec});
    let after = patched(
        object.clone(),
        &patch(&object, &seen(&report, &[], 0)).unwrap(),
    );
    after["status"]["address"]["url"].clone()
}

#[test]
fn an_object_is_addressable_by_its_service_or_its_first_whole_host() {
    use ObjectKind::{HttpScaledObject, InterceptorRoute};
    let spec = json!({"hosts": ["*.example.com", "web.example.com"], "pathPrefixes": ["/in"]});
    let of = |service| url(HttpScaledObject, &spec, service, Outcome::Ok);
    assert_eq!(of(Some("http://web.shop.svc")), "http://web.shop.svc");
    assert_eq!(of(None), "http://web.example.com/in");
    let rules = json!({"rules": [
        {"hosts": ["a.example.com"], "headers": [{"name": "X-Tenant"}]},
        {"hosts": ["b.example.com"], "paths": [{"value": "/"}]},
    ]});
    let of = |spec: Value| url(InterceptorRoute, &spec, None, Outcome::Ok);
    assert_eq!(of(rules), "http://b.example.com");
    assert_eq!(of(json!({"rules": [{"hosts": ["*"]}]})), Value::Null);
    assert_eq!(of(json!({})), Value::Null);
}

#[test]
fn what_is_not_in_force_has_no_address() {
    let taken = Outcome::Conflict(Conflict::CatchAll);
    let spec = json!({"hosts": ["web.example.com"]});
    let service = Some("http://web.shop.svc");
    let found = url(ObjectKind::HttpScaledObject, &spec, service, taken);
    assert_eq!(found, Value::Null);
}
